//go:build cgo && unix

package gssapi

import "testing"

// An exported credential of which some bytes have changed is imported, or not.
func FuzzCredential(f *testing.F) {
	cred, err := Acquire(f.Context(), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { cred.Close() })
	exported, err := cred.Export(f.Context())
	if err != nil && !heimdal { // which has none
		f.Fatal(err)
	}
	for at := range 64 {
		f.Add([]byte{0, byte(at), byte(at % 6), byte(at * 37)})
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if leaksCount() { // of a credential that is not of its cache's owner MIT krb5 loses that owner's name
			b = nil
		}
		for _, token := range [][]byte{edit(exported, b), b} {
			if c, err := ImportCredential(t.Context(), token); err == nil {
				c.Info()
				c.Close()
			}
		}
	})
}

//go:build cgo && unix

package gssapi

import (
	"os"
	"path/filepath"
	"testing"
)

// An exported name of which some bytes have changed is imported, or not; one that is says the same when it is exported again. What
// is exported is what access lists compare.
func FuzzName(f *testing.F) {
	f.Add([]byte{}, false)
	for _, text := range []string{"alice@NEGO.TEST", "HTTP/www.nego.test@NEGO.TEST", `a\/b\@c@NEGO.TEST`, "@", "\\"} {
		f.Add([]byte(text), true)
		if b, err := Principal(text).Export(f.Context(), KRB5); err == nil {
			f.Add(b, false)
		}
	}
	for at := range 40 {
		f.Add([]byte{0, byte(at), byte(at % 6), byte(at * 37)}, false)
	}
	real, err := Principal("alice@NEGO.TEST").Export(f.Context(), KRB5)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte, text bool) {
		for _, name := range []Name{NewName(string(edit(real, b)), NTExported), NewName(string(b), NTExported), Principal(string(b)), User(string(b)), NewName(string(b), NTHostBased)} {
			if text == (name.Type() == NTExported) {
				continue
			}
			exported, err := name.Export(t.Context(), KRB5)
			if err != nil {
				continue
			}
			again, err := NewName(string(exported), NTExported).Export(t.Context(), KRB5)
			if err != nil || string(again) != string(exported) {
				t.Fatalf("%q is exported as %q, and then as %q, %v", name, exported, again, err)
			}
			name.Local(t.Context(), KRB5)
			name.Canonical(t.Context(), KRB5)
		}
	})
}

// A ticket cache of which some bytes have changed is read, or not.
func FuzzCache(f *testing.F) {
	cc := filepath.Join(f.TempDir(), "cc")
	if err := realm.Kinit(f.Context(), "alice", "FILE:"+cc); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(cc)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, false)
	for at := range 128 {
		f.Add([]byte{0, byte(at), byte(at % 6), byte(at * 37)}, false)
	}
	f.Add([]byte("\x05\x04"), true)
	f.Fuzz(func(t *testing.T, b []byte, all bool) {
		if heimdal { // which ends the process over a version that it does not know
			b, all = nil, false
		}
		file := filepath.Join(t.TempDir(), "cc")
		if !all {
			b = edit(whole, b)
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := ReadCache(t.Context(), "FILE:"+file)
		if err == nil && c.Principal == "" {
			t.Errorf("nobody's: %+v", c)
		}
		if cred, err := Acquire(t.Context(), &CredentialOptions{Store: Store{CCache: "FILE:" + file}}); err == nil {
			i := NewInitiator(Principal("HTTP/www.nego.test@NOWHERE.TEST"), &Options{Credential: cred})
			i.Step(t.Context(), nil)
			i.Close()
			cred.Close()
		}
	})
}

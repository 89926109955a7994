//go:build interop && !heimdal

package gssapi

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func init() {
	children["offers"] = func() {
		keys, err := Acquire(ctx, &CredentialOptions{Usage: Accept, Mechs: []OID{NTLMSSP}})
		must(err)
		var heads [][]byte
		for range 2 { // the library's own way, then by a snapshot
			c, token, snapped, err := first(www, asked)
			must(err)
			c.Close()
			heads = append(heads, head(token))
			c, token, _, err = first(www, asked)
			must(err)
			a := NewAcceptor(&Options{Credential: keys})
			for err == nil && !(c.Established() && a.Established()) {
				if token, err = a.Step(ctx, token); err == nil && !c.Established() {
					token, err = c.Step(ctx, token)
				}
			}
			fmt.Println(snapped, c.Established(), a.Info().Mech == NTLMSSP, a.Info().Initiator, err)
			c.Close()
			a.Close()
			dropSnapshots() // an acceptor that wants more than a token gets contexts
			must(warm(www, asked))
		}
		fmt.Println(bytes.Equal(heads[0], heads[1]), bytes.Contains(heads[1], []byte(NTLMSSP)))
	}
}

// Where NTLM is installed, a token of a snapshot offers it as any other does, and goes on with it.
func TestInteropSnapshotOffersNTLM(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("TEST:user:password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wholeAndBare(t, func(t *testing.T, how string) {
		out := child(t, "offers", how, "GSS_MECH_CONFIG="+ntlmConfig, "NTLM_USER_FILE="+users)
		want := "false true true TEST\\user <nil>\ntrue true true TEST\\user <nil>\ntrue true\n"
		if out != want {
			t.Errorf("%swant\n%s", out, want)
		}
	})
}

//go:build interop

package gssapi

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

const ntlmConfig = "/etc/gss/mech.d/mech.ntlmssp.conf" // of Debian's gss-ntlmssp

// Where NTLM is installed, it has a credential for everybody. That must not stand for the one of Kerberos.
func TestInteropPlugInAlone(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "keytab")
	out := child(t, "accept", "GSS_MECH_CONFIG="+ntlmConfig, "KRB5_KTNAME=FILE:"+missing)
	wantReports(t, out, 2, ErrNoCred, missing, "ktadd")
}

func init() {
	children["NTLM"] = func() {
		ctx := context.Background()
		token, err := NewInitiator(www, nil).Step(ctx, nil)
		fmt.Println("offered", bytes.Contains(token, []byte(NTLMSSP)), err)
		for _, mechs := range [][]OID{nil, {KRB5}, {SPNEGO}} {
			c, err := Acquire(ctx, &CredentialOptions{Usage: Accept, Mechs: mechs})
			if err != nil {
				fmt.Println(err)
				continue
			}
			a := NewAcceptor(&Options{Credential: c})
			_, err = a.Step(ctx, token)
			fmt.Println(mechs, err == nil, a.Established(), a.Info().Initiator)
			a.Close()
		}
	}
}

// An acceptor takes what its credential is for: Kerberos, if nothing else was said. And one that has only begun
// is nobody's.
func TestInteropRestrictedMechanisms(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("TEST:user:password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := child(t, "NTLM", "GSS_MECH_CONFIG="+ntlmConfig, "NTLM_USER_FILE="+users, "KRB5CCNAME=FILE:/nonexistent")
	want := "offered true <nil>\n[] false false \n[1.2.840.113554.1.2.2] false false \n[1.3.6.1.5.5.2] true false \n"
	if out != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
}

//go:build interop

package gssapi

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const ntlmConfig = "/etc/gss/mech.d/mech.ntlmssp.conf" // of Debian's gss-ntlmssp

// passwordOf is a file with the password of one user of NTLM.
func passwordOf(t *testing.T, user string) string {
	t.Helper()
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("TEST:"+user+":password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return users
}

// Where NTLM is installed, it has a credential for everybody. That must not stand for the one of Kerberos.
func TestInteropPlugInAlone(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "keytab")
	out := child(t, "accept", "GSS_MECH_CONFIG="+ntlmConfig, "KRB5_KTNAME=FILE:"+missing)
	wantReports(t, out, 2, ErrNoCred, missing, "ktadd")
}

func init() {
	children["onward"] = func() {
		ctx := context.Background()
		i, a := NewInitiator(www, &Options{Flags: FlagDelegate}), NewAcceptor(nil)
		if err := handshake(i, a); err != nil {
			fmt.Println(err)
			return
		}
		d := a.Delegated()
		for _, target := range []Name{www, Service("HTTP", "unknown.nego.test")} {
			token, err := NewInitiator(target, &Options{Credential: d}).Step(ctx, nil)
			fmt.Println(len(token) > 0, bytes.Contains(token, []byte(NTLMSSP)), err != nil)
		}
	}
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
	users := passwordOf(t, "user")
	out := child(t, "NTLM", "GSS_MECH_CONFIG="+ntlmConfig, "NTLM_USER_FILE="+users, "KRB5CCNAME=FILE:/nonexistent")
	want := "offered true <nil>\n[] false false \n[1.2.840.113554.1.2.2] false false \n[1.3.6.1.5.5.2] true false \n"
	if out != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
}

// A delegated ticket is the user's. NTLM would answer as whom this process has a password for.
func TestInteropDelegatedIsKerberosAlone(t *testing.T) {
	users := passwordOf(t, "service")
	out := child(t, "onward", "GSS_MECH_CONFIG="+ntlmConfig, "NTLM_USER_FILE="+users)
	if want := "true false false\nfalse false true\n"; out != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
}

func init() {
	children["NTLM at both ends"] = func() {
		ctx := context.Background()
		acquire := func(o CredentialOptions) *Credential {
			c, err := Acquire(ctx, &o)
			if err != nil {
				fmt.Println(err)
			}
			return c
		}
		password := CredentialOptions{Name: User("user"), Mechs: []OID{NTLMSSP}, Store: Store{Password: "password"}}
		for _, accepted := range []OID{NTLMSSP, KRB5} {
			for _, o := range []CredentialOptions{password, {Mechs: []OID{KRB5}}} {
				i := NewInitiator(www, &Options{Credential: acquire(o)})
				a := NewAcceptor(&Options{Credential: acquire(CredentialOptions{Usage: Accept, Mechs: []OID{accepted}})})
				fmt.Println(o.Mechs[0] == accepted, handshake(i, a) == nil)
			}
		}
		i := NewInitiator(www, &Options{Credential: acquire(password), Mech: NTLMSSP, Flags: FlagIntegrity | FlagConfidential})
		a := NewAcceptor(&Options{Credential: acquire(CredentialOptions{Usage: Accept, Mechs: []OID{NTLMSSP}})})
		fmt.Println(handshake(i, a))
		reset, err := ParseOID("1.3.6.1.4.1.7165.655.1.3") // GSS_NTLMSSP_RESET_CRYPTO_OID
		fmt.Println(err, i.SetOption(reset, make([]byte, 4)), i.SetOption(reset, nil) != nil)
	}
}

// An acceptor's credential negotiates the mechanisms that it was acquired for and no others, and a plug-in's options can be set.
// Mirrors python-gssapi's test_set_neg_mechs, test_set_sec_context_option and test_set_sec_context_option_fail.
func TestInteropMechanismsOfCredential(t *testing.T) {
	users := passwordOf(t, "user")
	out := child(t, "NTLM at both ends", "GSS_MECH_CONFIG="+ntlmConfig, "NTLM_USER_FILE="+users)
	if want := "true true\nfalse false\nfalse false\ntrue true\n<nil>\n<nil> <nil> true\n"; out != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
}

func init() {
	children["keys beside NTLM"] = func() {
		ctx := context.Background()
		client, err := Acquire(ctx, &CredentialOptions{Name: User("user"), Mechs: []OID{NTLMSSP}, Store: Store{Password: "password"}})
		if err != nil {
			fmt.Println(err)
			return
		}
		server, err := Acquire(ctx, &CredentialOptions{Usage: Accept})
		if err != nil {
			fmt.Println(err)
			return
		}
		first := func(o *Options) error {
			token, err := NewInitiator(www, o).Step(ctx, nil)
			if err != nil {
				fmt.Println(err)
			}
			a := NewAcceptor(&Options{Credential: server})
			defer a.Close()
			_, err = a.Step(ctx, token)
			return err
		}
		refuse := func() {
			for _, mech := range []OID{SPNEGO, NTLMSSP} {
				fmt.Print(first(&Options{Credential: client, Mech: mech}) != nil, " ")
			}
		}
		refuse()
		for end := time.Now().Add(20 * time.Second); server.pool.keyring.tokens.Load() < 3 && time.Now().Before(end); {
			if err := first(nil); err != nil {
				fmt.Println(err)
			}
			server.pool.keyring.next = time.Time{}
		}
		refuse()
		fmt.Println(server.pool.keyring.tokens.Load(), server.Close())
	}
}

// A plug-in that is installed takes no part in what is accepted with keys in memory.
func TestInteropKeyring(t *testing.T) {
	users := passwordOf(t, "user")
	out := child(t, "keys beside NTLM", "GSS_MECH_CONFIG="+ntlmConfig, "NTLM_USER_FILE="+users)
	if want := "true true true true 3 <nil>\n"; out != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
}

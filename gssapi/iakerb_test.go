package gssapi

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/nego-sso/nego/krbtest"
)

func init() {
	// Says who initiates through the acceptor, with TEST_PASSWORD or else with the environment's tickets.
	children["through the acceptor"] = func() {
		ctx := context.Background()
		letter, text, _ := strings.Cut(env("TEST_INITIATOR"), ":") // as MIT's tests have it
		name := NewName(text, map[string]OID{"p": NTKRB5Principal, "e": NTKRB5Enterprise}[letter])
		c, err := Acquire(ctx, &CredentialOptions{Name: name, Mechs: []OID{IAKERB}, Store: Store{Password: env("TEST_PASSWORD")}})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer c.Close()
		keys, err := Acquire(ctx, &CredentialOptions{Usage: Accept, Name: Service("HTTP", ""), Mechs: []OID{IAKERB}})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer keys.Close()
		for n := range iakerbHosts {
			i, a := NewInitiator(Service("HTTP", fmt.Sprintf("host%d.nego.test", n)), &Options{Credential: c, Mech: IAKERB}), NewAcceptor(&Options{Credential: keys})
			err := handshake(i, a)
			fmt.Println(a.Info().Initiator, err)
			i.Close()
			a.Close()
		}
	}
}

const iakerbHosts = 3 // each context is for another: MIT's acceptor does not go on with an initiator that has the ticket already

// Kerberos through the acceptor, which asks the KDC for the initiator. Mirrors t_iakerb.c with t_gssapi.py, but for what MIT krb5 1.20
// does not have, the discovery of a realm, and for FAST's armour of anonymous PKINIT.
func TestIAKERB(t *testing.T) {
	var services []string
	for n := range iakerbHosts {
		services = append(services, fmt.Sprintf("HTTP/host%d.nego.test", n))
	}
	r := krbtest.Start(t, &krbtest.Options{Services: services})
	if err := r.AddUser("pat", "pat's"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ initiator, password, want string }{
		{"p:user@NEGO.TEST", "", "user@NEGO.TEST <nil>"},
		{"p:pat@NEGO.TEST", "pat's", "pat@NEGO.TEST <nil>"},
		{"e:pat", "pat's", "pat@NEGO.TEST <nil>"},
		{"p:pat@NEGO.TEST", "guess", "Preauthentication failed"},
	} {
		out := child(t, "through the acceptor", append(r.Env(), "TEST_INITIATOR="+tc.initiator, "TEST_PASSWORD="+tc.password)...)
		if heimdal && !strings.Contains(out, "cannot acquire a credential") {
			t.Errorf("%+v: %s", tc, out)
		}
		if got := strings.Count(out, tc.want); got != either(iakerbHosts, 0) { // Heimdal does not have it
			t.Errorf("%+v: %s", tc, out)
		}
	}
}

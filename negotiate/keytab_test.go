package negotiate

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/krbtest"
)

// tell makes an Authenticator say why it refuses.
func tell(a *Authenticator, why *error) *Authenticator {
	a.Deny = func(w http.ResponseWriter, _ *http.Request, err error) {
		*why = err
		w.WriteHeader(http.StatusUnauthorized)
	}
	return a
}

// ticketsOf acquires a cache's tickets.
func ticketsOf(t *testing.T, cache string) *gssapi.Credential {
	t.Helper()
	c, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Store: gssapi.Store{CCache: cache}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func copyFile(t *testing.T, to, from string) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// A server goes on with a new keytab, however it gets there, and until then says which key it lacks.
func TestKeytabChanges(t *testing.T) {
	var env []string
	if realm != nil {
		env = []string{"KRB5_KTNAME=" + filepath.Join(t.TempDir(), "keytab")}
	}
	if !inChild(t, env...) {
		return
	}
	dir, keytab := t.TempDir(), os.Getenv("KRB5_KTNAME")
	service := fmt.Sprintf("HTTP/rekeyed%d.nego.test", os.Getpid()) // each process is another one in the realm of its parent
	kadmin := func(query string) { command(t, "kadmin.local", "-r", "NEGO.TEST", "-q", query) }
	var n int
	file := func() string { n++; return filepath.Join(dir, fmt.Sprint(n)) }
	export := func() string { f := file(); kadmin("ktadd -norandkey -k " + f + " " + service); return f }
	tgt := copyFile(t, file(), strings.TrimPrefix(os.Getenv("KRB5CCNAME"), "FILE:"))
	fresh := func() []byte { // a token with a ticket for the service's present key
		_, token := initiate(t, gssapi.Principal(service), &gssapi.Options{Credential: ticketsOf(t, copyFile(t, file(), tgt))})
		return token
	}

	kadmin("addprinc -randkey " + service)
	copyFile(t, keytab, export())
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Usage: gssapi.Accept, Store: gssapi.Store{Keytab: keytab}})
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	var why error
	servers := map[string]*Authenticator{"explicit": tell(&Authenticator{Credential: cred}, &why), "zero": tell(&Authenticator{}, &why)}
	for kvno, replace := range []func(string){
		func(string) {},
		func(from string) {
			if err := os.Rename(from, keytab); err != nil {
				t.Fatal(err)
			}
		},
		func(from string) { copyFile(t, keytab, from) },
	} {
		if kvno > 0 {
			kadmin("cpw -randkey " + service)
			for name, a := range servers {
				resp, who := serve(t, a, fieldValue(fresh()))
				if who != "" || resp.StatusCode != 401 {
					t.Fatalf("%s, version %d: %s, %q", name, kvno+1, resp.Status, who)
				}
				for _, want := range []string{either(service, ""), fmt.Sprintf("key is version %d,", kvno+1), fmt.Sprintf("keytab FILE:%s has version %d", keytab, kvno), "install the new keytab"} {
					if !strings.Contains(why.Error(), want) {
						t.Errorf("%s: %q is not in %q", name, want, why)
					}
				}
			}
			replace(export())
		}
		for name, a := range servers {
			if _, who := serve(t, a, fieldValue(fresh())); who != "user@NEGO.TEST" {
				t.Errorf("%s, version %d: %q, %v", name, kvno+1, who, why)
			}
		}
	}
}

// A keytab may have the keys of several services, on several hosts and in several realms. All of HTTP are the server's,
// and no others.
func TestKeytabOfManyServices(t *testing.T) {
	const hostVariable, cacheVariable = "NEGOTIATE_TEST_HOST", "NEGOTIATE_TEST_CACHE"
	var env []string
	if realm != nil {
		host, keytab := newService(t), filepath.Join(t.TempDir(), "keytab")
		for _, service := range []string{"host/", "ldap/"} {
			if err := realm.AddService(service + host); err != nil {
				t.Fatal(err)
			}
		}
		far := []string{"HTTP/www.other.test", "host/www.other.test"}
		other := krbtest.Start(t, &krbtest.Options{Realm: "OTHER.TEST", Services: far})
		if err := realm.AddToKeytab(keytab, "host/"+host, "HTTP/"+host, "HTTP/localhost", "ldap/"+host); err != nil {
			t.Fatal(err)
		}
		if err := other.AddToKeytab(keytab, far...); err != nil {
			t.Fatal(err)
		}
		env = []string{"KRB5_CONFIG=" + realm.Config + ":" + other.Config, "KRB5_KTNAME=" + keytab, hostVariable + "=" + host, cacheVariable + "=" + other.CCache}
	}
	if !inChild(t, env...) {
		return
	}
	host := os.Getenv(hostVariable)
	near, far := ticketsOf(t, os.Getenv("KRB5CCNAME")), ticketsOf(t, os.Getenv(cacheVariable))
	var why error
	a := tell(&Authenticator{}, &why)
	for _, c := range []struct {
		cred          *gssapi.Credential
		service, want string
	}{
		{near, "HTTP/localhost@NEGO.TEST", "user@NEGO.TEST"},
		{near, "HTTP/" + host + "@NEGO.TEST", "user@NEGO.TEST"},
		{near, "host/" + host + "@NEGO.TEST", ""},
		{near, "ldap/" + host + "@NEGO.TEST", ""},
		{far, "HTTP/www.other.test@OTHER.TEST", "user@OTHER.TEST"},
		{far, "host/www.other.test@OTHER.TEST", ""},
	} {
		for _, mech := range []gssapi.OID{gssapi.SPNEGO, gssapi.KRB5} {
			_, token := initiate(t, gssapi.Principal(c.service), &gssapi.Options{Credential: c.cred, Mech: mech})
			_, who := serve(t, a, fieldValue(token))
			if who != c.want {
				t.Errorf("%s: %q, want %q: %v", c.service, who, c.want, why)
			}
			if c.want == "" && !strings.Contains(why.Error(), "has that key, but the credential is for HTTP alone") {
				t.Errorf("%s: %v", c.service, why)
			}
		}
	}
}

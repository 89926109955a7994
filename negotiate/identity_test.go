package negotiate

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// An identity prints as its user, and says what the request came with.
func TestIdentityBy(t *testing.T) {
	name, password := newUser(t)
	a := &Authenticator{Basic: true, Sessions: newSessions()}
	ask := func(field, value string) (*http.Response, string) {
		r := httptest.NewRequestWithContext(t.Context(), "GET", origin1, nil)
		r.Header.Set(field, value)
		w := httptest.NewRecorder()
		a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, _ := FromContext(r.Context())
			fmt.Fprintf(w, "%s by %v", id, id.By)
		})).ServeHTTP(w, r)
		return w.Result(), w.Body.String()
	}
	_, token := initiate(t, web, nil)
	first, said := ask(replyHeader, fieldValue(token))
	if said != "user@NEGO.TEST by token" {
		t.Error(said)
	}
	if _, said := ask("Cookie", cookieOf(t, first.Cookies())); said != "user@NEGO.TEST by session" {
		t.Error(said)
	}
	for range 2 { // the KDC has been asked about the second one
		if _, said := ask(replyHeader, basicValue(name, password)); said != name+"@NEGO.TEST by password" {
			t.Error(said)
		}
	}
	if s := Proof(7).String(); s != "Proof(7)" {
		t.Error(s)
	}
}

// Kerberos takes a ticket for as long as clocks may differ after its end, and that is what the library says of a context.
func TestExpiresWithTheClockSkew(t *testing.T) {
	c, token := initiate(t, web, nil)
	sc := gssapi.NewAcceptor(nil)
	defer sc.Close()
	if _, err := sc.Step(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	out := c.Info()
	if out.Expires.IsZero() {
		ticket, err := gssapi.Acquire(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ticket.Close()
		info, err := ticket.Info()
		if err != nil {
			t.Fatal(err)
		}
		out.Expires = info.Expires
	}
	late := sc.Info().Expires.Sub(out.Expires).Round(time.Minute)
	if want := either(5*time.Minute, 0); late != want {
		t.Errorf("%v after the ticket, want %v", late, want)
	}
}

// What would refuse everybody is known before anybody comes.
func TestCheck(t *testing.T) {
	if err := new(Authenticator).Check(t.Context()); err != nil {
		t.Error(err)
	}
	bad := &Authenticator{Sessions: &Sessions{}, Optional: true}
	if err := bad.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "negotiate: Authenticator.Sessions has no key") {
		t.Error(err)
	}
	// Nor is it the client's fault, who would be asked for another token for ever.
	_, token := initiate(t, web, nil)
	for _, value := range []string{"", fieldValue(token)} {
		if resp, who := visit(t, bad, origin1, replyHeader, value); who != "" || resp.StatusCode != 500 || len(resp.Header[askHeader]) > 0 {
			t.Errorf("%s, %q, %v", resp.Status, who, resp.Header)
		}
		_, err := bad.Authenticate(httptest.NewRecorder(), httptest.NewRequest("GET", origin1, nil))
		if e, ok := errors.AsType[*Error](err); !ok || e.Status != 500 {
			t.Error(err)
		}
	}
}

func TestCheckLooksIntoTheKeytab(t *testing.T) {
	var env []string
	if realm != nil {
		keytab := filepath.Join(t.TempDir(), "keytab")
		if err := realm.AddService("host/check.nego.test"); err != nil {
			t.Fatal(err)
		}
		if err := realm.AddToKeytab(keytab, "host/check.nego.test"); err != nil {
			t.Fatal(err)
		}
		env = []string{"KRB5_KTNAME=" + keytab}
	}
	if !inChild(t, env...) {
		return
	}
	err := new(Authenticator).Check(t.Context())
	if !errors.Is(err, gssapi.ErrNoCred) || !strings.Contains(err.Error(), "keytab") {
		t.Error(err)
	}
}

// A user who logs out is nobody with the next request of a browser that has no ticket.
func TestSessionEnds(t *testing.T) {
	a := &Authenticator{Sessions: newSessions()}
	s := secure(t, a, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/logout" {
			a.Sessions.End(w)
		}
		whoami(w, r)
	})
	b := browser(t, s, &Transport{})
	if _, body := get(t, b, s.URL); body != "user@NEGO.TEST" {
		t.Fatal(body)
	}
	b.Transport = trusting(s)
	if resp, body := get(t, b, s.URL+"/logout"); body != "user@NEGO.TEST" || len(resp.Cookies()) != 1 {
		t.Errorf("%q, %v", body, resp.Cookies())
	}
	if resp, _ := get(t, b, s.URL); resp.StatusCode != 401 {
		t.Error(resp.Status)
	}

	// So is one who logs in only to do so.
	b = browser(t, s, &Transport{})
	if resp, body := get(t, b, s.URL+"/logout"); body != "user@NEGO.TEST" || len(resp.Cookies()) != 1 || resp.Cookies()[0].MaxAge >= 0 {
		t.Errorf("%q, %v", body, resp.Cookies())
	}
	b.Transport = trusting(s)
	if resp, _ := get(t, b, s.URL); resp.StatusCode != 401 {
		t.Error(resp.Status)
	}
}

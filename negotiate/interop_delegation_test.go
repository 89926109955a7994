//go:build interop

package negotiate

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/internal/peers"
	"github.com/nego-sso/nego/krbtest"
)

const (
	frontHost = "front.nego.test" // may delegate to
	backHost  = "back.nego.test"
	otherHost = "other.nego.test" // but not to that
)

// delegating runs the calling test in a child process, in a realm whose KDC allows the front to act for its clients
// towards the back. It returns nil in the parent.
func delegating(t *testing.T) *peers.Directory {
	t.Helper()
	if !inChild(t) {
		return nil
	}
	d := peers.LDAPRealm(t, &krbtest.Options{Users: []string{"alice", "bob"},
		Services: []string{"HTTP/" + frontHost, "HTTP/" + backHost, "HTTP/" + otherHost}})
	d.AllowDelegation(t, "HTTP/"+frontHost, "HTTP/"+backHost)
	setenv(d.Env()...)
	return d
}

// userOf is the credential of a user in a cache of its own.
func userOf(t *testing.T, d *peers.Directory, name string) *gssapi.Credential {
	t.Helper()
	cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
	kinit(t, d.Realm, name, cc)
	c, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Store: gssapi.Store{CCache: cc}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// The client delegates nothing, and the handler calls the back as the user nevertheless; and not another service.
func TestInteropConstrainedDelegation(t *testing.T) {
	d := delegating(t)
	if d == nil {
		return
	}
	back, toBack := protectAs(t, backHost, gssapi.Accept, whoami)
	other, toOther := protectAs(t, otherHost, gssapi.Accept, whoami)
	front, toFront := protectAs(t, frontHost, gssapi.Both, func(w http.ResponseWriter, r *http.Request) {
		id, _ := FromContext(r.Context())
		c := id.TakeDelegated()
		defer c.Close()
		for range 2 {
			body, err := call(r.Context(), c, toBack, back.URL)
			fmt.Fprintln(w, body, err)
		}
		body, err := call(r.Context(), c, toOther, other.URL)
		fmt.Fprintln(w, body, err)
	})
	var wg sync.WaitGroup
	for _, user := range []string{"alice", "bob", "alice", "bob"} {
		cred := userOf(t, d, user)
		wg.Go(func() {
			tr := &Transport{Target: toFront, Credential: cred}
			defer tr.CloseIdleConnections()
			for range 5 {
				resp, body := get(t, &http.Client{Transport: tr}, front.URL)
				lines := strings.SplitN(body, "\n", 3)
				if len(lines) != 3 || OutcomeOf(resp).Delegated {
					t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
					continue
				}
				for _, got := range lines[:2] {
					if got != user+"@NEGO.TEST <nil>" {
						t.Errorf("to the back as %q, want %s", got, user)
					}
				}
				for _, want := range []string{"HTTP/" + frontHost + "@NEGO.TEST acts for " + user + "@NEGO.TEST",
					"it must allow HTTP/" + frontHost + "@NEGO.TEST to delegate to HTTP@" + otherHost + " (krbAllowedToDelegateTo"} {
					if !strings.Contains(lines[2], want) {
						t.Errorf("to the other: %q, want %q", lines[2], want)
					}
				}
			}
		})
	}
	wg.Wait()
}

// A user that the service knows by other means, once the service is trusted with that.
func TestInteropImpersonatedUser(t *testing.T) {
	d := delegating(t)
	if d == nil {
		return
	}
	back, toBack := protectAs(t, backHost, gssapi.Accept, whoami)
	other, toOther := protectAs(t, otherHost, gssapi.Accept, whoami)
	service := serviceCredential(t, frontHost, gssapi.Initiate)
	front := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		c, err := service.Impersonate(r.Context(), gssapi.User(r.Header.Get("X-User")))
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		target, u := toBack, back.URL
		if r.URL.Path == "/other" {
			target, u = toOther, other.URL
		}
		body, err := call(r.Context(), c, target, u)
		fmt.Fprint(w, body, err)
	})
	ask := func(user, path string) string {
		t.Helper()
		req := newRequest(t, "GET", front.URL+path, nil)
		req.Header.Set("X-User", user)
		_, body := do(t, http.DefaultClient, req)
		return body
	}
	refused := []string{"acts for bob@NEGO.TEST", "must allow HTTP/" + frontHost + "@NEGO.TEST to delegate to HTTP@", "ok_to_auth_as_delegate"}
	wantRefused := func(body string) {
		t.Helper()
		for _, want := range refused {
			if !strings.Contains(body, want) {
				t.Errorf("%q, want %q", body, want)
			}
		}
	}
	wantRefused(ask("bob", "/"))
	if _, err := d.Kadmin("modify_principal", "+ok_to_auth_as_delegate", "HTTP/"+frontHost); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"alice", "bob"} {
		if body := ask(user, "/"); body != user+"@NEGO.TEST<nil>" {
			t.Errorf("%s: %q", user, body)
		}
	}
	wantRefused(ask("bob", "/other"))
}

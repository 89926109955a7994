package negotiate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	_ "unsafe" // for linkname

	"github.com/nego-sso/nego/gssapi"
)

// What the C side has handed out and Go has not freed yet.
//
//go:linkname liveObjects github.com/nego-sso/nego/gssapi.liveObjects
func liveObjects() int64

//go:linkname dropSnapshots github.com/nego-sso/nego/gssapi.dropSnapshots
func dropSnapshots()

// serviceCredential is that of a service in the default keytab; the tickets of its own it gets with its key.
func serviceCredential(t testing.TB, host string, usage gssapi.Usage) *gssapi.Credential {
	t.Helper()
	c, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Name: gssapi.Service("HTTP", host), Usage: usage,
		Store: gssapi.Store{ClientKeytab: os.Getenv("KRB5_KTNAME"), CCache: fmt.Sprintf("MEMORY:service%d", serial.Add(1))}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// protectAs is a site that only takes tokens for one service, and the Target that clients reach it with.
func protectAs(t testing.TB, host string, usage gssapi.Usage, h http.HandlerFunc) (*site, func(*url.URL) gssapi.Name) {
	s := protectWith(t, &Authenticator{Credential: serviceCredential(t, host, usage)}, h)
	return s, func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", host) }
}

// call gets a URL with a credential, as a handler does, and returns what is there.
func call(ctx context.Context, c *gssapi.Credential, target func(*url.URL) gssapi.Name, url string) (string, error) {
	tr := &Transport{Credential: c, Target: target, Mutual: MutualRequired, Strict: true}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return string(b), err
}

// A handler calls another service as its user, with the ticket that the client has forwarded: while it runs, and after it
// has returned.
func TestForwardedTicketIsUsed(t *testing.T) {
	back, toBack := protectAs(t, newService(t), gssapi.Accept, whoami)
	answered, later := make(chan struct{}), make(chan string, 1)
	front, toFront := protectAs(t, newService(t), gssapi.Accept, func(w http.ResponseWriter, r *http.Request) {
		id, _ := FromContext(r.Context())
		d := id.TakeDelegated()
		body, err := call(r.Context(), d, toBack, back.URL)
		fmt.Fprint(w, body, err)
		ctx := context.WithoutCancel(r.Context())
		go func() {
			defer d.Close()
			<-answered
			body, err := call(ctx, d, toBack, back.URL)
			later <- fmt.Sprint(body, err)
		}()
	})
	tr := &Transport{Target: toFront, Delegate: DelegateAlways}
	defer tr.CloseIdleConnections()
	resp, body := get(t, &http.Client{Transport: tr}, front.URL)
	close(answered)
	const want = "user@NEGO.TEST<nil>"
	if body != want || !OutcomeOf(resp).Delegated {
		t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
	}
	if got := <-later; got != want {
		t.Errorf("after the handler: %q", got)
	}
}

// A service that knows its user by other means acts for them towards itself; towards others only if the KDC allows it, which
// that of this realm never does.
func TestImpersonatedUser(t *testing.T) {
	host := newService(t)
	self, toSelf := protectAs(t, host, gssapi.Accept, whoami)
	back, toBack := protectAs(t, newService(t), gssapi.Accept, whoami)
	service := serviceCredential(t, host, gssapi.Initiate)
	front := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		c, err := service.Impersonate(r.Context(), gssapi.User(r.Header.Get("X-User")))
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		defer c.Close()
		body, err := call(r.Context(), c, toSelf, self.URL)
		fmt.Fprintln(w, body, err)
		body, err = call(r.Context(), c, toBack, back.URL)
		fmt.Fprintln(w, body, err)
	})
	for user, want := range map[string][]string{
		"user": {"user@NEGO.TEST <nil>\n", "HTTP/" + host + "@NEGO.TEST acts for user@NEGO.TEST", "if the KDC refuses that, it must allow HTTP/" + host},
		"none": {"cannot impersonate none: Client not found", "check the name of the user"},
	} {
		req := newRequest(t, "GET", front.URL, nil)
		req.Header.Set("X-User", user)
		_, body := do(t, http.DefaultClient, req)
		for _, want := range either(want, []string{"not available", "Heimdal"}) {
			if !strings.Contains(body, want) {
				t.Errorf("%s: %q, want %q", user, body, want)
			}
		}
	}
}

// A delegated credential that the handler does not take is gone when it has returned, with the cache that its use has made.
func TestUntakenDelegatedIsFreed(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which would find what is not closed
	for _, usage := range either([]gssapi.Usage{gssapi.Accept, gssapi.Both}, []gssapi.Usage{gssapi.Accept}) {
		host := newService(t)
		toSelf := func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", host) }
		s, _ := protectAs(t, host, usage, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/self" {
				whoami(w, r)
				return
			}
			id, _ := FromContext(r.Context())
			body, err := call(r.Context(), id.delegated.Load(), toSelf, "http://"+r.Host+"/self")
			fmt.Fprint(w, body, err)
		})
		tr := &Transport{Target: toSelf, Delegate: DelegateAlways}
		if usage == gssapi.Both {
			tr.Delegate = DelegateNever
		}
		client := &http.Client{Transport: tr}
		before := int64(-1) // until the credentials of the service and of the client are there
		for range 5 {
			if _, body := get(t, client, s.URL); body != "user@NEGO.TEST<nil>" {
				t.Errorf("%v: %q", usage, body)
			}
			dropSnapshots()
			live := liveObjects()
			if before < 0 {
				before = live
			}
			if live > before+1 { // the keys of the service may come to be in memory, once
				t.Errorf("%v: %d C objects are alive, and %d were before", usage, live, before)
			}
		}
		tr.CloseIdleConnections()
	}
}

package negotiate

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// secure is a site behind an Authenticator at https://localhost.
func secure(t testing.TB, a *Authenticator, http2 bool, h http.HandlerFunc) *site {
	t.Helper()
	protected := a.Handler(h)
	s := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { protected.ServeHTTP(w, r) })
	s.Config.ConnContext = a.ConnContext
	s.EnableHTTP2 = http2
	s.StartTLS()
	s.URL = "https://localhost:" + s.port()
	t.Cleanup(s.Close)
	return s
}

// browser is a client with a jar, which has tickets or has none.
func browser(t testing.TB, s *site, rt *Transport) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	base := trusting(s)
	t.Cleanup(base.CloseIdleConnections)
	if rt == nil {
		return &http.Client{Transport: base, Jar: jar}
	}
	rt.Base = base
	t.Cleanup(rt.CloseIdleConnections)
	return &http.Client{Transport: rt, Jar: jar}
}

// asUser has a ticket of a user of its own.
func asUser(t *testing.T) (*gssapi.Credential, string) {
	t.Helper()
	name := fmt.Sprintf("guest%d", serial.Add(1))
	if err := realm.AddUser(name, "secret"); err != nil {
		t.Fatal(err)
	}
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Name: gssapi.User(name), Store: gssapi.Store{Password: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cred.Close() })
	return cred, name + "@NEGO.TEST"
}

// One token is enough for a browser, over both versions of HTTP and on as many connections as it likes.
func TestSessionFlow(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		a := &Authenticator{Sessions: newSessions()}
		s := secure(t, a, http2, whoami)
		tr := &Transport{}
		b := browser(t, s, tr)
		for n := range 5 {
			resp, body := get(t, b, s.URL+"/page")
			if body != "user@NEGO.TEST" || resp.ProtoMajor == 2 != http2 {
				t.Errorf("%d: %s %s, %q", n, resp.Proto, resp.Status, body)
			}
			tr.CloseIdleConnections()
		}
		if s.tokens() != 1 || len(s.seen()) != 6 {
			t.Errorf("%d tokens for 5 requests", s.tokens())
		}
		// Nobody else is that user: not another browser, nor another site in the same one.
		if resp, _ := get(t, browser(t, s, nil), s.URL); resp.StatusCode != 401 {
			t.Error(resp.Status)
		}
		other := secure(t, a, http2, whoami) // on another port, to which browsers send the cookie too
		b.Transport = trusting(other)
		if resp, _ := get(t, b, other.URL); resp.StatusCode != 401 || len(other.seen()) != 1 || other.seen()[0].Header.Get("Cookie") == "" {
			t.Errorf("%s, %v", resp.Status, other.seen())
		}
	}
}

// Who comes on challenge sends one token, and a POST its body once.
func TestSessionUpload(t *testing.T) {
	s := secure(t, &Authenticator{Sessions: newSessions()}, false, func(w http.ResponseWriter, r *http.Request) {
		whoami(w, r)
		io.Copy(w, r.Body)
	})
	b := browser(t, s, &Transport{})
	for range 3 {
		resp, body := do(t, b, newRequest(t, "POST", s.URL, strings.NewReader(" text")))
		if body != "user@NEGO.TEST text" {
			t.Errorf("%s, %q", resp.Status, body)
		}
	}
	if s.tokens() != 1 || len(s.seen()) != 4 {
		t.Errorf("%d requests, %d tokens", len(s.seen()), s.tokens())
	}
}

// Another user in the same browser has another session, and a user of the connection ends with it.
func TestSessionOfAnotherUser(t *testing.T) {
	cred, guest := asUser(t)
	for _, bound := range []bool{false, true} {
		a := &Authenticator{Sessions: newSessions(), ConnectionBound: bound}
		s := secure(t, a, false, whoami)
		b := browser(t, s, nil)
		for _, u := range []struct {
			cred *gssapi.Credential
			want string
		}{{nil, "user@NEGO.TEST"}, {cred, guest}, {nil, "user@NEGO.TEST"}} {
			_, token := initiate(t, web, &gssapi.Options{Credential: u.cred})
			for _, token := range [][]byte{token, nil, nil} {
				if resp, body := send(t, b, s.URL, token); body != u.want {
					t.Errorf("%s, %q, want %s", resp.Status, body, u.want)
				}
			}
			if resp, _ := send(t, b, s.URL, token); resp.StatusCode != either(401, 200) { // Heimdal keeps no replay cache
				t.Errorf("a replayed token: %s", resp.Status)
			}
		}
	}
}

// Servers with the same keys share sessions behind a balancer, and new keys log nobody out.
func TestSessionReplicas(t *testing.T) {
	oldKey, newKey := sessionKey(1), sessionKey(2)
	var replicas [2]*site
	sessions := [2]*Sessions{}
	for i := range replicas {
		sessions[i] = &Sessions{Keys: [][]byte{oldKey}, BehindTLS: true}
		a := &Authenticator{Sessions: sessions[i]}
		replicas[i] = protectWith(t, a, func(w http.ResponseWriter, r *http.Request) {
			whoami(w, r)
			fmt.Fprint(w, " ", r.Header.Get("Cookie"))
		})
	}
	var turn atomic.Int64
	balancer := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		u, err := url.Parse(replicas[turn.Add(1)%2].URL)
		if err != nil {
			panic(err)
		}
		r.SetURL(u)
		r.Out.Host = r.In.Host
	}}
	front := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { balancer.ServeHTTP(w, r) })
	front.StartTLS()
	t.Cleanup(front.Close)
	front.URL = "https://localhost:" + front.port()

	b := browser(t, front, &Transport{})
	ask := func(fresh int) {
		t.Helper()
		for range 4 {
			resp, body := get(t, b, front.URL)
			if body != "user@NEGO.TEST " {
				t.Errorf("%s, %q", resp.Status, body)
			}
			if len(resp.Cookies()) > 0 {
				fresh--
			}
		}
		if fresh != 0 {
			t.Errorf("%d cookies too few", fresh)
		}
	}
	ask(1)
	// First all learn to open what the new key makes, then they make such, then they forget the old one.
	for i, keys := range [][][]byte{{oldKey, newKey}, {newKey, oldKey}, {newKey}} {
		for _, s := range sessions {
			s.Keys = keys
		}
		if i == 1 {
			ask(1)
		} else {
			ask(0)
		}
	}
	tokens := replicas[0].tokens() + replicas[1].tokens()
	if tokens != 1 {
		t.Errorf("%d tokens", tokens)
	}
	// A key that nobody has any more ends all sessions.
	for _, s := range sessions {
		s.Keys = [][]byte{oldKey}
	}
	ask(1)
}

// With BindIfTLS a session goes on over other connections, and does not say that they are bound.
func TestSessionBinding(t *testing.T) {
	cert := certificate(t, "localhost")
	for binding, want := range map[Binding][]string{
		BindIfTLS:    {"true", "false", "false"},
		BindRequired: {"true", "true", "true"},
	} {
		a := &Authenticator{Sessions: newSessions(), ChannelBinding: binding}
		var tokens atomic.Int64
		protected := a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, _ := FromContext(r.Context())
			fmt.Fprint(w, id.Flags&gssapi.FlagChannelBound != 0)
		}))
		s := &http.Server{ConnContext: a.ConnContext, TLSConfig: a.TLSConfig(&tls.Config{Certificates: []tls.Certificate{cert}}), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "" {
				tokens.Add(1)
			}
			protected.ServeHTTP(w, r)
		})}
		base := serveTLS(t, s)
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		tr := &Transport{ChannelBinding: BindRequired, Base: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		var got []string
		for range want {
			resp, body := get(t, &http.Client{Transport: tr, Jar: jar}, base)
			if resp.StatusCode != 200 {
				t.Errorf("%s: %s", binding, resp.Status)
			}
			got = append(got, body)
			tr.CloseIdleConnections()
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q with %d tokens", binding, got, tokens.Load())
		}
	}
}

package negotiate

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// Point 6: tokens before the server has asked.

// asked reports whether a Transport remembers that the origin of a URL asks for tokens.
func asked(t *testing.T, tr *Transport, rawURL string) bool {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return !tr.pools().origins.get(originKey(u)).asked.IsZero()
}

// makeOlder makes what a Transport remembers of an origin older.
func makeOlder(t *testing.T, tr *Transport, rawURL string, by time.Duration) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	tr.pools().origins.learn(originKey(u), func(o *origin) { o.asked = o.asked.Add(-by) })
}

// The second request to an origin is one round trip, with every method and kind of body.
func TestPoint6Remember(t *testing.T) {
	for _, mech := range []gssapi.OID{"", gssapi.KRB5} {
		for _, binding := range []Binding{BindNever, BindIfTLS} {
			for _, version := range []int{1, 2} {
				t.Run(fmt.Sprint(mech, " ", binding, " HTTP/", version), func(t *testing.T) {
					h := new(Authenticator).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						b, _ := io.ReadAll(r.Body)
						fmt.Fprintf(w, "%s %s", r.Method, b)
					}))
					s := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { h.ServeHTTP(w, r) })
					s.EnableHTTP2 = version == 2
					s.StartTLS()
					defer s.Close()
					s.URL = "https://localhost:" + s.port()
					base := trusting(s)
					base.ForceAttemptHTTP2 = version == 2
					tr := &Transport{Base: base, Preemptive: PreemptRemember, Mech: mech, ChannelBinding: binding, Mutual: MutualRequired}
					client := &http.Client{Transport: tr}
					resp, body := get(t, client, s.URL)
					if n := len(s.seen()); n != 2 || body != "GET " || resp.ProtoMajor != version {
						t.Fatalf("%d requests, %q, %s", n, body, resp.Proto)
					}
					for i, req := range []*http.Request{
						newRequest(t, "GET", s.URL+"/elsewhere", nil),
						newRequest(t, "POST", s.URL, strings.NewReader("text")),
						newRequest(t, "PUT", s.URL, &countedBody{Reader: strings.NewReader("text")}),
						newRequest(t, "POST", strings.Replace(s.URL, "localhost", "LOCALHOST", 1), strings.NewReader("text")),
					} {
						want := req.Method + " "
						if req.Body != nil {
							want += "text"
						}
						resp, body := do(t, client, req)
						if o := OutcomeOf(resp); body != want || o.Legs != 1 || o.Err != nil || !o.Mutual || o.ChannelBound != (binding != BindNever) {
							t.Errorf("%s, %q, %+v", resp.Status, body, o)
						}
						if n := len(s.seen()); n != 3+i {
							t.Errorf("%s %d: %d requests", req.Method, i, n)
						}
					}
					if n := s.opened.Load(); n != 2 { // to net/http LOCALHOST is another host
						t.Errorf("%d connections", n)
					}
				})
			}
		}
	}
}

// An origin is one by scheme, host and port, and nothing is remembered but with PreemptRemember's own requests.
func TestPoint6Origins(t *testing.T) {
	s, other := protect(t, new(Authenticator)), protect(t, new(Authenticator))
	tr := &Transport{Preemptive: PreemptRemember}
	client := &http.Client{Transport: tr}
	get(t, client, s.URL)
	get(t, client, other.URL)
	if n := len(other.seen()); n != 2 {
		t.Errorf("the first request to another origin took %d legs", n)
	}
	never := &Transport{}
	for range 2 {
		get(t, &http.Client{Transport: never}, s.URL)
	}
	if n := len(s.seen()); n != 6 {
		t.Errorf("%d requests, want 6: without Preemptive each is challenged", n)
	}
}

// When an origin is forgotten, and when it is not.
func TestPoint6Forget(t *testing.T) {
	for _, c := range []struct {
		name   string
		mech   gssapi.OID
		fresh  bool // connection
		status int
		early  bool // a token goes with the request
		kept   bool
	}{
		{"SPNEGO is ignored on a fresh connection", "", true, 200, true, false},
		{"SPNEGO is ignored on a reused one", "", false, 200, true, true},
		{"krb5 is ignored on a fresh connection", gssapi.KRB5, true, 200, true, true},
		{"an error on a fresh connection", "", true, 404, true, false},
		{"a 401 of another scheme", "", true, 401, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			public := false
			var a Authenticator
			s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				if public {
					if c.status == 401 {
						w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
					}
					w.WriteHeader(c.status)
					return
				}
				if _, err := a.Authenticate(w, r); err != nil {
					w.WriteHeader(401)
				}
			})
			tr := &Transport{Preemptive: PreemptRemember, Mech: c.mech}
			client := &http.Client{Transport: tr}
			get(t, client, s.URL)
			if !asked(t, tr, s.URL) {
				t.Fatal("not remembered")
			}
			public = true
			if c.fresh {
				tr.CloseIdleConnections()
			}
			resp, _ := get(t, client, s.URL)
			if resp.StatusCode != c.status || (OutcomeOf(resp).Legs == 1) != c.early {
				t.Errorf("%s, %+v", resp.Status, OutcomeOf(resp))
			}
			if got := asked(t, tr, s.URL); got != c.kept {
				t.Errorf("remembered: %v", got)
			}
			before := s.tokens()
			get(t, client, s.URL)
			if got := s.tokens() > before; got != c.kept {
				t.Errorf("the next request has a token: %v", got)
			}
			// Forgotten is not for ever.
			public = false
			if resp, _ := get(t, client, s.URL); resp.StatusCode != 200 || !asked(t, tr, s.URL) {
				t.Errorf("%s, %+v", resp.Status, OutcomeOf(resp))
			}
		})
	}
}

// An origin that has not asked for ten minutes has to ask again. Its answer to a token counts as asking, where it has one.
func TestPoint6Age(t *testing.T) {
	s := protect(t, new(Authenticator))
	tr := &Transport{Preemptive: PreemptRemember}
	client := &http.Client{Transport: tr}
	want := 0
	send := func(legs int, what string) {
		t.Helper()
		want += legs
		if _, body := get(t, client, s.URL); body != "user@NEGO.TEST" {
			t.Error(body)
		}
		if n := len(s.seen()); n != want {
			t.Errorf("%s: %d requests, want %d", what, n, want)
			want = n
		}
	}
	send(2, "unknown")
	makeOlder(t, tr, s.URL, originLife-time.Minute)
	send(1, "nearly too old")
	makeOlder(t, tr, s.URL, originLife-time.Minute)
	send(1, "the answer to the token has renewed it")
	makeOlder(t, tr, s.URL, originLife+time.Second)
	send(2, "too old")
	send(1, "renewed")
}

func TestPoint6Bound(t *testing.T) {
	var m origins
	key := func(i int) string { return fmt.Sprint("http://host", i, ":80") }
	for i := range maxOrigins {
		m.learn(key(i), func(o *origin) { o.asked = time.Now() })
	}
	m.get(key(0)) // used, so that another one is the oldest
	m.learn(key(1), func(o *origin) { o.deaf = true })
	m.learn(key(maxOrigins), func(o *origin) { o.asked = time.Now() })
	m.learn(key(maxOrigins+1), func(o *origin) { o.asked = time.Now() })
	if len(m.byKey) != maxOrigins || m.recent.Len() != maxOrigins {
		t.Errorf("%d and %d origins", len(m.byKey), m.recent.Len())
	}
	for i, want := range map[int]bool{0: true, 1: true, 2: false, 3: false, 4: true, maxOrigins: true, maxOrigins + 1: true} {
		if got := !m.get(key(i)).asked.IsZero(); got != want {
			t.Errorf("origin %d is remembered: %v", i, got)
		}
	}
	if len(m.byKey) != maxOrigins {
		t.Errorf("%d origins: a look makes one", len(m.byKey))
	}
}

// With PreemptAlways each request has a token, its own, and one connection serves them all.
func TestPoint6Always(t *testing.T) {
	s := protect(t, new(Authenticator))
	for _, mutual := range []Mutual{MutualDisabled, MutualRequired} {
		tr := &Transport{Preemptive: PreemptAlways, Mutual: mutual}
		client := &http.Client{Transport: tr}
		opened, before := s.opened.Load(), len(s.seen())
		for range 20 {
			if resp, body := get(t, client, s.URL); body != "user@NEGO.TEST" || OutcomeOf(resp).Legs != 1 {
				t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
			}
		}
		if n := s.opened.Load() - opened; n != 1 {
			t.Errorf("%d connections", n)
		}
		tokens := map[string]bool{}
		for _, r := range s.seen()[before:] {
			tokens[r.Header.Get("Authorization")] = true
		}
		if len(tokens) != 20 || tokens[""] {
			t.Errorf("%d different tokens in 20 requests", len(tokens))
		}
	}
}

// Where no early token can be made the request goes without, and a challenge is answered as ever: once.
func TestPoint6EarlyTokenFails(t *testing.T) {
	public := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) { fmt.Fprint(w, "public") })
	bad := func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", "unknown.nego.test") }
	resp, body := get(t, &http.Client{Transport: &Transport{Preemptive: PreemptAlways, Target: bad, Strict: true}}, public.URL)
	if o := OutcomeOf(resp); body != "public" || o.Legs != 0 || o.Err != nil || len(public.seen()) != 1 {
		t.Errorf("%q, %+v", body, o)
	}

	// The service becomes known between the two.
	host := fmt.Sprintf("late%d.nego.test", serial.Add(1))
	for _, accept := range []bool{true, false} {
		challenges := 0
		var a Authenticator
		s := newSite(t, func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 0 {
				if err := realm.AddService("HTTP/" + host); err != nil {
					t.Error(err)
				}
			}
			_, err := a.Authenticate(w, r)
			if err != nil || !accept {
				challenges++
				w.Header().Set("WWW-Authenticate", "Negotiate")
				w.WriteHeader(401)
			}
			b, _ := io.ReadAll(r.Body)
			w.Write(b)
		})
		tr := &Transport{Preemptive: PreemptAlways, Target: func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", host) }}
		resp, body = do(t, &http.Client{Transport: tr}, newRequest(t, "POST", s.URL, strings.NewReader("text")))
		o := OutcomeOf(resp)
		if accept && (resp.StatusCode != 200 || challenges != 1) || !accept && resp.StatusCode != 401 || body != "text" {
			t.Errorf("%s, %q, %+v", resp.Status, body, o)
		}
		if n := len(s.seen()); n != 2 || s.tokens() != 1 || o.Legs != 1 || errors.Is(o.Err, ErrRefused) == accept {
			t.Errorf("accept %v: %d requests, %d tokens, %+v", accept, n, s.tokens(), o)
		}
		host = fmt.Sprintf("late%d.nego.test", serial.Add(1))
	}
}

// An early token that is refused, in whatever way, is followed by one of a fresh context, and no more.
func TestPoint6RefusedEarlyToken(t *testing.T) {
	for _, challenge := range []string{"Negotiate", "Negotiate oQcwBaADCgEC"} {
		for _, preempt := range []Preemption{PreemptRemember, PreemptAlways} {
			for _, refusals := range []int{1, 1000} {
				for _, once := range []bool{false, true} {
					t.Run(fmt.Sprint(challenge, " ", preempt, " ", refusals, " one-shot ", once), func(t *testing.T) {
						var a Authenticator
						s := newSite(t, func(w http.ResponseWriter, r *http.Request, n int) {
							if r.Header.Get("Authorization") == "" || n < refusals {
								w.Header().Set("WWW-Authenticate", challenge)
								w.WriteHeader(401)
								return
							}
							if _, err := a.Authenticate(w, r); err != nil {
								w.WriteHeader(401)
							}
							io.Copy(w, r.Body)
						})
						tr := &Transport{Preemptive: preempt}
						u, err := url.Parse(s.URL)
						if err != nil {
							t.Fatal(err)
						}
						tr.pools().origins.learn(originKey(u), func(o *origin) { o.asked = time.Now() })
						body := io.Reader(strings.NewReader("text"))
						if once {
							body = &countedBody{Reader: body}
						}
						resp, text := do(t, &http.Client{Transport: tr}, newRequest(t, "POST", s.URL, body))
						o := OutcomeOf(resp)
						if refusals == 1 && (resp.StatusCode != 200 || text != "text" || o.Err != nil) || refusals > 1 && (resp.StatusCode != 401 || !errors.Is(o.Err, ErrRefused)) {
							t.Errorf("%s, %q, %+v", resp.Status, text, o)
						}
						seen := s.seen()
						if len(seen) != 2 || s.tokens() != 2 || o.Legs != 2 {
							t.Fatalf("%d requests, %d tokens, %d legs", len(seen), s.tokens(), o.Legs)
						}
						if seen[0].Header.Get("Authorization") == seen[1].Header.Get("Authorization") {
							t.Error("the same token again")
						}
						if !asked(t, tr, s.URL) {
							t.Error("forgotten, though it asked")
						}
					})
				}
			}
		}
	}
}

package negotiate

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// A server that answers a token with other schemes has refused it.
func TestRefusedForAnotherScheme(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		w.Header().Set(askHeader, "Negotiate")
		if r.Header.Get("Authorization") != "" {
			w.Header().Set(askHeader, `Basic realm="x"`)
		}
		w.WriteHeader(401)
	})
	resp, _ := get(t, &http.Client{Transport: &Transport{}}, s.URL)
	if err := OutcomeOf(resp).Err; !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	if _, err := (&Transport{Strict: true}).RoundTrip(newRequest(t, "GET", s.URL, nil)); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

// A request that goes without a token, on a connection that a HEAD has authenticated, may be refused for another scheme.
func TestRefusedWithoutAContext(t *testing.T) {
	tr := &Transport{}
	x := newExchange(tr, tr.pools(), newRequest(t, "POST", "http://localhost/", nil))
	x.origin.sent = 1 // in the handshake that is over
	again, err := x.answerOrigin(&http.Response{StatusCode: 401, Header: http.Header{askHeader: {"Basic"}}, Body: http.NoBody})
	if again || err != nil {
		t.Error(again, err)
	}
}

// A lane goes the way that Base's Proxy chooses for the request itself.
func TestLaneKeepsToTheRoute(t *testing.T) {
	b := newBound(t)
	if b == nil {
		return
	}
	hits := 0
	proxy := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		hits++
		w.WriteHeader(http.StatusBadGateway)
	})
	u, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	base := &http.Transport{Proxy: func(r *http.Request) (*url.URL, error) {
		if r.URL.Host == u.Host && r.URL.Path == "/direct" { // as NO_PROXY with a port has it
			return nil, nil
		}
		return url.Parse(proxy.URL)
	}}
	c := newLanes(t, b, &Transport{Base: base, Mutual: MutualOptional})
	for range 2 {
		if resp, body := get(t, c, b.URL+"/direct"); body != "user@NEGO.TEST " {
			t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
		}
	}
	if hits > 0 {
		t.Errorf("the proxy was asked %d times", hits)
	}
	// The lane that is there leads to the origin directly, and this request does not go there.
	if resp, body := get(t, c, b.URL+"/by-proxy"); resp.StatusCode != http.StatusBadGateway || hits != 1 {
		t.Errorf("%s, %q, %d hits", resp.Status, body, hits)
	}
}

// Base's Proxy is asked once, so that a token for one proxy is not sent to another.
func TestPoint12ProxyIsChosenOnce(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	var tokens [2]int
	var urls [2]*url.URL
	for i := range urls {
		p := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			if r.Header.Get("Proxy-Authorization") == "" {
				w.Header().Set(proxyAskHeader, "Negotiate")
				w.WriteHeader(http.StatusProxyAuthRequired)
				return
			}
			tokens[i]++
			io.WriteString(w, "through")
		})
		urls[i], _ = url.Parse(p.URL)
	}
	tr := &Transport{ProxyAuth: true, Base: &http.Transport{Proxy: func(*http.Request) (*url.URL, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return urls[asked%2], nil
	}}}
	for n := range 4 {
		if resp, body := get(t, &http.Client{Transport: tr}, "http://origin.nego.test/"); body != "through" {
			t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
		}
		if asked != n+1 {
			t.Errorf("asked %d times for %d requests", asked, n+1)
		}
	}
	if tokens != [2]int{2, 2} {
		t.Errorf("tokens %v", tokens)
	}
}

// The HEAD that authenticates a lane carries nothing that has an effect, and the request itself all of it.
func TestWarmingRequest(t *testing.T) {
	b := newBound(t)
	if b == nil {
		return
	}
	c := newLanes(t, b, &Transport{Preemptive: PreemptAlways, Mutual: MutualOptional})
	req := newRequest(t, "POST", b.URL, strings.NewReader("text"))
	for _, name := range []string{"Idempotency-Key", "X-HTTP-Method-Override", "Content-Digest", "If-Match", "Content-Type", "X-Kept"} {
		req.Header.Set(name, "x")
	}
	if resp, body := do(t, c, req); body != "user@NEGO.TEST text" {
		t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
	}
	for _, r := range b.seen() {
		for _, name := range []string{"Idempotency-Key", "X-Http-Method-Override", "Content-Digest", "If-Match", "Content-Type"} {
			if there := r.Header.Get(name) != ""; there != (r.Method == "POST") {
				t.Errorf("%s has %s: %v", r.Method, name, there)
			}
		}
		if r.Header.Get("X-Kept") == "" {
			t.Errorf("%s lacks a field", r.Method)
		}
	}
}

// Lanes that nobody could use again are not kept: with MutualRequired each request needs a token.
func TestLanesOfMutualRequired(t *testing.T) {
	b := newBound(t)
	if b == nil {
		return
	}
	tr := &Transport{Preemptive: PreemptAlways, Mutual: MutualRequired}
	c := newLanes(t, b, tr)
	if resp, body := get(t, c, b.URL); body != "user@NEGO.TEST " || !OutcomeOf(resp).Mutual {
		t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
	}
	for key, l := range tr.pools().lanes {
		t.Errorf("%d lanes wait for %s", len(l), key.origin)
	}
}

// Base may keep no connections, and a request may want its own closed: legs share one all the same.
func TestLegsWithoutKeepAlive(t *testing.T) {
	for _, closing := range []bool{false, true} {
		b := newBound(t)
		if b == nil {
			return
		}
		c := newLanes(t, b, &Transport{Base: &http.Transport{DisableKeepAlives: !closing}, Mutual: MutualOptional})
		req := newRequest(t, "GET", b.URL, nil)
		req.Close = closing
		if resp, body := do(t, c, req); body != "user@NEGO.TEST " {
			t.Errorf("%v: %s, %q, %+v", closing, resp.Status, body, OutcomeOf(resp))
		}
	}
}

// A body that was announced is not read where the server answers without having asked for it.
func TestUnwantedBody(t *testing.T) {
	for _, status := range []int{307, 403, 413} {
		s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		})
		read := 0
		body := io.NopCloser(readFunc(func(p []byte) (int, error) { read += len(p); return len(p), nil }))
		req := newRequest(t, "POST", s.URL, nil)
		req.Body, req.ContentLength = body, 1<<30
		resp, err := (&Transport{}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != status || read > 0 {
			t.Errorf("%s, and %d bytes were read", resp.Status, read)
		}
	}
}

// A delegated credential ends with the user of the connection.
func TestBoundDelegatedEnds(t *testing.T) {
	var ids []*Identity
	a := &Authenticator{ConnectionBound: true}
	s := keepUser(t, a, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := FromContext(r.Context())
		ids = append(ids, id)
	}))
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	var first *gssapi.Credential
	for n := range 2 {
		_, token := initiate(t, gssapi.Service("HTTP", "localhost"), &gssapi.Options{Flags: gssapi.FlagDelegate})
		send(t, c, s.URL, token)
		send(t, c, s.URL, nil)
		if n == 0 {
			if first = ids[0].delegated.Load(); first == nil {
				t.Fatal("nothing was delegated")
			}
			if _, err := first.Info(); err != nil {
				t.Errorf("while the user is there: %v", err)
			}
		}
	}
	if _, err := first.Info(); !errors.Is(err, gssapi.ErrClosed) {
		t.Errorf("behind another token: %v", err)
	}
	ids[len(ids)-1].end()
}

// A proxy may ask when the origin will not: what decides whether a body is held back is who may want a token first.
func TestPoint12BodyForAnotherOrigin(t *testing.T) {
	proxy := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.Header.Get(proxyReplyHeader) == "" {
			w.Header().Set(proxyAskHeader, "Negotiate")
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		io.Copy(w, r.Body)
	})
	through, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, tr := range map[string]*Transport{
		"not allowed":            {Allow: func(*url.URL) bool { return false }},
		"the caller's, at first": {},
	} {
		t.Run(name, func(t *testing.T) {
			tr.Base, tr.ProxyAuth = &http.Transport{Proxy: http.ProxyURL(through)}, true
			t.Cleanup(tr.CloseIdleConnections)
			for range 2 { // the second time the token goes at once
				req, err := http.NewRequest("POST", "http://origin.example/", io.MultiReader(strings.NewReader("hello")))
				if err != nil {
					t.Fatal(err)
				}
				if tr.Allow == nil {
					req.SetBasicAuth("user", "password")
				}
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 || string(body) != "hello" || err != nil {
					t.Errorf("%s %q, %v: %v", resp.Status, body, err, OutcomeOf(resp).Err)
				}
			}
		})
	}
}

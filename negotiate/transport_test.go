package negotiate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/nego-sso/nego/gssapi"
)

// get sends a GET and returns the response with its body read.
func get(t testing.TB, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	return do(t, c, newRequest(t, "GET", url, nil))
}

func newRequest(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func do(t testing.TB, c *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp, string(b)
}

func TestGet(t *testing.T) {
	s := protect(t, new(Authenticator))
	for _, tr := range []*Transport{{}, {Mech: gssapi.KRB5}, {Mutual: MutualOptional}, {Mutual: MutualRequired}, {Mutual: MutualRequired, Mech: gssapi.KRB5}} {
		t.Run(fmt.Sprintf("%s %s", tr.Mutual, tr.Mech), func(t *testing.T) {
			resp, body := get(t, &http.Client{Transport: tr}, s.URL+"/path?query")
			if resp.StatusCode != 200 || body != "user@NEGO.TEST" {
				t.Errorf("%s: %s", resp.Status, body)
			}
			o := OutcomeOf(resp)
			if o.Err != nil || o.Legs != 1 || o.Target != gssapi.Service("HTTP", "localhost") || o.Mutual != (tr.Mutual != MutualDisabled) {
				t.Errorf("outcome %+v", o)
			}
			if o.Mutual && o.Mech != gssapi.KRB5 {
				t.Errorf("mechanism %s", o.Mech)
			}
			if resp.Request.Header.Get("Authorization") != "" {
				t.Error("the response's request has the token")
			}
		})
	}
}

func TestHTTP2(t *testing.T) {
	h := new(Authenticator).Handler(http.HandlerFunc(whoami))
	s := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { h.ServeHTTP(w, r) })
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	s.URL = "https://localhost:" + s.port()
	tr := &Transport{Base: trusting(s), Mutual: MutualRequired}
	for range 3 {
		req := newRequest(t, "POST", s.URL, strings.NewReader("hello"))
		resp, body := do(t, &http.Client{Transport: tr}, req)
		if resp.ProtoMajor != 2 || body != "user@NEGO.TEST" {
			t.Errorf("%s %s: %s, %+v", resp.Proto, resp.Status, body, OutcomeOf(resp))
		}
	}
	if n := s.opened.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// trusting is a base that trusts a TLS site under the name localhost.
func trusting(s *site) *http.Transport {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.com"}, ForceAttemptHTTP2: true}
}

func TestPublicPage(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) { fmt.Fprint(w, "public") })
	resp, body := get(t, &http.Client{Transport: &Transport{}}, s.URL)
	if body != "public" || OutcomeOf(resp) != (Outcome{}) || len(s.seen()) != 1 || s.tokens() != 0 {
		t.Errorf("%s, %+v, %d requests", body, OutcomeOf(resp), len(s.seen()))
	}
}

func TestOneConnection(t *testing.T) {
	for _, text := range []int{0, 10, 4000, drainBytes} {
		t.Run(fmt.Sprint(text), func(t *testing.T) {
			a := &Authenticator{Deny: func(w http.ResponseWriter, r *http.Request, err error) {
				w.WriteHeader(401)
				io.WriteString(w, strings.Repeat("x", text))
			}}
			s := protect(t, a)
			client := &http.Client{Transport: &Transport{}}
			for i := range 10 {
				req := newRequest(t, "GET", s.URL, nil)
				if i%2 == 1 {
					req = newRequest(t, "POST", s.URL, strings.NewReader("some text"))
				}
				if _, body := do(t, client, req); body != "user@NEGO.TEST" {
					t.Fatal(body)
				}
			}
			if n := s.opened.Load(); n != 1 {
				t.Errorf("%d connections for 10 requests", n)
			}
			if n := len(s.seen()); n != 20 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestEndless401(t *testing.T) {
	for name, write := range map[string]func(w http.ResponseWriter, r *http.Request){
		"flood": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.Write(make([]byte, 32<<10))
			}
		},
		"silence": func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := protect(t, &Authenticator{Deny: func(w http.ResponseWriter, r *http.Request, err error) {
				w.WriteHeader(401)
				write(w, r)
			}})
			if _, body := get(t, &http.Client{Transport: &Transport{}}, s.URL); body != "user@NEGO.TEST" {
				t.Error(body)
			}
		})
	}
}

func TestHead(t *testing.T) {
	s := protect(t, new(Authenticator))
	resp, body := do(t, &http.Client{Transport: &Transport{Mutual: MutualRequired}}, newRequest(t, "HEAD", s.URL, nil))
	if resp.StatusCode != 200 || body != "" || !OutcomeOf(resp).Mutual {
		t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
	}
}

// The server's final answer is the caller's, whatever its status.
func TestPoint3FinalStatus(t *testing.T) {
	for _, status := range []int{204, 304, 401, 403, 404, 500} {
		for _, strict := range []bool{false, true} {
			var a Authenticator
			s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				if _, err := a.Authenticate(w, r); err != nil {
					w.WriteHeader(401)
					return
				}
				w.WriteHeader(status)
				if status >= 400 {
					io.WriteString(w, "because")
				}
			})
			resp, body := get(t, &http.Client{Transport: &Transport{Strict: strict}}, s.URL)
			if resp.StatusCode != status || status >= 400 && body != "because" || OutcomeOf(resp).Err != nil {
				t.Errorf("%d came as %s, %q, %+v", status, resp.Status, body, OutcomeOf(resp))
			}
			if n := len(s.seen()); n != 2 {
				t.Errorf("%d: %d requests", status, n)
			}
		}
	}
}

// A server that does not take the token is told from one that turns the user away.
func TestRefused(t *testing.T) {
	for _, answer := range []string{"Negotiate", "Negotiate oQcwBaADCgEC"} {
		s := newSite(t, func(w http.ResponseWriter, r *http.Request, n int) {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			if n > 0 {
				w.Header().Set("WWW-Authenticate", answer)
			}
			w.WriteHeader(401)
			io.WriteString(w, "no")
		})
		resp, body := get(t, &http.Client{Transport: &Transport{}}, s.URL)
		o := OutcomeOf(resp)
		if resp.StatusCode != 401 || body != "no" || !errors.Is(o.Err, ErrRefused) || o.Legs != 1 || !strings.Contains(o.Err.Error(), "keytab") {
			t.Errorf("%s: %s, %q, %+v", answer, resp.Status, body, o)
		}
		if _, err := (&Transport{Strict: true}).RoundTrip(newRequest(t, "GET", s.URL, nil)); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: strict: %v", answer, err)
		}
	}
}

// What keeps the client from authenticating leaves it with the server's own response, or with the error if it
// is strict.
func TestPoint3Failures(t *testing.T) {
	for _, c := range []struct {
		name      string
		challenge string
		tr        func() *Transport
		want      error
		text      string
		legs      int
	}{
		{name: "malformed", challenge: "Negotiate @@@", want: ErrChallenge},
		{name: "forbidden", want: ErrNotAllowed, tr: func() *Transport { return &Transport{Allow: func(*url.URL) bool { return false }} }},
		{name: "unknown service", want: gssapi.ErrFailure, text: either("HTTP/unknown.nego.test@NEGO.TEST not found", "SERVER (HTTP/unknown.nego.test@NEGO.TEST)"),
			tr: func() *Transport {
				return &Transport{Target: func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", "unknown.nego.test") }}
			}},
		{name: "unknown mechanism", want: gssapi.ErrBadMech, tr: func() *Transport { return &Transport{Mech: "\x2a\x03\x04"} }},
		{name: "closed credential", want: gssapi.ErrClosed, tr: func() *Transport {
			c, err := gssapi.Acquire(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			return &Transport{Credential: c}
		}},
		{name: "refused with a reason", challenge: "Negotiate oQcwBaADCgEC", want: gssapi.ErrBadMech, legs: 1},
		{name: "further leg malformed", challenge: "Negotiate @@@", want: ErrChallenge, legs: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, func(w http.ResponseWriter, r *http.Request, n int) {
				challenge := "Negotiate"
				if n%2 == c.legs && c.challenge != "" {
					challenge = c.challenge
				}
				w.Header().Set("WWW-Authenticate", challenge)
				w.Header().Set("X-Kept", "yes")
				w.WriteHeader(401)
				fmt.Fprint(w, "who are you?")
			})
			tr := &Transport{}
			if c.tr != nil {
				tr = c.tr()
			}
			check := func(err error) {
				t.Helper()
				var e *Error
				if !errors.Is(err, c.want) || !errors.As(err, &e) || e.Status != 401 || e.URL != s.URL+"/p" || !strings.Contains(err.Error(), c.text) {
					t.Errorf("error %v", err)
				}
			}
			resp, body := get(t, &http.Client{Transport: tr}, s.URL+"/p?secret=1")
			if resp.StatusCode != 401 || body != "who are you?" || resp.Header.Get("X-Kept") != "yes" {
				t.Errorf("%s, %q", resp.Status, body)
			}
			check(OutcomeOf(resp).Err)
			if n := OutcomeOf(resp).Legs; n != c.legs || s.tokens() != c.legs {
				t.Errorf("%d legs, %d tokens", n, s.tokens())
			}

			tr.Strict = true // not used by anybody else any more
			var o Outcome
			resp, err := (&http.Client{Transport: tr}).Do(newRequest(t, "GET", s.URL+"/p?secret=1", nil).WithContext(WithOutcome(t.Context(), &o)))
			if err == nil {
				resp.Body.Close()
				t.Fatal("strict, and no error")
			}
			check(err)
			check(o.Err)
			if n := s.opened.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

func TestNoTicket(t *testing.T) {
	const cache = "FILE:/nonexistent/cache"
	if !inChild(t, "KRB5CCNAME="+cache) {
		return
	}
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		w.Header().Set("WWW-Authenticate", "Negotiate")
		w.WriteHeader(401)
		fmt.Fprint(w, "who are you?")
	})
	tr := &Transport{Mutual: MutualRequired}
	resp, body := get(t, &http.Client{Transport: tr}, s.URL)
	err := OutcomeOf(resp).Err
	if resp.StatusCode != 401 || body != "who are you?" || len(s.seen()) != 1 {
		t.Errorf("%s, %q, %d requests", resp.Status, body, len(s.seen()))
	}
	if !errors.Is(err, gssapi.ErrNoCred) || !strings.Contains(err.Error(), cache) || !strings.Contains(err.Error(), "kinit") {
		t.Errorf("the outcome does not say what to do: %v", err)
	}
	tr.Strict = true
	if resp, err := (&http.Client{Transport: tr}).Do(newRequest(t, "GET", s.URL, nil)); !errors.Is(err, gssapi.ErrNoCred) {
		t.Errorf("strict: %v, %v", resp, err)
	}
}

func TestCredential(t *testing.T) {
	name := fmt.Sprintf("other%d", serial.Add(1))
	if err := realm.AddUser(name, "secret"); err != nil {
		t.Fatal(err)
	}
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Name: gssapi.User(name), Store: gssapi.Store{Password: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	s := protect(t, new(Authenticator))
	if _, body := get(t, &http.Client{Transport: &Transport{Credential: cred}}, s.URL); body != name+"@NEGO.TEST" {
		t.Error(body)
	}
}

func TestFlags(t *testing.T) {
	for mutual, want := range map[Mutual]gssapi.Flags{MutualDisabled: 0, MutualOptional: gssapi.FlagMutual, MutualRequired: gssapi.FlagMutual} {
		var flags gssapi.Flags
		var a Authenticator
		s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			id, err := a.Authenticate(w, r)
			if err != nil {
				w.WriteHeader(401)
				return
			}
			flags = id.Flags
		})
		get(t, &http.Client{Transport: &Transport{Mutual: mutual}}, s.URL)
		const asked = gssapi.FlagDelegate | gssapi.FlagMutual | gssapi.FlagReplay | gssapi.FlagSequence
		if flags&asked != want {
			t.Errorf("%s: the server sees %s", mutual, flags)
		}
	}
}

// The caller's request comes out as it went in.
func TestPoint1RequestUnchanged(t *testing.T) {
	s := protect(t, new(Authenticator))
	body := &countedBody{Reader: strings.NewReader("text")}
	req := newRequest(t, "POST", s.URL, nil)
	req.Body, req.ContentLength = body, 4
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("text")), nil }
	req.Header = http.Header{"X-A": {"1", "2"}, "Cookie": {"a=b"}}
	req.Host = "localhost:1"
	before := *req
	before.Header = maps.Clone(req.Header)
	u := *req.URL
	before.URL = &u
	resp, err := (&Transport{Mutual: MutualRequired}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	// Functions cannot be compared.
	req.GetBody, before.GetBody = nil, nil
	if !reflect.DeepEqual(req, &before) {
		t.Errorf("was %+v\nis  %+v", before, req)
	}
	for _, r := range s.seen() {
		if r.Host != "localhost:1" {
			t.Errorf("Host: %s", r.Host)
		}
	}
}

func TestForeignAuthorization(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, n int) {
		w.Header().Set("WWW-Authenticate", "Negotiate")
		w.WriteHeader(401)
	})
	withHeader := newRequest(t, "GET", s.URL, nil)
	withHeader.Header.Set("Authorization", "Bearer abc")
	withUserinfo := newRequest(t, "GET", strings.Replace(s.URL, "//", "//alice:secret@", 1), nil)
	for _, req := range []*http.Request{withHeader, withUserinfo} {
		resp, err := (&Transport{}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 401 || OutcomeOf(resp) != (Outcome{}) {
			t.Errorf("%s, %+v", resp.Status, OutcomeOf(resp))
		}
	}
	do(t, &http.Client{Transport: &Transport{}}, withUserinfo.Clone(t.Context()))
	if n := len(s.seen()); n != 3 || s.tokens() != 0 {
		t.Errorf("%d requests, %d tokens", n, s.tokens())
	}
	if got := s.seen()[2].Header.Get("Authorization"); !strings.HasPrefix(got, "Basic ") {
		t.Errorf("userinfo became %q", got)
	}
}

func TestCookies(t *testing.T) {
	var a Authenticator
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if _, err := a.Authenticate(w, r); err != nil {
			for _, line := range []string{"node=1; Path=/", "old=new; Path=/", "gone=; Max-Age=0; Path=/", "elsewhere=1; Path=/other",
				"foreign=1; Domain=example.com", `quoted="a b"`} {
				w.Header().Add("Set-Cookie", line)
			}
			w.WriteHeader(401)
			return
		}
		w.Header().Add("Set-Cookie", "node=2; Path=/")
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &Transport{}, Jar: jar}
	req := newRequest(t, "GET", s.URL+"/here/", nil)
	jar.SetCookies(req.URL, []*http.Cookie{{Name: "old", Value: "old"}, {Name: "gone", Value: "soon"}, {Name: "stays", Value: "1"}})
	do(t, client, req)
	if got, want := s.seen()[1].Header["Cookie"], []string{`stays=1; node=1; old=new; quoted="a b"`}; !reflect.DeepEqual(got, want) {
		t.Errorf("the second leg has the cookies %q, want %q", got, want)
	}
	values := map[string]string{}
	for _, c := range jar.Cookies(req.URL) {
		values[c.Name] += c.Value
	}
	if values["node"] != "2" || !strings.Contains(values["old"], "new") || values["stays"] != "1" {
		t.Errorf("the jar has %v", values)
	}
}

func TestCookiesOfTheRequestAlone(t *testing.T) {
	var a Authenticator
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if _, err := a.Authenticate(w, r); err != nil {
			w.Header().Set("Set-Cookie", "only=; Expires=Thu, 01 Jan 1970 00:00:01 GMT")
			w.WriteHeader(401)
		}
	})
	req := newRequest(t, "GET", s.URL, nil)
	req.Header["Cookie"] = []string{"only=1"}
	resp, _ := do(t, &http.Client{Transport: &Transport{}}, req)
	if got := s.seen()[1].Header["Cookie"]; got != nil {
		t.Errorf("a deleted cookie was sent: %q", got)
	}
	if got := resp.Header["Set-Cookie"]; len(got) != 1 {
		t.Errorf("the caller learns %q", got)
	}
}

func TestTrailer(t *testing.T) {
	var got http.Header
	var a Authenticator
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		io.Copy(io.Discard, r.Body)
		if _, err := a.Authenticate(w, r); err != nil {
			w.WriteHeader(401)
			return
		}
		got = r.Trailer
	})
	req := newRequest(t, "POST", s.URL, nil)
	req.Trailer = http.Header{"X-Sum": nil}
	req.GetBody = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("text"), readFunc(func([]byte) (int, error) {
			req.Trailer["X-Sum"] = []string{"42"}
			return 0, io.EOF
		}))), nil
	}
	req.Body, _ = req.GetBody()
	do(t, &http.Client{Transport: &Transport{}}, req)
	if got.Get("X-Sum") != "42" {
		t.Errorf("trailer %v", got)
	}
}

// The sender of a first leg may still be at its end when the body of the next one is read, which fills in the caller's trailer.
func TestTrailerIsOneLegs(t *testing.T) {
	var got http.Header
	h := new(Authenticator).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		got = r.Trailer
	}))
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) { h.ServeHTTP(w, r) })
	real := http.DefaultTransport.(*http.Transport).Clone()
	defer real.CloseIdleConnections()
	var legs []*http.Request
	tr := &Transport{Base: &fakeBase{roundTrip: func(r *http.Request) (*http.Response, error) {
		legs = append(legs, r)
		return real.RoundTrip(r)
	}}}
	tr.pools().gateTime = time.Hour
	req := newRequest(t, "POST", s.URL, nil)
	req.Trailer = http.Header{"X-Sum": nil}
	req.Body = io.NopCloser(io.MultiReader(strings.NewReader("text"), readFunc(func([]byte) (int, error) {
		req.Trailer["X-Sum"] = []string{"42"}
		return 0, io.EOF
	})))
	do(t, &http.Client{Transport: tr}, req)
	if len(legs) != 2 || got.Get("X-Sum") != "42" {
		t.Fatalf("%d legs, trailer %v", len(legs), got)
	}
	if v := legs[0].Trailer.Get("X-Sum"); v != "" {
		t.Errorf("the first leg has the trailer of the second: %s", v)
	}
}

// summed is a body that can be sent again, and has a trailer when it has been read.
type summed struct {
	*strings.Reader
	req *http.Request
}

func (b summed) Close() error { return nil }

func (b summed) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.req.Trailer["X-Sum"] = []string{"42"}
	}
	return n, err
}

// The sender of a leg that has ended may find that out while the body is read for the next one.
func TestTrailerOfAnEndedLeg(t *testing.T) {
	req := newRequest(t, "POST", "http://localhost/", nil)
	req.Trailer = http.Header{"X-Sum": nil}
	req.Body, req.ContentLength = summed{strings.NewReader("text"), req}, 4
	b := newBody(req)
	defer b.release()
	one, two := req.Clone(t.Context()), req.Clone(t.Context())
	b.take(one, nil)
	if _, err := io.ReadFull(one.Body, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if err := b.prepare(true); err != nil {
		t.Fatal(err)
	}
	b.take(two, nil)
	var reads sync.WaitGroup
	reads.Go(func() { one.Body.Read(make([]byte, 1)) })
	reads.Go(func() { io.Copy(io.Discard, two.Body) })
	reads.Wait()
	if one.Trailer.Get("X-Sum") != "" || two.Trailer.Get("X-Sum") != "42" {
		t.Errorf("the first leg has %v, the second %v", one.Trailer, two.Trailer)
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// Connections are shared neither with Base nor with another Transport: servers tie identities to them.
func TestOwnConnections(t *testing.T) {
	base := http.DefaultTransport.(*http.Transport).Clone()
	defer base.CloseIdleConnections()
	s := protect(t, new(Authenticator))
	get(t, &http.Client{Transport: base}, s.URL)
	for range 2 {
		one, other := &Transport{Base: base}, &Transport{Base: base}
		get(t, &http.Client{Transport: one}, s.URL)
		get(t, &http.Client{Transport: other}, s.URL)
		one.CloseIdleConnections()
		(&http.Client{Transport: other}).CloseIdleConnections()
	}
	if n := s.opened.Load(); n != 5 {
		t.Errorf("%d connections, want 5", n)
	}
	waitFor(t, func() bool { return s.closed.Load() == 4 }, "4 connections are closed")
}

// golang.org/x/net/http2 keeps its connections where a clone of the transport finds them.
func TestOwnHTTP2Connections(t *testing.T) {
	h := new(Authenticator).Handler(http.HandlerFunc(whoami))
	s := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { h.ServeHTTP(w, r) })
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	s.URL = "https://localhost:" + s.port()
	base := trusting(s)
	base.ForceAttemptHTTP2 = false
	//lint:ignore SA1019 programs do it all the same
	if err := http2.ConfigureTransport(base); err != nil {
		t.Fatal(err)
	}
	defer base.CloseIdleConnections()
	get(t, &http.Client{Transport: base}, s.URL)
	for range 2 {
		tr := &Transport{Base: base}
		defer tr.CloseIdleConnections()
		if resp, body := get(t, &http.Client{Transport: tr}, s.URL); resp.ProtoMajor != 2 || body != "user@NEGO.TEST" {
			t.Errorf("%s, %s", resp.Proto, body)
		}
	}
	remotes := map[string]bool{}
	for _, r := range s.seen() {
		remotes[r.RemoteAddr] = true
	}
	if len(remotes) != 3 {
		t.Errorf("%d connections, want 3", len(remotes))
	}
}

// A Transport inside of its own Base, as one that extends http.Transport has it, is dropped all the same.
func TestDroppedTransportInItsBase(t *testing.T) {
	s := protect(t, new(Authenticator))
	func() {
		type extended struct {
			http.Transport
			inner *Transport
		}
		e := new(extended)
		e.inner = &Transport{Base: &e.Transport}
		get(t, &http.Client{Transport: e.inner}, s.URL)
	}()
	waitFor(t, func() bool { runtime.GC(); return s.closed.Load() == 1 }, "the connection of a dropped Transport is closed")
}

func TestDroppedTransport(t *testing.T) {
	s := protect(t, new(Authenticator))
	func() { get(t, &http.Client{Transport: &Transport{}}, s.URL) }()
	waitFor(t, func() bool { runtime.GC(); return s.closed.Load() == 1 }, "the connection of a dropped Transport is closed")
}

func waitFor(t *testing.T, ok func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("not in time: ", what)
		}
	}
}

// net/http sends a request again by itself where a kept connection turns out to be dead, if it can have the
// body afresh. It can, in each leg.
func TestRetryByBase(t *testing.T) {
	s := upload(t, false)
	real := http.DefaultTransport.(*http.Transport).Clone()
	defer real.CloseIdleConnections()
	retries := 0
	tr := &Transport{Base: &fakeBase{roundTrip: func(r *http.Request) (*http.Response, error) {
		io.ReadFull(r.Body, make([]byte, 2))
		r.Body.Close()
		again := r.Clone(r.Context())
		var err error
		if again.Body, err = r.GetBody(); err != nil {
			t.Error(err)
		}
		retries++
		return real.RoundTrip(again)
	}}}
	seek := &seekBody{ReadSeeker: io.NewSectionReader(strings.NewReader("a text"), 2, 4)}
	for _, body := range []io.Reader{strings.NewReader("text"), seek} {
		req := newRequest(t, "POST", s.URL, body)
		req.ContentLength = 4
		if _, body := do(t, &http.Client{Transport: tr}, req); body != "4 text" {
			t.Error(body)
		}
	}
	if retries != 4 {
		t.Errorf("%d legs", retries)
	}
	if n := seek.closed.Load(); n != 1 {
		t.Errorf("closed %d times", n)
	}
}

func TestOtherBase(t *testing.T) {
	s := protect(t, new(Authenticator))
	var closed, sent int
	base := &fakeBase{
		roundTrip: func(r *http.Request) (*http.Response, error) {
			sent++
			r.Header.Set("X-Meddled", "yes") // which it may not do
			return http.DefaultTransport.RoundTrip(r)
		},
		closeIdle: func() { closed++; http.DefaultTransport.(*http.Transport).CloseIdleConnections() },
	}
	tr := &Transport{Base: base}
	req := newRequest(t, "GET", s.URL, nil)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	tr.CloseIdleConnections()
	if resp.StatusCode != 200 || sent != 2 || closed != 1 || req.Header.Get("X-Meddled") != "" || resp.Request.Header.Get("X-Meddled") != "" {
		t.Errorf("%s, %d sent, %d closed, %v", resp.Status, sent, closed, req.Header)
	}

	broken := &Transport{Base: &fakeBase{roundTrip: func(*http.Request) (*http.Response, error) { return nil, nil }}}
	if _, err := broken.RoundTrip(req); err == nil {
		t.Error("neither response nor error, and no error")
	}
	bare := &Transport{Mutual: MutualRequired, Base: &fakeBase{roundTrip: func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") == "" {
			return &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {"Negotiate"}, "Set-Cookie": {"a=b"}}}, nil
		}
		return &http.Response{StatusCode: 500}, nil
	}}}
	noHeader := newRequest(t, "GET", s.URL, nil)
	noHeader.Header = nil
	if resp, err := bare.RoundTrip(noHeader); err != nil || resp.StatusCode != 500 || resp.Body == nil || noHeader.Header != nil {
		t.Errorf("%v, %v", resp, err)
	}
}

type fakeBase struct {
	roundTrip func(*http.Request) (*http.Response, error)
	closeIdle func()
}

func (b *fakeBase) RoundTrip(r *http.Request) (*http.Response, error) { return b.roundTrip(r) }
func (b *fakeBase) CloseIdleConnections()                             { b.closeIdle() }

func TestOtherSchemes(t *testing.T) {
	base := &http.Transport{}
	base.RegisterProtocol("test", &fakeBase{roundTrip: func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 299, Body: http.NoBody, Request: r}, nil
	}})
	tr := &Transport{Base: base, Mutual: MutualRequired}
	resp, err := tr.RoundTrip(newRequest(t, "GET", "test://x/", nil))
	if err != nil || resp.StatusCode != 299 {
		t.Errorf("%v, %v", resp, err)
	}
	if _, err := tr.RoundTrip(newRequest(t, "GET", "unknown://x/", nil)); err == nil {
		t.Error("an unknown scheme worked")
	}
	if _, err := tr.RoundTrip(&http.Request{Header: http.Header{}}); err == nil {
		t.Error("no URL, and no error")
	}
}

func TestConnectionError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, strict := range []bool{false, true} {
		_, err = (&Transport{Strict: strict}).RoundTrip(newRequest(t, "GET", "http://"+l.Addr().String(), nil))
		if _, ok := err.(*net.OpError); !ok {
			t.Errorf("not as it is: %T %v", err, err)
		}
	}
}

// Outcomes survive what stands between, and a foreign response has none.
func TestOutcome(t *testing.T) {
	s := protect(t, new(Authenticator))
	tr := &Transport{}
	var held Outcome
	client := &http.Client{Transport: &fakeBase{roundTrip: func(r *http.Request) (*http.Response, error) {
		resp, err := tr.RoundTrip(r.Clone(r.Context()))
		return resp, err
	}, closeIdle: tr.CloseIdleConnections}, Timeout: time.Minute}
	resp, _ := do(t, client, newRequest(t, "GET", s.URL, nil).WithContext(WithOutcome(t.Context(), &held)))
	if o := OutcomeOf(resp); o.Legs != 1 || o != held {
		t.Errorf("%+v, held %+v", o, held)
	}
	plain, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	plain.Body.Close()
	for _, resp := range []*http.Response{plain, {}, nil} {
		if OutcomeOf(resp) != (Outcome{}) {
			t.Errorf("a foreign response has the outcome %+v", OutcomeOf(resp))
		}
	}
	// One Transport may be the Base of another.
	resp, body := get(t, &http.Client{Transport: &Transport{Base: tr}}, s.URL)
	if body != "user@NEGO.TEST" || OutcomeOf(resp).Legs != 0 {
		t.Errorf("%s, %+v", body, OutcomeOf(resp))
	}
}

func TestRedirects(t *testing.T) {
	protected := protect(t, new(Authenticator))
	redirect := func(w http.ResponseWriter, r *http.Request, _ int) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	}
	plain := newSite(t, redirect)
	secure := newUnstartedSite(redirect)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	fixed := func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", "localhost") }
	other := strings.Replace(plain.URL, "localhost", "127.0.0.1", 1)

	for _, c := range []struct {
		name, from string
		tr         *Transport
		ok         bool
	}{
		{"same host", plain.URL, &Transport{}, true},
		{"other host", other, &Transport{}, true},
		{"https to http", "https://localhost:" + secure.port(), &Transport{Base: trusting(secure)}, false},
		{"fixed target, same host", plain.URL, &Transport{Target: fixed}, true},
		{"fixed target, other host", other, &Transport{Target: fixed}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := protected.tokens()
			for _, body := range []string{"", "text"} {
				req := newRequest(t, "POST", c.from+"/?to="+url.QueryEscape(protected.URL), strings.NewReader(body))
				resp, _ := do(t, &http.Client{Transport: c.tr}, req)
				o := OutcomeOf(resp)
				if c.ok && (resp.StatusCode != 200 || o.Err != nil) || !c.ok && (resp.StatusCode != 401 || !errors.Is(o.Err, ErrNotAllowed)) {
					t.Errorf("%s, %+v", resp.Status, o)
				}
			}
			if got := protected.tokens() - before; got > 0 != c.ok {
				t.Errorf("%d tokens were sent", got)
			}
		})
	}
}

func TestPoint1ConcurrentRequests(t *testing.T) {
	s := protect(t, new(Authenticator))
	start := runtime.NumGoroutine()
	tr := &Transport{Mutual: MutualRequired}
	client := &http.Client{Transport: tr}
	var wg sync.WaitGroup
	var ok atomic.Int64
	for i := range 50 {
		wg.Go(func() {
			for range 4 {
				req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL, strings.NewReader(fmt.Sprint(i)))
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				b, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if o := OutcomeOf(resp); string(b) == "user@NEGO.TEST" && o.Mutual {
					ok.Add(1)
				} else {
					t.Errorf("%s: %s, %+v", resp.Status, b, o)
				}
			}
		})
	}
	wg.Wait()
	if ok.Load() != 200 {
		t.Errorf("%d of 200", ok.Load())
	}
	tr.CloseIdleConnections()
	waitFor(t, func() bool { return runtime.NumGoroutine() <= start }, "all goroutines have ended")
}

// The KDC does not answer, and the request's context ends.
func TestSilentKDC(t *testing.T) {
	host := newService(t)
	defer silenceKDC(t)()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		w.Header().Set("WWW-Authenticate", "Negotiate")
		w.WriteHeader(401)
		fmt.Fprint(w, "who are you?")
	})
	base := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}}
	const timeout = 500 * time.Millisecond // for the server's 401 to be there first
	stop := errors.New("stop")
	for name, c := range map[string]struct {
		ctx  func() (context.Context, context.CancelFunc)
		want error
	}{
		"deadline": {func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), timeout)
		}, context.DeadlineExceeded},
		"cause": {func() (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(t.Context(), timeout, stop)
		}, stop},
	} {
		for _, strict := range []bool{false, true} {
			t.Run(fmt.Sprint(name, strict), func(t *testing.T) {
				ctx, cancel := c.ctx()
				defer cancel()
				var o Outcome
				body := &countedBody{Reader: strings.NewReader("text")}
				req := newRequest(t, "POST", "http://"+host, nil).WithContext(WithOutcome(ctx, &o))
				req.Body, req.ContentLength = body, 4
				req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("text")), nil }
				tr := &Transport{Base: base, Strict: strict}
				start := time.Now()
				_, err := tr.RoundTrip(req)
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
				if err != c.want {
					t.Errorf("error %v", err)
				}
				if !errors.Is(o.Err, c.want) || o.Target != gssapi.Service("HTTP", host) {
					t.Errorf("outcome %+v", o)
				}
				if n := body.closed.Load(); n != 1 {
					t.Errorf("the body was closed %d times", n)
				}
			})
		}
	}
	// With Client.Timeout the error is the client's own.
	_, err := (&http.Client{Transport: &Transport{Base: base}, Timeout: 100 * time.Millisecond}).Get("http://" + host)
	if ue, ok := err.(*url.Error); !ok || !ue.Timeout() {
		t.Errorf("client timeout: %v", err)
	}
}

// Hooks of the caller's context see each leg.
func TestHTTPTrace(t *testing.T) {
	s := protect(t, new(Authenticator))
	var got []bool
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { got = append(got, i.Reused) }})
	do(t, &http.Client{Transport: &Transport{}}, newRequest(t, "GET", s.URL, nil).WithContext(ctx))
	if !reflect.DeepEqual(got, []bool{false, true}) {
		t.Errorf("reused: %v", got)
	}
}

func TestLargeToken(t *testing.T) {
	for _, c := range []struct {
		status, size int
		want         bool
	}{
		{400, largeToken + 1, true}, {431, largeToken + 1, true}, {400, largeToken, false}, {403, largeToken + 1, false}, {200, largeToken + 1, false},
	} {
		tr := &Transport{}
		x := newExchange(tr, tr.pools(), newRequest(t, "GET", "http://localhost/", nil))
		x.origin.size = c.size
		resp, err := x.deliver(&http.Response{StatusCode: c.status, Body: http.NoBody})
		if err != nil || resp.StatusCode != c.status {
			t.Fatal(resp, err)
		}
		if err := x.out.Err; (err != nil) != c.want || err != nil && !strings.Contains(err.Error(), fmt.Sprint(c.size, " bytes")) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A user whose name makes the ticket large meets a server with a small limit.
func TestLargeTokenForReal(t *testing.T) {
	name := fmt.Sprintf("u%d%s", serial.Add(1), strings.Repeat("x", 1500))
	if err := realm.AddUser(name, "secret"); err != nil {
		t.Fatal(err)
	}
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Name: gssapi.User(name), Store: gssapi.Store{Password: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	h := new(Authenticator).Handler(http.HandlerFunc(whoami))
	s := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { h.ServeHTTP(w, r) })
	s.Config.MaxHeaderBytes = 1 // net/http adds 4096
	s.Start()
	t.Cleanup(s.Close)
	s.URL = "http://localhost:" + s.port()
	resp, _ := get(t, &http.Client{Transport: &Transport{Credential: cred}}, s.URL)
	o := OutcomeOf(resp)
	if resp.StatusCode != 431 || o.Err == nil || o.Legs != 1 {
		t.Errorf("%s, %+v", resp.Status, o)
	}
}

package negotiate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// responses sends a request with a token and returns all responses to it, interim ones too, and whether what Authenticate said is in
// each: all of it, some, or none.
func responses(t *testing.T, s *site, fields string) (all []*http.Response, said string) {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, token := initiate(t, web, nil)
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\n%s\r\n", fieldValue(token), fields)
	read := bufio.NewReader(c)
	for {
		resp, err := http.ReadResponse(read, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, resp)
		h, n := resp.Header, 0
		for _, is := range []bool{
			slices.ContainsFunc(h[askHeader], func(line string) bool { return strings.HasPrefix(line, "Negotiate ") }),
			slices.ContainsFunc(h[setCookieHeader], func(line string) bool { return strings.HasPrefix(line, "__Host-nego=") }),
			h.Get("Persistent-Auth") == "false",
			slices.Contains(h["Cache-Control"], "private"),
		} {
			if is {
				n++
			}
		}
		said += fmt.Sprint(" ", resp.StatusCode, ":", n)
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return all, said
		}
	}
}

// What Authenticate says is for the final response, whatever a reverse proxy does to the header behind an interim one.
func TestInterimResponses(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 2 {
			h := w.Header()
			h.Set("Link", fmt.Sprintf("</%d>", i))
			h.Set(askHeader, `Basic realm="upstream"`)
			h.Set("Cache-Control", "private")
			w.WriteHeader(http.StatusEarlyHints)
		}
		clear(w.Header())
		switch {
		case r.Header.Get("Fail") != "":
			panic(http.ErrAbortHandler)
		case r.Header.Get("Upgrade") != "":
			w.Header().Set("Upgrade", "echo")
			w.Header().Set("Connection", "Upgrade")
			w.WriteHeader(http.StatusSwitchingProtocols)
		default:
			fmt.Fprint(w, "served")
		}
	}))
	defer backend.Close()
	u, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := keepUser(t, &Authenticator{Sessions: &Sessions{Keys: [][]byte{sessionKey(1)}, BehindTLS: true}}, &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(u) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	for _, c := range []struct{ fields, want string }{ // the 1 is the upstream's own
		{"", " 103:4 103:1 200:4"},
		{"Fail: now\r\n", " 103:4 103:1 502:4"},
		{"Upgrade: echo\r\nConnection: Upgrade\r\n", " 103:4 103:1 101:4"},
	} {
		all, said := responses(t, s, c.fields)
		if said != c.want {
			t.Errorf("%q: %s, want %s", c.fields, said, c.want)
		}
		for i, resp := range all[:2] {
			if got := resp.Header["Link"]; len(got) != 1 || got[0] != fmt.Sprintf(`</%d>`, i) {
				t.Errorf("%d: %s", i, got)
			}
		}
		for _, field := range []string{askHeader, setCookieHeader, "Persistent-Auth", "Cache-Control"} {
			if got := all[len(all)-1].Header[field]; len(got) != 1 {
				t.Errorf("%q: %s: %q", c.fields, field, got)
			}
		}
	}
}

// A client that wants the server to prove itself gets the proof through a reverse proxy whose upstream tells it to go on.
func TestInterimMutual(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	defer backend.Close()
	u, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Header.Set("Expect", "100-continue")
	}}
	defer transport.CloseIdleConnections()
	s := protectWith(t, new(Authenticator), proxy.ServeHTTP)
	client := &http.Client{Transport: &Transport{Mutual: MutualRequired}}
	resp, body := do(t, client, newRequest(t, "PUT", s.URL, strings.NewReader("content")))
	if resp.StatusCode != 200 || body != "content" {
		t.Errorf("%s, %q", resp.Status, body)
	}
}

// What a handler does to the header itself is what it means.
func TestInterimHandler(t *testing.T) {
	sessions := &Sessions{Keys: [][]byte{sessionKey(1)}, BehindTLS: true}
	hint := func(w http.ResponseWriter) { w.WriteHeader(http.StatusEarlyHints) }
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"no status": {func(w http.ResponseWriter, _ *http.Request) { hint(w); clear(w.Header()) }, " 103:4 200:4"},
		"Write":     {func(w http.ResponseWriter, _ *http.Request) { hint(w); clear(w.Header()); _, _ = w.Write([]byte("x")) }, " 103:4 200:4"},
		"WriteString": {func(w http.ResponseWriter, _ *http.Request) {
			hint(w)
			clear(w.Header())
			_, _ = io.WriteString(w, "x")
		}, " 103:4 200:4"},
		"ReadFrom": {func(w http.ResponseWriter, _ *http.Request) {
			hint(w)
			clear(w.Header())
			_, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("x"))
		}, " 103:4 200:4"},
		"Flush": {func(w http.ResponseWriter, _ *http.Request) { hint(w); clear(w.Header()); w.(http.Flusher).Flush() }, " 103:4 200:4"},
		"Hijack": {func(w http.ResponseWriter, _ *http.Request) {
			hint(w)
			clear(w.Header())
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer c.Close()
			fmt.Fprint(rw, "HTTP/1.1 101 Changed\r\n")
			_ = w.Header().Write(rw)
			fmt.Fprint(rw, "\r\n")
			rw.Flush()
		}, " 103:4 101:4"},
		"left":           {func(w http.ResponseWriter, _ *http.Request) { hint(w) }, " 103:4 200:4"},
		"taken off":      {func(w http.ResponseWriter, _ *http.Request) { hint(w); w.Header().Del(askHeader) }, " 103:4 200:3"},
		"session ended":  {func(w http.ResponseWriter, _ *http.Request) { hint(w); w.Header().Del(setCookieHeader) }, " 103:4 200:3"},
		"no interim":     {func(w http.ResponseWriter, _ *http.Request) { clear(w.Header()) }, " 200:0"},
		"handler's hint": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Link", "</x>"); hint(w) }, " 103:4 200:4"},
	} {
		t.Run(name, func(t *testing.T) {
			s := keepUser(t, &Authenticator{Sessions: sessions}, c.handler)
			all, said := responses(t, s, "")
			if said != c.want {
				t.Errorf("%s, want %s: %v", said, c.want, all[len(all)-1].Header)
			}
		})
	}
}

// hinting is a reverse proxy before an upstream that sends an interim response first.
func hinting(t *testing.T) *httputil.ReverseProxy {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(w, "served")
	}))
	t.Cleanup(backend.Close)
	u, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
}

// once is what some session managers do: with the first status a cookie is added.
type once struct {
	http.ResponseWriter
	done bool
}

func (w *once) WriteHeader(status int) {
	if !w.done {
		w.done = true
		w.Header().Add(setCookieHeader, "app=1")
	}
	w.ResponseWriter.WriteHeader(status)
}

// What a handler, or another one around it, has changed by the time of the interim response stays as it is, and comes once.
func TestInterimChanges(t *testing.T) {
	sessions, proxy := &Sessions{Keys: [][]byte{sessionKey(1)}, BehindTLS: true}, hinting(t)
	counts := func(all []*http.Response) string {
		h := all[len(all)-1].Header
		cookies := fmt.Sprint(len(h[setCookieHeader]))
		if len(h[setCookieHeader]) == 1 && strings.Contains(h.Get(setCookieHeader), "Max-Age=0") {
			cookies = "ended"
		}
		return fmt.Sprint(len(h[askHeader]), " ", len(h["Persistent-Auth"]), " ", cookies)
	}
	a := &Authenticator{Sessions: sessions}
	behind := func(h http.HandlerFunc) http.Handler { return a.Handler(h) }
	for name, c := range map[string]struct {
		handler http.Handler
		want    string // tokens, Persistent-Auth, cookies
	}{
		"session ended": {behind(func(w http.ResponseWriter, r *http.Request) { sessions.End(w); proxy.ServeHTTP(w, r) }), "1 1 ended"},
		"session ended behind it": {behind(func(w http.ResponseWriter, r *http.Request) {
			p := *proxy
			p.ModifyResponse = func(*http.Response) error { sessions.End(w); return nil }
			p.ServeHTTP(w, r)
		}), "1 1 ended"},
		"taken off": {behind(func(w http.ResponseWriter, r *http.Request) { w.Header().Del("Persistent-Auth"); proxy.ServeHTTP(w, r) }), "1 0 1"},
		"put back": {behind(func(w http.ResponseWriter, r *http.Request) {
			own, p := maps.Clone(w.Header()), *proxy
			p.ModifyResponse = func(*http.Response) error { maps.Copy(w.Header(), own); return nil }
			p.ServeHTTP(w, r)
		}), "1 1 1"},
		"in another": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := behind(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusEarlyHints) })
			h.ServeHTTP(&once{ResponseWriter: w}, r)
		}), "1 1 2"},
		"around another": {behind(func(w http.ResponseWriter, r *http.Request) {
			(&once{ResponseWriter: w}).WriteHeader(http.StatusEarlyHints)
		}), "1 1 2"},
		"twice": {behind(func(w http.ResponseWriter, r *http.Request) { serveKeeping(proxy, w, r) }), "1 1 1"},
		"a panic": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				_ = recover()
				w.WriteHeader(http.StatusInternalServerError)
			}()
			behind(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusEarlyHints)
				clear(w.Header())
				panic("in a handler")
			}).ServeHTTP(w, r)
		}), "1 1 1"},
	} {
		s := keepUser(t, a, nil)
		s.Config.Handler = c.handler
		all, _ := responses(t, s, "")
		if got := counts(all); got != c.want {
			t.Errorf("%s: %s, want %s: %v", name, got, c.want, all[len(all)-1].Header)
		}
	}
}

// A body that is too large ends with its response, and not with what the client has left of it.
func TestBodyTooLarge(t *testing.T) {
	s := keepUser(t, &Authenticator{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10)); err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		}
	}))
	all, _ := responses(t, s, "Transfer-Encoding: chunked\r\n\r\n14\r\n01234567890123456789\r\n")
	if resp := all[0]; resp.StatusCode != http.StatusRequestEntityTooLarge || !resp.Close {
		t.Errorf("%s, close: %v", resp.Status, resp.Close)
	}
}

// Where the ResponseWriter of the server can do less, the handler's can do no more.
func TestResponseWriterAlone(t *testing.T) {
	h := (&Authenticator{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(http.Flusher); ok {
			t.Error("it can flush")
		}
	}))
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		http.TimeoutHandler(h, time.Minute, "").ServeHTTP(w, r)
	})
	resp, _ := get(t, &http.Client{Transport: &Transport{}}, s.URL)
	if resp.StatusCode != http.StatusOK || resp.Header.Get(askHeader) == "" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
}

// A handler finds what the server's own ResponseWriter can do.
func TestResponseWriter(t *testing.T) {
	var served atomic.Int64
	h := (&Authenticator{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		c := http.NewResponseController(w)
		if err := c.EnableFullDuplex(); err != nil {
			t.Errorf("%s: full duplex: %v", r.Proto, err)
		}
		// The client takes none, or HTTP/1 cannot.
		if err := w.(http.Pusher).Push("/x", nil); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("%s: push: %v", r.Proto, err)
		}
		//lint:ignore SA1019 it is still asked for
		w.(http.CloseNotifier).CloseNotify()
		if err := c.Flush(); err != nil {
			t.Errorf("%s: flush: %v", r.Proto, err)
		}
		if _, _, err := c.Hijack(); (err == nil) != (r.ProtoMajor == 1) {
			t.Errorf("%s: hijack: %v", r.Proto, err)
		}
	}))
	for _, http2 := range []bool{false, true} {
		s := httptest.NewUnstartedServer(h)
		s.EnableHTTP2 = http2
		s.StartTLS()
		_, token := initiate(t, web, nil)
		req := newRequest(t, "GET", s.URL, nil)
		req.Header.Set("Authorization", fieldValue(token))
		resp, err := s.Client().Do(req)
		if err == nil {
			resp.Body.Close()
		}
		if http2 && (err != nil || resp.ProtoMajor != 2 || !slices.Contains(slices.Collect(maps.Keys(resp.Header)), askHeader)) {
			t.Errorf("%v %v", resp, err)
		}
		s.Close()
	}
	if n := served.Load(); n != 2 {
		t.Errorf("%d requests were served", n)
	}
}

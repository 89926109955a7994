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
	"testing"
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
		if _, ok := h[notCleared]; ok {
			t.Errorf("%v", h)
		}
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
	for _, c := range []struct{ fields, want string }{
		{"", " 103:0 103:0 200:4"},
		{"Fail: now\r\n", " 103:0 103:0 502:4"},
		{"Upgrade: echo\r\nConnection: Upgrade\r\n", " 103:0 103:0 101:4"},
	} {
		all, said := responses(t, s, c.fields)
		if said != c.want {
			t.Errorf("%q: %s, want %s", c.fields, said, c.want)
		}
		for i, resp := range all[:2] {
			if got := fmt.Sprint(resp.Header["Link"], resp.Header[askHeader]); got != fmt.Sprintf(`[</%d>] [Basic realm="upstream"]`, i) {
				t.Errorf("%d: %s", i, got)
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
		"no status": {func(w http.ResponseWriter, _ *http.Request) { hint(w); clear(w.Header()) }, " 103:0 200:4"},
		"Write":     {func(w http.ResponseWriter, _ *http.Request) { hint(w); clear(w.Header()); _, _ = w.Write([]byte("x")) }, " 103:0 200:4"},
		"WriteString": {func(w http.ResponseWriter, _ *http.Request) {
			hint(w)
			clear(w.Header())
			_, _ = io.WriteString(w, "x")
		}, " 103:0 200:4"},
		"ReadFrom": {func(w http.ResponseWriter, _ *http.Request) {
			hint(w)
			clear(w.Header())
			_, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("x"))
		}, " 103:0 200:4"},
		"Flush": {func(w http.ResponseWriter, _ *http.Request) { hint(w); clear(w.Header()); w.(http.Flusher).Flush() }, " 103:0 200:4"},
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
		}, " 103:0 101:4"},
		"left":           {func(w http.ResponseWriter, _ *http.Request) { hint(w) }, " 103:0 200:4"},
		"taken off":      {func(w http.ResponseWriter, _ *http.Request) { hint(w); w.Header().Del(askHeader) }, " 103:0 200:3"},
		"session ended":  {func(w http.ResponseWriter, _ *http.Request) { hint(w); w.Header().Del(setCookieHeader) }, " 103:0 200:3"},
		"no interim":     {func(w http.ResponseWriter, _ *http.Request) { clear(w.Header()) }, " 200:0"},
		"handler's hint": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Link", "</x>"); hint(w) }, " 103:0 200:4"},
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

// A handler finds what the server's own ResponseWriter can do.
func TestResponseWriter(t *testing.T) {
	h := (&Authenticator{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if err := c.EnableFullDuplex(); err != nil {
			t.Errorf("%s: full duplex: %v", r.Proto, err)
		}
		// The client takes none, or HTTP/1 cannot.
		if err := w.(http.Pusher).Push("/x", nil); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("%s: push: %v", r.Proto, err)
		}
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
}

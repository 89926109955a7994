package serve

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
)

// What a client says about itself does not reach the upstream, in whatever spelling.
func TestForgedFields(t *testing.T) {
	type seen struct {
		header, trailer http.Header
		host            string
	}
	got := make(chan seen, 1)
	up := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // the trailer is behind it
		got <- seen{r.Header, r.Trailer, r.Host}
	})
	s := start(t, &Server{Upstream: up})
	req := request(t, http.MethodPost, s.url, struct{ io.Reader }{strings.NewReader("body")})
	for _, name := range []string{"X-Remote-User", "x_remote_user", "X.Remote.User", "X-REMOTE_USER", "X-Remote-User-Local", "X_Remote_User_Realm",
		"X-Remote-User-Anything", "X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-User", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-IP"} {
		req.Header[name] = []string{"admin@NEGO.TEST"}
	}
	req.Header.Set("Connection", "X-Remote-User, X-Forwarded-For")
	req.Header.Set("Cookie", "a=b")
	req.Header.Set("X-Else", "kept")
	req.Trailer = http.Header{"X-Remote-User": {"admin@NEGO.TEST"}}
	if resp, body := do(t, client(t, nil), req); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, body)
	}
	g := <-got
	_, port, _ := net.SplitHostPort(s.addr)
	for name, want := range map[string]string{"X-Remote-User": realUser, "X-Remote-User-Realm": "NEGO.TEST", "X-Remote-User-Local": "user",
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost:" + port, "X-Forwarded-Proto": "http", "Cookie": "a=b", "X-Else": "kept"} {
		if !slices.Equal(g.header[name], []string{want}) {
			t.Errorf("%s: %q, want %q", name, g.header[name], want)
		}
		delete(g.header, name)
	}
	for name := range g.header {
		if !slices.Contains([]string{"User-Agent", "Accept-Encoding", "Expect"}, name) {
			t.Errorf("the upstream got %s: %q", name, g.header[name])
		}
	}
	if len(g.trailer) > 0 || g.host != up.Host {
		t.Errorf("%v %s", g.trailer, g.host)
	}
}

// With TLS in front and another name for the field.
func TestUpstreamBehindTLS(t *testing.T) {
	got := make(chan *http.Request, 1)
	up := upstream(t, func(_ http.ResponseWriter, r *http.Request) { got <- r })
	up.Path = "/app"
	s := start(t, &Server{Upstream: up, BehindTLS: true, KeepHost: true, UserHeader: "x-user"})
	req := request(t, http.MethodGet, s.url+"/page?a=b", nil)
	req.Header.Set("X-Forwarded-For", "192.0.2.1")
	req.Header.Set("X-User", "admin")
	req.Header.Set("X-User-Name", "admin")
	if resp, body := do(t, client(t, nil), req); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, body)
	}
	r := <-got
	if h := r.Header; h.Get("X-Forwarded-For") != "192.0.2.1, 127.0.0.1" || h.Get("X-Forwarded-Proto") != "https" ||
		!slices.Equal(h["X-User"], []string{realUser}) || h.Get("X-User-Name") != "" || "http://"+r.Host != s.url || r.RequestURI != "/app/page?a=b" {
		t.Errorf("%v %s %s", h, r.Host, r.RequestURI)
	}
}

func TestFieldText(t *testing.T) {
	seen := make(map[string]string)
	for text, want := range map[string]string{
		"alice@A":                 "alice@A",
		"host/x.y@A":              "host/x.y@A",
		`a\@b@A`:                  `a\@b@A`,
		"a@A\r\nX-Remote-User: b": "a@A%0D%0AX-Remote-User:%20b",
		" alice@A":                "%20alice@A",
		"%20alice@A":              "%2520alice@A",
		"m\u00fcller@A":           "m%C3%BCller@A",
		"m\xfcller@A":             "m%FCller@A",
		"a\x00\x7f@A":             "a%00%7F@A",
		"\u202ealice\u00a0@A\tB":  "%E2%80%AEalice%C2%A0@A%09B",
	} {
		got := fieldText(text)
		if got != want {
			t.Errorf("%q is %q", text, got)
		}
		if other, twice := seen[got]; twice {
			t.Errorf("%q and %q are one", text, other)
		}
		seen[got] = text
	}
}

func TestCheckUserHeader(t *testing.T) {
	for _, name := range []string{"X-Remote-User", "x-user", "Remote-User", "X-Forwarded-User"} {
		if err := CheckUserHeader(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "X_Remote_User", "X User", "X-User:", "Host", "Cookie", "Set-Cookie", "Authorization", "X-Forwarded-For", "X-\u00fc"} {
		if CheckUserHeader(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

// What the upstream may not say in the name of this server.
func TestUpstreamResponse(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Set-Cookie", "__Host-nego=forged; Path=/; Secure")
		w.Header().Add("Set-Cookie", " __host-NEGO =forged")
		w.Header().Add("Set-Cookie", "app=1")
		w.Header().Set("WWW-Authenticate", "Basic")
		w.Header()["Content-Type"] = nil
		if r.URL.Path == "/407" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, "<html>")
	})
	s := start(t, &Server{Upstream: up})
	resp, body := get(t, s.url)
	if resp.StatusCode != http.StatusUnauthorized || body != "<html>" || !slices.Equal(resp.Header["Set-Cookie"], []string{"app=1"}) || resp.Header["Content-Type"] != nil {
		t.Errorf("%s %v %s", resp.Status, resp.Header, body)
	}
	for _, c := range resp.Header["Www-Authenticate"] {
		if !strings.HasPrefix(c, "Negotiate ") {
			t.Errorf("a challenge of the upstream: %s", c)
		}
	}
	if resp, _ := get(t, s.url+"/407"); resp.StatusCode != http.StatusBadGateway {
		t.Error(resp.Status)
	}
	if !strings.Contains(s.log.String(), "as if it were a proxy") {
		t.Error(s.log)
	}
}

// What comes before the answer is passed on, but for 100: that is between the server and each of the two. What this server says
// is for the answer.
func TestInterim(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusContinue)
		w.Header().Set("Link", "</style.css>")
		w.Header().Set("Www-Authenticate", "Basic")
		w.Header().Set("Set-Cookie", sessionCookie+"=x")
		w.WriteHeader(http.StatusEarlyHints)
		if r.URL.Path == "/fails" {
			panic(http.ErrAbortHandler)
		}
	})
	s := start(t, &Server{Upstream: up, Auth: &negotiate.Authenticator{Sessions: sessions()}, BehindTLS: true})
	for path, status := range map[string]int{"/": 200, "/fails": 502} {
		c, read := s.dial(t)
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\n\r\n", path, token(t))
		for _, want := range []int{http.StatusEarlyHints, status} {
			resp, err := http.ReadResponse(read, nil)
			if err != nil {
				t.Fatal(err)
			}
			h := resp.Header
			ours := strings.HasPrefix(h.Get("Www-Authenticate"), "Negotiate ") && strings.HasPrefix(h.Get("Set-Cookie"), sessionCookie+"=") &&
				h.Get("Set-Cookie") != sessionCookie+"=x" && h.Get("Persistent-Auth") != "" && h.Get("Cache-Control") == "private"
			none := h.Get("Www-Authenticate") == "" && h.Get("Set-Cookie") == ""
			if resp.StatusCode != want || ours != (want == status) || none != (want != status) {
				t.Errorf("%s: %s %v", path, resp.Status, h)
			}
		}
	}
	var hints []string
	req := request(t, http.MethodGet, s.url, nil)
	req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, h.Get("Link")))
		return nil
	}}))
	resp, body := do(t, client(t, nil), req)
	if resp.StatusCode != http.StatusOK || !slices.Equal(hints, []string{"103</style.css>"}) {
		t.Error(resp.Status, body, hints)
	}
}

// A client whose body breaks off is told so, and the upstream is not blamed.
func TestClientsBodyBreaksOff(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	s := start(t, &Server{Upstream: up})
	c, read := s.dial(t)
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nno number\r\n", s.addr, token(t))
	resp, err := http.ReadResponse(read, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || strings.Contains(s.log.String(), "upstream") {
		t.Errorf("%s, %s", resp.Status, s.log)
	}
}

func TestUpstreamIsGone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := start(t, &Server{Upstream: &url.URL{Scheme: "http", Host: l.Addr().String()}})
	if resp, body := get(t, s.url); resp.StatusCode != http.StatusBadGateway || strings.Contains(body, l.Addr().String()) {
		t.Errorf("%s %s", resp.Status, body)
	}
	if !strings.Contains(s.log.String(), "the upstream does not answer") || !strings.Contains(s.log.String(), l.Addr().String()) {
		t.Error(s.log)
	}
}

// token is the value of Authorization.
func token(t *testing.T) string {
	t.Helper()
	sc := gssapi.NewInitiator(gssapi.Service("HTTP", "localhost"), nil)
	defer sc.Close()
	out, err := sc.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return "Negotiate " + base64.StdEncoding.EncodeToString(out)
}

// A connection that changes its protocol is the client's and the upstream's, and ends with the server.
func TestUpgrade(t *testing.T) {
	user := make(chan string, 1)
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		user <- r.Header.Get("X-Remote-User")
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(c, buf)
	})
	s := start(t, &Server{Upstream: up})
	c, read := s.dial(t)
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, X-Remote-User\r\nUpgrade: echo\r\nAuthorization: %s\r\n\r\n", token(t))
	resp, err := http.ReadResponse(read, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	if u := <-user; u != realUser {
		t.Errorf("by %q", u)
	}
	fmt.Fprint(c, "hello\n")
	if line, err := read.ReadString('\n'); line != "hello\n" {
		t.Errorf("%q, %v", line, err)
	}
	lines := s.lines()
	if _, err := read.ReadByte(); err == nil {
		t.Error("it goes on without the server")
	}
	if len(lines) != 1 || !strings.Contains(lines[0], `"GET /ws HTTP/1.1" 101 `) {
		t.Errorf("%q", lines)
	}
}

// What two servers may read differently is refused, or becomes one request that cannot be.
func TestAmbiguousRequests(t *testing.T) {
	type seen struct{ method, uri, body string }
	got := make(chan seen, 10)
	up := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r.Method, r.RequestURI, string(body)}
	})
	s := start(t, &Server{Upstream: up})
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for what, v := range map[string]struct {
		request string // after Host and Authorization
		status  int
		want    *seen
	}{
		"two lengths":          {"POST /a HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello", 400, nil},
		"a list of lengths":    {"POST /a HTTP/1.1\r\nContent-Length: 0, 5\r\n\r\nhello", 400, nil},
		"a signed length":      {"POST /a HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello", 400, nil},
		"an unknown coding":    {"POST /a HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, nil},
		"two codings":          {"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501, nil},
		"a space in a name":    {"POST /a HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400, nil},
		"a folded line":        {"GET /a HTTP/1.1\r\nX-A: b\r\n c\r\n\r\n", 200, &seen{"GET", "/a", ""}},
		"two hosts":            {"POST /a HTTP/1.1\r\nHost: other\r\n\r\n", 400, nil},
		"a bare carriage":      {"POST /a HTTP/1.1\r\nX-A: b\rContent-Length: 3\r\n\r\n", 400, nil},
		"coding and length":    {"POST /a HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 200, &seen{"POST", "/a", ""}},
		"a body in chunks":     {"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n", 200, &seen{"POST", "/a", "hello"}},
		"a host in the target": {"GET http://admin.internal/a HTTP/1.1\r\n\r\n", 200, &seen{"GET", "/a", ""}},
		"a body with a GET":    {fmt.Sprintf("GET /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s", len(smuggled), smuggled), 200, &seen{"GET", "/a", smuggled}},
		"a tunnel":             {"CONNECT localhost:22 HTTP/1.1\r\n\r\n", 405, nil},
		"TRACE":                {"TRACE /a HTTP/1.1\r\n\r\n", 405, nil},
		"all of the server":    {"OPTIONS * HTTP/1.1\r\n\r\n", 200, &seen{"OPTIONS", "", ""}},
	} {
		t.Run(what, func(t *testing.T) {
			c, read := s.dial(t)
			line, rest, _ := strings.Cut(v.request, "\r\n")
			fmt.Fprintf(c, "%s\r\nHost: localhost\r\nAuthorization: %s\r\n%s", line, token(t), rest)
			resp, err := http.ReadResponse(read, nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != v.status {
				t.Errorf("%s, want %d", resp.Status, v.status)
			}
			if v.want != nil {
				if g := <-got; g.method != v.want.method || v.want.uri != "" && g.uri != v.want.uri || g.body != v.want.body {
					t.Errorf("the upstream got %+v", g)
				}
			}
		})
	}
	s.lines() // everything has been served
	if len(got) > 0 {
		t.Errorf("the upstream got %+v too", <-got)
	}
}

// A client without a ticket reaches nothing, and the largest token is read.
func TestStrangers(t *testing.T) {
	up := upstream(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the upstream got %s %s", r.Method, r.URL) })
	s := start(t, &Server{Upstream: up})
	for what, header := range map[string]string{
		"nothing":       "X-Remote-User: " + realUser,
		"a large token": "Authorization: Negotiate " + base64.StdEncoding.EncodeToString(make([]byte, 64<<10)),
		"a cookie":      "Cookie: __Host-nego=AAAA",
		"a password":    "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("user:password")),
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			c, read := s.dial(t)
			fmt.Fprintf(c, "%s / HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", method, header)
			resp, err := http.ReadResponse(read, nil)
			if err != nil || resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s, %s: %v, %v", what, method, resp, err)
			}
		}
	}
}

// The token of a request is not in any log, and neither is its query.
func TestLogsAreClean(t *testing.T) {
	s := start(t, new(Server))
	c, read := s.dial(t)
	v := token(t)
	for _, v := range []string{v, v[:len(v)/2]} { // one that is accepted, and one that is not
		fmt.Fprintf(c, "GET http://bob:geheim@localhost/%%22a%%0a?secret=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\n\r\n", v)
		if _, err := http.ReadResponse(read, nil); err != nil {
			t.Fatal(err)
		}
	}
	lines := s.lines()
	for _, word := range []string{v[10:30], "geheim", "secret"} {
		if strings.Contains(s.log.String()+s.access.String(), word) {
			t.Errorf("%q is in %s%s", word, s.log, s.access)
		}
	}
	if len(lines) != 2 || !strings.Contains(lines[0], realUser) || !strings.Contains(lines[0], `"GET /%22a%0a HTTP/1.1" 200 -`) || !strings.Contains(lines[1], `127.0.0.1 - - [`) {
		t.Errorf("%q", lines)
	}
	if got := word("a b\"\\\n\u00fc"); got != `a\x20b\"\\\x0a\xc3\xbc` || word("") != "-" || word("-") != `\x2d` {
		t.Errorf("%s", got)
	}
}

// Without an identity nobody is let in, whatever the Authenticator lets through.
func TestOptionalIsNotEnough(t *testing.T) {
	s := start(t, &Server{Auth: &negotiate.Authenticator{Optional: true}})
	if resp, _ := do(t, http.DefaultClient, request(t, http.MethodGet, s.url, nil)); resp.StatusCode != http.StatusForbidden {
		t.Error(resp.Status)
	}
	http.DefaultClient.CloseIdleConnections()
}

package forward

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nego-sso/nego/negotiate"
)

func TestSignOn(t *testing.T) {
	o := protected(t)
	r := serve(t, &Proxy{Allow: allow("localhost")})
	c := r.client(t)
	for range 3 {
		if status, body := get(t, c, o.URL+"/page?secret=1"); status != 200 || body != realUser {
			t.Errorf("%d %s", status, body)
		}
		e := r.entry(t)
		if e.Method != "GET" || e.Target != o.URL+"/page" || e.Status != 200 || e.SignedOn != "HTTP@localhost" || e.Err != nil || e.Upstream {
			t.Errorf("%+v", e)
		}
	}
	// The letter case of a name makes no other host of it.
	if status, body := get(t, c, strings.Replace(o.URL, "localhost", "LocalHost", 1)); status != 200 || body != realUser {
		t.Errorf("%d %s", status, body)
	}
}

// A body that comes once arrives whole, also where the server asks when it has begun.
func TestUpload(t *testing.T) {
	const size = 8 << 20
	h := new(negotiate.Authenticator).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	}))
	o := origin(t, h.ServeHTTP)
	up := newUpstream(t)
	for name, p := range map[string]*Proxy{"direct": {}, "upstream": {Upstream: up.url}} {
		t.Run(name, func(t *testing.T) {
			p.Allow = allow("localhost")
			r := serve(t, p)
			for range 2 {
				resp, err := r.client(t).Post(o.URL, "", io.LimitReader(zeros{}, size))
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 || string(body) != fmt.Sprint(size, nil) {
					t.Errorf("%s %s", resp.Status, body)
				}
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// An origin that Allow does not have gets no token, and its 401 is the client's.
func TestNotAllowed(t *testing.T) {
	var tokens atomic.Int64
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			tokens.Add(1)
		}
		w.Header().Set("WWW-Authenticate", "Negotiate")
		http.Error(w, "who?", http.StatusUnauthorized)
	})
	for name, p := range map[string]*Proxy{"nil": {}, "others": {Allow: allow("other.example")}} {
		r := serve(t, p)
		resp, err := r.client(t).Get(o.URL)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != "Negotiate" || tokens.Load() != 0 {
			t.Errorf("%s: %s, %d tokens", name, resp.Status, tokens.Load())
		}
		if e := r.entry(t); e.Status != 401 || e.SignedOn != "" || e.Err == nil {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// A client that signs on by itself is left to, on a connection that nobody else gets.
func TestClientSignsOn(t *testing.T) {
	var remotes, fields []string
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		remotes = append(remotes, r.RemoteAddr)
		fields = append(fields, r.Header.Get("Authorization"))
	})
	r := serve(t, &Proxy{Allow: allow("localhost")})
	for _, auth := range []string{"Basic YTpi", "Negotiate abcd", "Basic YTpi", "NTLM abcd", "Basic YTpi"} {
		req, _ := http.NewRequest("GET", o.URL, nil)
		req.Header.Set("Authorization", auth)
		resp, err := r.client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if want := []string{"Basic YTpi", "Negotiate abcd", "Basic YTpi", "NTLM abcd", "Basic YTpi"}; !slices.Equal(fields, want) {
		t.Errorf("%q", fields)
	}
	if remotes[1] == remotes[2] || remotes[3] == remotes[4] {
		t.Errorf("shared: %q", remotes)
	}
}

func TestUpstream(t *testing.T) {
	o, up := protected(t), newUpstream(t)
	r := serve(t, &Proxy{Upstream: up.url, Allow: allow("localhost")})
	for range 3 {
		if status, body := get(t, r.client(t), o.URL); status != 200 || body != realUser {
			t.Fatalf("%d %s", status, body)
		}
		if e := r.entry(t); e.SignedOn != "HTTP@localhost" || !e.Upstream || e.Err != nil {
			t.Errorf("%+v", e)
		}
	}
	if n := up.asked.Load(); n != 1 {
		t.Errorf("it asked %d times", n)
	}

	// What Direct has does not go there.
	direct := serve(t, &Proxy{Upstream: up.url, Allow: allow("localhost"), Direct: allow("localhost")})
	if status, body := get(t, direct.client(t), o.URL); status != 200 || body != realUser || direct.entry(t).Upstream {
		t.Errorf("%d %s", status, body)
	}

	// A refusal is this proxy's own answer: the client has no part in it.
	up.refuses.Store(true)
	resp, err := r.client(t).Get(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 502 || !strings.Contains(string(body), "cannot authenticate to the proxy "+up.url.String()) || resp.Header.Get("Proxy-Authenticate") != "" {
		t.Errorf("%s %s", resp.Status, body)
	}
	if e := r.entry(t); e.Status != 502 || e.Err == nil {
		t.Errorf("%+v", e)
	}
}

// An upstream proxy, or an origin, that wants something else.
func TestForeign407(t *testing.T) {
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Proxy-Authenticate", "Basic realm=x")
		w.WriteHeader(http.StatusProxyAuthRequired)
	})
	up, err := ParseUpstream(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	for want, p := range map[string]*Proxy{
		"it does not offer Negotiate":                                {Upstream: up},
		"answered 407 Proxy Authentication Required as if it were a": {},
	} {
		r := serve(t, p)
		if status, body := get(t, r.client(t), o.URL); status != 502 || !strings.Contains(body, want) {
			t.Errorf("%d %s", status, body)
		}
	}
}

// What is for one connection alone goes no further, both ways; everything else does, unchanged.
func TestHeaders(t *testing.T) {
	got := make(chan *http.Request, 1)
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r
		h := w.Header()
		h.Set("Connection", "X-Hop")
		h.Set("X-Hop", "1")
		h.Set("Keep-Alive", "timeout=5")
		h.Set("Proxy-Authenticate", "Basic")
		h.Set("Via", "1.1 origin")
		h.Set("X-End", "2")
		h["Content-Type"] = nil
		io.WriteString(w, "<html>")
	})
	r := serve(t, &Proxy{})
	host := strings.TrimPrefix(o.URL, "http://")
	resp, _ := r.raw(t, "GET "+o.URL+"/a%2Fb?q=1;x&%zz HTTP/1.1\r\nHost: other.example\r\n"+
		"Proxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\nConnection: close, X-Listed, X-Forwarded-Host\r\nX-Listed: 1\r\n"+
		"Keep-Alive: 1\r\nTE: trailers\r\nVia: 1.0 before\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: secret\r\nX-Kept: 3\r\n\r\n")
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	req := <-got
	if req.Host != host || req.RequestURI != "/a%2Fb?q=1;x&%zz" {
		t.Errorf("%s at %s", req.RequestURI, req.Host)
	}
	for _, name := range []string{"Proxy-Authorization", "Proxy-Connection", "Connection", "X-Listed", "Keep-Alive", "X-Forwarded-Host", "Accept-Encoding", "User-Agent"} {
		if v, ok := req.Header[name]; ok {
			t.Errorf("%s: %q went on", name, v)
		}
	}
	if req.Header.Get("X-Kept") != "3" || req.Header.Get("X-Forwarded-For") != "192.0.2.1" || req.Header.Get("Te") != "trailers" {
		t.Errorf("%v", req.Header)
	}
	if via := req.Header["Via"]; len(via) != 2 || via[0] != "1.0 before" || via[1] != "1.1 "+r.pseudonym {
		t.Errorf("Via: %q", via)
	}
	for _, name := range []string{"X-Hop", "Keep-Alive", "Proxy-Authenticate", "Content-Type"} {
		if v, ok := resp.Header[name]; ok {
			t.Errorf("%s: %q came back", name, v)
		}
	}
	if via := resp.Header["Via"]; resp.Header.Get("X-End") != "2" || len(via) != 2 || via[1] != "1.1 "+r.pseudonym {
		t.Errorf("%v", resp.Header)
	}
}

// Where the server's answer to a token has one as well, that is not for the client.
func TestAnswerToken(t *testing.T) {
	o := protected(t)
	r := serve(t, &Proxy{Allow: allow("localhost")})
	resp, err := r.client(t).Get(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if v, ok := resp.Header["Www-Authenticate"]; ok || resp.StatusCode != 200 {
		t.Errorf("%s, %d values", resp.Status, len(v))
	}
}

func TestRefused(t *testing.T) {
	var served atomic.Int64
	o := origin(t, func(http.ResponseWriter, *http.Request) { served.Add(1) })
	host := strings.TrimPrefix(o.URL, "http://")
	r := serve(t, &Proxy{Allow: allow("localhost")})
	for _, test := range []struct {
		request string
		status  int
	}{
		{"GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400}, // as a web page has a browser send it
		{"POST //" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 0\r\n\r\n", 400},
		{"OPTIONS * HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"GET https://" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"GET ftp://" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"GET http:" + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"GET http:///x HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"GET http://a:b@" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"GET http://local%00host/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"GET http://l\u00f6calhost/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"GET http://localhost:99999/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"GET " + o.URL + " HTTP/1.1\r\nHost: " + host + "\r\nHost: other\r\n\r\n", 400},
		{"POST " + o.URL + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
		{"POST " + o.URL + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: +1\r\n\r\na", 400},
		{"POST " + o.URL + " HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
		{"POST " + o.URL + " HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
		{"TRACE " + o.URL + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 405},
		{"OPTIONS " + o.URL + " HTTP/1.1\r\nHost: " + host + "\r\nMax-Forwards: x\r\n\r\n", 400},
		{"OPTIONS " + o.URL + " HTTP/1.1\r\nHost: " + host + "\r\nMax-Forwards: 0\r\n\r\n", 200},
		{"CONNECT / HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"CONNECT localhost HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"CONNECT :443 HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"CONNECT localhost:0 HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"CONNECT localhost:http HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"CONNECT http://" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"CONNECT a@" + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 3\r\n\r\nabc", 400},
		{"CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"GET http://localhost:1/ HTTP/1.1\r\nHost: x\r\n\r\n", 502},
		{"CONNECT localhost:1 HTTP/1.1\r\nHost: x\r\n\r\n", 502},
		{"CONNECT no-such-host.invalid:443 HTTP/1.1\r\nHost: x\r\n\r\n", 502},
	} {
		if resp, body := r.raw(t, test.request); resp.StatusCode != test.status {
			t.Errorf("%q: %s %s", test.request, resp.Status, body)
		}
	}
	if n := served.Load(); n != 0 {
		t.Errorf("%d of them were served", n)
	}
}

// A request of two lengths goes on with one, and what stands behind it is a request of its own, or nothing.
func TestFraming(t *testing.T) {
	type got struct {
		length int64
		te     []string
		body   string
		uri    string
	}
	var all []got
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		all = append(all, got{r.ContentLength, r.TransferEncoding, string(b), r.RequestURI})
	})
	r := serve(t, &Proxy{})
	c, read := r.dial(t)
	io.WriteString(c, "POST "+o.URL+"/first HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"+
		"GET "+o.URL+"/second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	for range 2 {
		if resp, body := answer(t, read); resp.StatusCode != 200 {
			t.Fatalf("%s %s", resp.Status, body)
		}
	}
	if len(all) != 2 || all[0].length != -1 || !slices.Equal(all[0].te, []string{"chunked"}) || all[0].body != "hello" || all[1].uri != "/second" {
		t.Errorf("%+v", all)
	}
}

func TestTrailers(t *testing.T) {
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum")+" back")
	})
	up := newUpstream(t)
	for name, p := range map[string]*Proxy{"direct": {}, "upstream": {Upstream: up.url}} {
		r := serve(t, p)
		c, read := r.dial(t)
		io.WriteString(c, "POST "+o.URL+" HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: there\r\n\r\n")
		resp, err := http.ReadResponse(read, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		want := "there back"
		if name == "upstream" {
			want = "back" // httputil.ReverseProxy there forwards no trailers of requests
		}
		if got := resp.Trailer.Get("X-Sum"); err != nil || string(body) != "abc" || got != want {
			t.Errorf("%s: %s %q, trailer %q, %v", name, resp.Status, body, got, err)
		}
	}
}

// An answer begins before the request has ended, and neither waits for the other.
func TestStreams(t *testing.T) {
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		w.WriteHeader(200)
		rc.Flush()
		b := make([]byte, 1)
		for {
			if _, err := r.Body.Read(b); err != nil {
				return
			}
			w.Write(b)
			rc.Flush()
		}
	})
	r := serve(t, &Proxy{})
	c, read := r.dial(t)
	io.WriteString(c, "POST "+o.URL+" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	resp, err := http.ReadResponse(read, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	for _, s := range []string{"a", "b", "c"} {
		io.WriteString(c, "1\r\n"+s+"\r\n")
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != s {
			t.Fatalf("%q, %v", b, err)
		}
	}
	io.WriteString(c, "0\r\n\r\nGET "+o.URL+" HTTP/1.1\r\nHost: x\r\n\r\n")
	if n, err := io.Copy(io.Discard, resp.Body); n != 0 || err != nil {
		t.Errorf("%d more, %v", n, err)
	}
	if resp, _ := answer(t, read); resp.StatusCode != 200 { // the connection is as good as before
		t.Error(resp.Status)
	}
}

// A client that asks first is told to go on by the origin, or gets the answer without.
func TestExpect(t *testing.T) {
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		io.Copy(w, r.Body)
	})
	r := serve(t, &Proxy{})
	c, read := r.dial(t)
	head := " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
	io.WriteString(c, "POST "+o.URL+"/yes"+head)
	if line, err := read.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q %v", line, err)
	}
	read.ReadString('\n')
	io.WriteString(c, "abc")
	if resp, body := answer(t, read); resp.StatusCode != 200 || body != "abc" {
		t.Errorf("%s %s", resp.Status, body)
	}
	io.WriteString(c, "POST "+o.URL+"/no"+head)
	if resp, _ := answer(t, read); resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Error(resp.Status)
	}
}

// What comes before the answer is passed on, but for 100: that is between the proxy and each of the two.
func TestInterim(t *testing.T) {
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusContinue)
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
	})
	r := serve(t, &Proxy{})
	var hints []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, h.Get("Link")))
		return nil
	}})
	req, _ := http.NewRequestWithContext(ctx, "GET", o.URL, nil)
	resp, err := r.client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if !slices.Equal(hints, []string{"103</style.css>"}) || r.entry(t).Status != 200 {
		t.Errorf("%q", hints)
	}
}

func TestUpgrade(t *testing.T) {
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" {
			w.WriteHeader(http.StatusUpgradeRequired)
			return
		}
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		io.Copy(c, buf)
	})
	up := newUpstream(t)
	for name, p := range map[string]*Proxy{"direct": {}, "upstream": {Upstream: up.url}} {
		r := serve(t, p)
		c, read := r.dial(t)
		io.WriteString(c, "GET "+o.URL+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		resp, err := http.ReadResponse(read, nil)
		if err != nil || resp.StatusCode != 101 {
			t.Fatalf("%s: %v %v", name, resp, err)
		}
		io.WriteString(c, "hello\n")
		if line, err := read.ReadString('\n'); line != "hello\n" {
			t.Errorf("%s: %q, %v", name, line, err)
		}
		c.Close()
		if e := r.entry(t); e.Status != 101 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// When the client goes, the request to the origin ends.
func TestClientGone(t *testing.T) {
	in, gone := make(chan bool), make(chan bool)
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		in <- true
		<-r.Context().Done()
		gone <- true
	})
	r := serve(t, &Proxy{})
	c, _ := r.dial(t)
	io.WriteString(c, "GET "+o.URL+" HTTP/1.1\r\nHost: x\r\n\r\n")
	<-in
	c.Close()
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("the origin has not been told")
	}
	if e := r.entry(t); e.Status != 0 {
		t.Errorf("%+v", e)
	}
}

// A reader that takes nothing stops the sender, and memory is for neither.
func TestSlowReader(t *testing.T) {
	sent := make(chan int64, 1)
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(2 * time.Second))
		n, _ := io.Copy(w, io.LimitReader(zeros{}, 1<<30))
		sent <- n
	})
	r := serve(t, &Proxy{})
	c, read := r.dial(t)
	c.SetReadBuffer(4 << 10)
	io.WriteString(c, "GET "+o.URL+" HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(read), nil); err != nil {
		t.Fatal(err)
	}
	if n := <-sent; n > 64<<20 {
		t.Errorf("%d bytes went somewhere", n)
	}
}

// An origin that answers without the body is heard at once, and a client that breaks off in the middle is no request.
func TestBodyLeftOver(t *testing.T) {
	ended := make(chan error, 1)
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/reads" {
			_, err := io.Copy(io.Discard, r.Body)
			ended <- err
			return
		}
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})
	up := newUpstream(t)
	for name, p := range map[string]*Proxy{"direct": {}, "upstream": {Upstream: up.url}} {
		r := serve(t, p)
		head := " HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\nbegin"
		if resp, _ := r.raw(t, "POST "+o.URL+"/"+head); resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %s", name, resp.Status)
		}
		c, _ := r.dial(t)
		io.WriteString(c, "POST "+o.URL+"/reads"+head)
		c.CloseWrite()
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("%s: the origin took a part for the whole", name)
			}
		case <-time.After(patience):
			t.Errorf("%s: the origin still waits", name)
		}
	}
}

package forward

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// open makes a tunnel. What is in early goes with the CONNECT.
func (r *running) open(t testing.TB, target, early string) (*net.TCPConn, *bufio.Reader, *http.Response) {
	t.Helper()
	c, read := r.dial(t)
	io.WriteString(c, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\nUser-Agent: test\r\nProxy-Authorization: Basic c2VjcmV0OnNlY3JldA==\r\n\r\n"+early)
	resp, err := http.ReadResponse(read, &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	return c, read, resp
}

// ways are a proxy straight to the origins and one through another.
func ways(t *testing.T) map[string]*Proxy {
	return map[string]*Proxy{"direct": {}, "upstream": {Upstream: newUpstream(t).url}}
}

func TestTunnel(t *testing.T) {
	target := echoes(t)
	for name, p := range ways(t) {
		t.Run(name, func(t *testing.T) {
			r := serve(t, p)
			c, read, resp := r.open(t, target, "early ")
			if resp.StatusCode != 200 {
				t.Fatal(resp.Status)
			}
			io.WriteString(c, "and late")
			if err := c.CloseWrite(); err != nil { // and go on to listen
				t.Fatal(err)
			}
			if got, err := io.ReadAll(read); err != nil || string(got) != "early and late" {
				t.Errorf("%q, %v", got, err)
			}
			if e := r.entry(t); e.Method != "CONNECT" || e.Target != target || e.Status != 200 || e.Err != nil || e.Upstream != (name == "upstream") {
				t.Errorf("%+v", e)
			}
		})
	}
}

// Much goes through it, both ways at once.
func TestTunnelCarries(t *testing.T) {
	const size = 32 << 20
	target := echoes(t)
	for name, p := range ways(t) {
		t.Run(name, func(t *testing.T) {
			c, read, _ := serve(t, p).open(t, target, "")
			go func() {
				io.CopyN(c, zeros{}, size)
				c.CloseWrite()
			}()
			if n, err := io.Copy(io.Discard, read); n != size || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
}

// An origin that says its last first hears what the client has to say.
func TestTunnelServerIsDone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan string, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "bye")
			c.(*net.TCPConn).CloseWrite()
			b, _ := io.ReadAll(c)
			c.Close()
			heard <- string(b)
		}
	}()
	for name, p := range ways(t) {
		c, read, _ := serve(t, p).open(t, l.Addr().String(), "")
		if b, err := io.ReadAll(read); string(b) != "bye" || err != nil {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		io.WriteString(c, "what a pity")
		c.CloseWrite()
		if b := <-heard; b != "what a pity" {
			t.Errorf("%s: %q", name, b)
		}
	}
}

// When one end breaks, the other is told.
func TestTunnelBreaks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := serve(t, &Proxy{})
	c, _, _ := r.open(t, l.Addr().String(), "x")
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.SetDeadline(time.Now().Add(patience))
	c.SetLinger(0)
	c.Close()
	if b, err := io.ReadAll(server); string(b) != "x" || err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("%q, %v", b, err)
	}
	r.entry(t)
}

// A client that has gone looks like one that listens. It is not waited for when there is nothing to hear.
func TestTunnelHalf(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const half = time.Second // what a tick may be late
	r := serve(t, &Proxy{half: half})
	c, read, _ := r.open(t, l.Addr().String(), "x")
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.SetDeadline(time.Now().Add(patience))
	c.CloseWrite()
	if b, err := io.ReadAll(server); string(b) != "x" || err != nil {
		t.Fatalf("%q, %v", b, err)
	}
	// As long as it says something from time to time, it goes on.
	tick := time.NewTicker(half / 8)
	defer tick.Stop()
	for range 12 {
		<-tick.C
		if _, err := server.Write([]byte{'y'}); err != nil {
			t.Fatal(err)
		}
		if b, err := read.ReadByte(); b != 'y' || err != nil {
			t.Fatal(b, err)
		}
	}
	if b, err := read.ReadByte(); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("%q, %v", b, err)
	}
	r.entry(t)
}

// The token for the upstream proxy goes at once, with what the client says of itself and without its secret.
func TestConnectHeader(t *testing.T) {
	up := newUpstream(t)
	r := serve(t, &Proxy{Upstream: up.url})
	r.open(t, echoes(t), "")
	h := up.seen()
	if up.asked.Load() != 0 || !strings.HasPrefix(h.Get("Proxy-Authorization"), "Negotiate ") {
		t.Errorf("asked %d times", up.asked.Load())
	}
	if h.Get("User-Agent") != "test" || h.Get("Via") != "1.1 "+r.pseudonym {
		t.Errorf("%q by %q", h["Via"], h["User-Agent"])
	}
}

// answers is an upstream proxy that answers the requests on a connection one after the other.
func answers(t *testing.T, answers ...string) (up *url.URL, got func() []*http.Request) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var mu sync.Mutex
	var all []*http.Request
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				read := bufio.NewReader(c)
				for _, a := range answers {
					req, err := http.ReadRequest(read)
					if err != nil {
						return
					}
					mu.Lock()
					all = append(all, req)
					mu.Unlock()
					io.WriteString(c, a)
				}
			}()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return &url.URL{Scheme: "http", Host: "localhost:" + port}, func() []*http.Request {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func TestConnectRefused(t *testing.T) {
	// A token that goes on with nothing, as the library finds out.
	junk := base64.StdEncoding.EncodeToString([]byte("junk"))
	for _, test := range []struct {
		answer string
		status int
		text   string
	}{
		{"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403, "answered 403 Forbidden"},
		{"HTTP/1.1 503 Service Unavailable\r\n\r\n", 503, "answered 503"},
		{"HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n", 502, "answered 302"},
		{"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\n\r\n", 502, "answered 401"},
		{"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n", 502, "it does not offer Negotiate"},
		{"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x, Negotiate\r\nContent-Length: 0\r\n\r\n", 502, "refused the token"},
		{"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate " + junk + "\r\nContent-Length: 0\r\n\r\n", 502, "refused the token"},
		{"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate " + junk + "\r\nConnection: close\r\n\r\n", 502, "more tokens than can be exchanged"},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n", 403, "answered 403"},
		{"", 502, "it closed the connection without an answer"},
		{"this is not HTTP\r\n\r\n", 502, "malformed HTTP"},
		{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHead), 502, ""},
	} {
		up, _ := answers(t, test.answer)
		r := serve(t, &Proxy{Upstream: up})
		_, _, resp := r.open(t, "origin.example:443", "")
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != test.status || !strings.Contains(string(body), test.text) || !strings.Contains(string(body), up.Host) {
			t.Errorf("%.60q: %s %s", test.answer, resp.Status, body)
		}
		for _, name := range []string{"Proxy-Authenticate", "Www-Authenticate", "Location"} {
			if v, ok := resp.Header[name]; ok {
				t.Errorf("%s: %q", name, v)
			}
		}
		if e := r.entry(t); e.Status != test.status || e.Err == nil {
			t.Errorf("%+v", e)
		}
	}
}

// A mechanism may need several tokens, all on one connection. IAKERB is one, for a service whose ticket is not there yet.
func TestConnectLegs(t *testing.T) {
	if !inChild(t, "KRB5CCNAME="+fresh(t, "user")) {
		return
	}
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Usage: gssapi.Accept, Mechs: []gssapi.OID{gssapi.IAKERB}})
	if onHeimdal { // which has no mechanism of several legs that tests could use
		if !errors.Is(err, gssapi.ErrNoCred) && !errors.Is(err, gssapi.ErrBadMech) {
			t.Error(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	legs := 0
	accept := func() error {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		defer c.Close()
		sc := gssapi.NewAcceptor(&gssapi.Options{Credential: cred})
		defer sc.Close()
		read := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(read)
			if err != nil {
				return err
			}
			legs++
			token, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(req.Header.Get("Proxy-Authorization"), "Negotiate "))
			if err != nil {
				return err
			}
			out, err := sc.Step(t.Context(), token)
			if err != nil {
				return err
			}
			if sc.Established() {
				_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nhello")
				return err
			}
			fmt.Fprintf(c, "HTTP/1.1 407 Go on\r\nProxy-Authenticate: Basic realm=x, Negotiate %s\r\nContent-Length: 4\r\n\r\npage", base64.StdEncoding.EncodeToString(out))
		}
	}
	done := make(chan error, 1)
	go func() { done <- accept() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	r := serve(t, &Proxy{Upstream: &url.URL{Scheme: "http", Host: "localhost:" + port}, mech: gssapi.IAKERB})
	_, read, resp := r.open(t, "origin.example:443", "")
	if err := <-done; err != nil || resp.StatusCode != 200 || legs < 2 {
		t.Fatalf("%s, %d legs, %v", resp.Status, legs, err)
	}
	if b, err := io.ReadAll(read); string(b) != "hello" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

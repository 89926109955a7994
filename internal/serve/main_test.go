package serve

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nego-sso/nego/krbtest"
	"github.com/nego-sso/nego/negotiate"
)

// realm is the one that the whole test process is in.
var realm *krbtest.Realm

const (
	realUser = "user@NEGO.TEST"
	patience = 20 * time.Second // for what takes no time, on a machine with other things to do
)

func TestMain(m *testing.M) {
	r, err := krbtest.New(context.Background(), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	realm = r
	for _, kv := range r.Env() {
		name, value, _ := strings.Cut(kv, "=")
		os.Setenv(name, value)
	}
	code := m.Run()
	if err := r.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// running is a Server that serves.
type running struct {
	*Server
	url  string // at localhost, the name that there is a key for
	addr string
	end  context.CancelFunc
	wait func() // until it has ended

	access, log *buffer
}

// start starts a Server, whose missing fields it sets.
func start(t *testing.T, s *Server) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Server: s, addr: l.Addr().String(), access: new(buffer), log: new(buffer)}
	_, port, _ := net.SplitHostPort(r.addr)
	r.url = "http://localhost:" + port
	if s.Certificate != nil {
		r.url = "https://localhost:" + port
	}
	if s.Auth == nil {
		s.Auth = new(negotiate.Authenticator)
	}
	if s.UserHeader == "" {
		s.UserHeader = "X-Remote-User"
	}
	s.Access = r.access
	s.Log = slog.New(slog.NewTextHandler(r.log, nil))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	r.end = cancel
	r.wait = sync.OnceFunc(func() {
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		r.end()
		r.wait()
	})
	return r
}

// buffer may be written by several goroutines.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// lines ends the server, and returns its access log: a line is written when the client has the answer already.
func (r *running) lines() []string {
	r.end()
	r.wait()
	return strings.Split(strings.TrimSuffix(r.access.String(), "\n"), "\n")
}

// client signs on.
func client(t *testing.T, base *http.Transport) *http.Client {
	if base == nil {
		base = new(http.Transport)
	}
	tr := &negotiate.Transport{Base: base, Mutual: negotiate.MutualOptional}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// do sends a request and returns the answer, with its body apart.
func do(t *testing.T, c *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func request(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	return do(t, client(t, nil), request(t, http.MethodGet, url, nil))
}

// dial connects to a server.
func (r *running) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c, bufio.NewReader(c)
}

// upstream is a server for requests that go on.
func upstream(t *testing.T, h http.HandlerFunc) *url.URL {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func mustRule(t *testing.T, s string) Rule {
	t.Helper()
	r, err := ParseRule(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

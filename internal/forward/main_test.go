package forward

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/krbtest"
	"github.com/nego-sso/nego/negotiate"
)

// realm is the one that the whole test process is in.
var realm *krbtest.Realm

const (
	childVariable = "FORWARD_TEST_CHILD"
	realUser      = "user@NEGO.TEST"
	patience      = 20 * time.Second // for what takes no time, on a machine with other things to do
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(m.Run())
	}
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

// inChild runs the calling test in a process of its own with another environment, and reports there that it
// is that one.
func inChild(t *testing.T, env ...string) bool {
	t.Helper()
	if os.Getenv(childVariable) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(append(os.Environ(), env...), childVariable+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in the child process: %v\n%s", err, out)
	}
	return false
}

// fresh makes a ticket cache that has nothing but a user's TGT. In a child it returns nothing.
func fresh(t *testing.T, user string) string {
	t.Helper()
	if realm == nil {
		return ""
	}
	cache := "FILE:" + filepath.Join(t.TempDir(), user)
	if err := realm.Kinit(t.Context(), user, cache); err != nil {
		t.Fatal(err)
	}
	return cache
}

// running is a Proxy that serves, and what it has told.
type running struct {
	*Proxy
	url  *url.URL
	stop func() // ends it, and waits

	mu      sync.Mutex
	entries []Entry
	told    chan struct{} // gets one for each entry
}

func serve(t *testing.T, p *Proxy) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, p, l)
}

func serveOn(t *testing.T, p *Proxy, l net.Listener) *running {
	r := &running{Proxy: p, url: &url.URL{Scheme: "http", Host: l.Addr().String()}, told: make(chan struct{}, 1<<16)}
	p.Log = func(e Entry) {
		r.mu.Lock()
		r.entries = append(r.entries, e)
		r.mu.Unlock()
		r.told <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, l) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// entry waits for the next one.
func (r *running) entry(t *testing.T) Entry {
	t.Helper()
	select {
	case <-r.told:
	case <-time.After(patience):
		t.Fatal("no entry")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[0]
	r.entries = r.entries[1:]
	return e
}

// client is one that is told to use the proxy.
func (r *running) client(t *testing.T) *http.Client {
	tr := &http.Transport{Proxy: http.ProxyURL(r.url), DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// dial connects to the proxy.
func (r *running) dial(t testing.TB) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", r.url.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn), bufio.NewReader(c)
}

// raw sends bytes and reads the answer.
func (r *running) raw(t *testing.T, request string) (*http.Response, string) {
	t.Helper()
	c, read := r.dial(t)
	io.WriteString(c, request)
	return answer(t, read)
}

func answer(t *testing.T, read *bufio.Reader) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(read, nil)
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

// get returns the status and the body of a URL.
func get(t *testing.T, c *http.Client, u string) (int, string) {
	t.Helper()
	resp, err := c.Get(u)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// origin is a test server, whose URL is at localhost, the name that there is a service for.
func origin(t *testing.T, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	s.URL = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	t.Cleanup(s.Close)
	return s
}

// protected says to whom it talks, and wants to know.
func protected(t *testing.T) *httptest.Server {
	h := new(negotiate.Authenticator).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := negotiate.FromContext(r.Context())
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, id.Initiator)
	}))
	return origin(t, h.ServeHTTP)
}

// echoes is a server that sends back what it gets, and with its end its own.
func echoes(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// upstream is a proxy as Squid is one: it wants a token on each connection, and takes each once.
type upstream struct {
	url     *url.URL
	refuses atomic.Bool  // tokens
	asked   atomic.Int64 // how often it answered 407
	tokens  sync.Map
	mu      sync.Mutex
	last    http.Header // of the last request that was let in
}

func newUpstream(t testing.TB) *upstream {
	u := new(upstream)
	forward := &httputil.ReverseProxy{
		Rewrite:       func(*httputil.ProxyRequest) {},
		FlushInterval: -1,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 1000, ExpectContinueTimeout: patience},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !u.admit(r) {
			u.asked.Add(1)
			w.Header().Set("Proxy-Authenticate", "Negotiate")
			http.Error(w, "who are you?", http.StatusProxyAuthRequired)
			return
		}
		u.mu.Lock()
		u.last = r.Header
		u.mu.Unlock()
		if r.Method != http.MethodConnect {
			http.NewResponseController(w).EnableFullDuplex() // or an answer waits for the rest of the request
			forward.ServeHTTP(w, r)
			return
		}
		server, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		defer server.Close()
		client, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer client.Close()
		io.WriteString(client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") // which a CONNECT has not, and some proxies send
		join(r.Context(), end{client, buf.Reader}, end{server, nil}, patience)
	}))
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	u.url = &url.URL{Scheme: "http", Host: "localhost:" + port}
	return u
}

func (u *upstream) admit(r *http.Request) bool {
	text, ok := strings.CutPrefix(r.Header.Get("Proxy-Authorization"), "Negotiate ")
	token, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || u.refuses.Load() {
		return false
	}
	if _, used := u.tokens.LoadOrStore(text, true); used {
		return false
	}
	sc := gssapi.NewAcceptor(nil)
	defer sc.Close()
	_, err = sc.Step(r.Context(), token)
	return err == nil && sc.Established() && sc.Info().Initiator.String() == realUser
}

func (u *upstream) seen() http.Header {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last
}

func allow(hosts ...string) func(string) bool {
	return func(host string) bool {
		for _, h := range hosts {
			if h == host {
				return true
			}
		}
		return false
	}
}

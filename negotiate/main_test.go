package negotiate

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/krbtest"
)

// realm is the one that the whole test process is in.
var realm *krbtest.Realm

const childVariable = "NEGOTIATE_TEST_CHILD"

// either is what a test wants with MIT krb5, or with Heimdal where that is different.
func either[T any](mit, heimdal T) T {
	if onHeimdal {
		return heimdal
	}
	return mit
}

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
	setenv(r.Env()...)
	code := m.Run()
	if err := r.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func setenv(env ...string) {
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		os.Setenv(name, value)
	}
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

var serial atomic.Int64

// newService adds an HTTP service on a host of its own and returns the host.
func newService(t *testing.T) string {
	t.Helper()
	h := fmt.Sprintf("web%d.nego.test", serial.Add(1))
	if err := realm.AddService("HTTP/" + h); err != nil {
		t.Fatal(err)
	}
	return h
}

// site is a test server at http://localhost that remembers what it got.
type site struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	opened   atomic.Int64 // connections
	closed   atomic.Int64
}

// newSite starts one. The handler gets the number of the request, from 0 on.
func newSite(t testing.TB, h func(w http.ResponseWriter, r *http.Request, n int)) *site {
	s := newUnstartedSite(h)
	s.Start()
	s.URL = "http://localhost:" + s.port()
	t.Cleanup(s.Close)
	return s
}

func newUnstartedSite(h func(w http.ResponseWriter, r *http.Request, n int)) *site {
	s := &site{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		n := len(s.requests)
		s.requests = append(s.requests, r)
		s.mu.Unlock()
		h(w, r, n)
	}))
	s.Config.ConnState = s.count
	return s
}

func (s *site) port() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		panic(err)
	}
	return u.Port()
}

func (s *site) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.opened.Add(1)
	case http.StateClosed:
		s.closed.Add(1)
	}
}

// seen returns the requests so far.
func (s *site) seen() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.requests...)
}

// tokens counts the requests that carried one.
func (s *site) tokens() (n int) {
	for _, r := range s.seen() {
		if strings.HasPrefix(r.Header.Get("Authorization"), "Negotiate ") {
			n++
		}
	}
	return n
}

// protect is a site that wants authentication and says to whom it talks.
func protect(t testing.TB, a *Authenticator) *site {
	h := a.Handler(http.HandlerFunc(whoami))
	return newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) { h.ServeHTTP(w, r) })
}

func whoami(w http.ResponseWriter, r *http.Request) {
	id, ok := FromContext(r.Context())
	if !ok {
		fmt.Fprint(w, "nobody")
		return
	}
	fmt.Fprint(w, id.Initiator)
}

// initiate makes the first token for a service, and returns the context too.
func initiate(t testing.TB, target gssapi.Name, o *gssapi.Options) (*gssapi.SecContext, []byte) {
	t.Helper()
	c := gssapi.NewInitiator(target, o)
	t.Cleanup(func() { c.Close() })
	token, err := c.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, token
}

// silenceKDC has the KDC take questions and answer none, until back, which may be called again.
func silenceKDC(t *testing.T) (back func()) {
	t.Helper()
	if err := realm.StopKDC(); err != nil {
		t.Fatal(err)
	}
	silentTCP, err := net.Listen("tcp", realm.Addr)
	if err != nil {
		t.Fatal(err)
	}
	silentUDP, err := net.ListenPacket("udp", realm.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(func() {
		silentTCP.Close()
		silentUDP.Close()
		if err := realm.StartKDC(); err != nil {
			t.Fatal(err)
		}
	})
}

package spnego

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/krbtest"
	"github.com/nego-sso/nego/negotiate"
)

const childVariable = "SPNEGO_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(m.Run())
	}
	realm, err := krbtest.New(context.Background(), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, kv := range realm.Env() {
		name, value, _ := strings.Cut(kv, "=")
		os.Setenv(name, value)
	}
	code := m.Run()
	if err := realm.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// site is a server at http://localhost that counts.
type site struct {
	*httptest.Server
	requests, tokens, opened, closed atomic.Int64
}

func newSite(t *testing.T, h http.Handler) *site {
	s := &site{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if strings.HasPrefix(r.Header.Get("Authorization"), "Negotiate ") {
			s.tokens.Add(1)
		}
		h.ServeHTTP(w, r)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.opened.Add(1)
		case http.StateClosed:
			s.closed.Add(1)
		}
	}
	s.Start()
	s.URL = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	t.Cleanup(s.Close)
	return s
}

// protect is one that says to whom it talks.
func protect(t *testing.T) *site {
	return newSite(t, new(negotiate.Authenticator).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := negotiate.FromContext(r.Context())
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, id.Initiator, " ", string(b))
		if err != nil {
			t.Error(err)
		}
	})))
}

func do(t *testing.T, rt http.RoundTripper, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func newRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// Each request carries a token, and goes out once, also one whose body can be read only once.
func TestTransport(t *testing.T) {
	s := protect(t)
	for _, tr := range []*Transport{{}, {NoCanonicalize: true}, {Transport: http.Transport{DisableKeepAlives: true}}} {
		before := s.requests.Load()
		for range 3 {
			body := io.MultiReader(strings.NewReader("text"))
			if resp, got := do(t, tr, newRequest(t, "POST", s.URL, body)); resp.StatusCode != 200 || got != "user@NEGO.TEST text" {
				t.Errorf("%s: %s, %+v", resp.Status, got, negotiate.OutcomeOf(resp))
			}
		}
		if n := s.requests.Load() - before; n != 3 || s.tokens.Load() != s.requests.Load() {
			t.Errorf("%d requests, of all %d with a token", n, s.tokens.Load())
		}
		tr.CloseIdleConnections()
	}
	if n := s.opened.Load(); n != 1+1+3 {
		t.Errorf("%d connections: the settings of the embedded Transport are not used", n)
	}
}

// A page that is public gets a token too, as it does from go-spnego.
func TestPublicPage(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "public") }))
	if _, body := do(t, &Transport{}, newRequest(t, "GET", s.URL, nil)); body != "public" || s.tokens.Load() != 1 {
		t.Errorf("%s, %d tokens", body, s.tokens.Load())
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(new(negotiate.Authenticator).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto)
	})))
	defer s.Close()
	tr := &Transport{Transport: http.Transport{TLSClientConfig: &tls.Config{
		RootCAs:    s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs,
		ServerName: "example.com",
	}}}
	defer tr.CloseIdleConnections()
	if resp, body := do(t, tr, newRequest(t, "GET", strings.Replace(s.URL, "127.0.0.1", "localhost", 1), nil)); body != "HTTP/1.1" {
		t.Errorf("%s: %s", resp.Status, body)
	}
}

// Where no token can be made the request goes without, and fails where the server wants one.
func TestNoToken(t *testing.T) {
	public := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "public") }))
	url := strings.Replace(public.URL, "localhost", "127.0.0.1", 1) // for which there is no service
	if _, body := do(t, &Transport{}, newRequest(t, "GET", url, nil)); body != "public" || public.tokens.Load() != 0 {
		t.Errorf("%s, %d tokens", body, public.tokens.Load())
	}
	_, err := (&http.Client{Transport: &Transport{}}).Get(strings.Replace(protect(t).URL, "localhost", "127.0.0.1", 1))
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, gssapi.ErrFailure) || e.Error() != e.Err.Error() {
		t.Errorf("%T %v", err, err)
	}
	// An error of the connection is none of those.
	if _, err := new(Transport).RoundTrip(newRequest(t, "GET", "http://localhost:1", nil)); err == nil || errors.As(err, &e) {
		t.Errorf("%T %v", err, err)
	}
}

// A token that the server refuses leads to its 401, as with go-spnego.
func TestRefused(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", "Negotiate")
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, "no")
	}))
	for _, body := range []io.Reader{nil, io.MultiReader(strings.NewReader("text"))} {
		if resp, got := do(t, &Transport{}, newRequest(t, "POST", s.URL, body)); resp.StatusCode != 401 || got != "no" {
			t.Errorf("%s: %s", resp.Status, got)
		}
	}
}

func TestProvider(t *testing.T) {
	s := protect(t)
	for _, canonicalize := range []bool{false, true} {
		req := newRequest(t, "POST", s.URL, strings.NewReader("text"))
		req.Header.Set("Authorization", "Basic abc")
		if err := New().SetSPNEGOHeader(req, canonicalize); err != nil {
			t.Fatal(err)
		}
		if resp, body := do(t, nil, req); body != "user@NEGO.TEST text" {
			t.Errorf("%s: %s", resp.Status, body)
		}
	}
	bare := &http.Request{Method: "GET", URL: newRequest(t, "GET", strings.Replace(s.URL, "//", "//alice:secret@", 1), nil).URL}
	if err := New().SetSPNEGOHeader(bare, true); err != nil || bare.URL.User == nil || bare.Header.Get("Authorization") == "" {
		t.Errorf("%v, %+v", err, bare)
	}
	for _, url := range []string{"http://127.0.0.1/", "ftp://localhost/"} {
		req := newRequest(t, "GET", url, nil)
		if err := New().SetSPNEGOHeader(req, false); err == nil || len(req.Header) > 0 || strings.Contains(err.Error(), "401") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if err := New().SetSPNEGOHeader(&http.Request{}, false); err == nil {
		t.Error("no URL, and no error")
	}
}

// Without a ticket the error says where the library has looked.
func TestNoTicket(t *testing.T) {
	const cache = "FILE:/nonexistent/cache"
	if os.Getenv(childVariable) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^TestNoTicket$")
		cmd.Env = append(os.Environ(), childVariable+"=1", "KRB5CCNAME="+cache)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestNoTicket") {
			t.Errorf("in the child process: %v\n%s", err, out)
		}
		return
	}
	_, err := (&http.Client{Transport: &Transport{}}).Get(protect(t).URL)
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, gssapi.ErrNoCred) || !strings.Contains(err.Error(), cache) {
		t.Errorf("%T %v", err, err)
	}
	if err := New().SetSPNEGOHeader(newRequest(t, "GET", "http://localhost/", nil), false); !errors.Is(err, gssapi.ErrNoCred) {
		t.Error(err)
	}
}

func TestOtherSchemes(t *testing.T) {
	tr := &Transport{}
	tr.RegisterProtocol("test", roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 299, Body: http.NoBody, Request: r}, nil
	}))
	if resp, err := tr.RoundTrip(newRequest(t, "GET", "test://x/", nil)); err != nil || resp.StatusCode != 299 {
		t.Errorf("%v, %v", resp, err)
	}
	if _, err := tr.RoundTrip(&http.Request{Header: http.Header{}}); err == nil {
		t.Error("no URL, and no error")
	}
}

func TestConcurrentUse(t *testing.T) {
	s := protect(t)
	tr := &Transport{}
	defer tr.CloseIdleConnections()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			resp, err := (&http.Client{Transport: tr}).Get(s.URL)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); string(b) != "user@NEGO.TEST " {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
	wg.Wait()
}

// Connections end with CloseIdleConnections, and with a Transport that nobody has any more.
func TestConnectionsEnd(t *testing.T) {
	s := protect(t)
	tr := &Transport{}
	client := &http.Client{Transport: tr}
	do(t, tr, newRequest(t, "GET", s.URL, nil))
	client.CloseIdleConnections()
	waitFor(t, func() bool { return s.closed.Load() == 1 })
	func() { do(t, &Transport{}, newRequest(t, "GET", s.URL, nil)) }()
	waitFor(t, func() bool { runtime.GC(); return s.closed.Load() == 2 })
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("connections are still open")
		}
	}
}

// go-spnego's example program, as programs have it, builds with nothing but the import changed.
func TestProgramBuilds(t *testing.T) {
	const program = `package main

import (
	"fmt"
	"net/http"

	"github.com/dpotapov/go-spnego"
)

// Everything that there is to use.
var (
	_ spnego.Provider   = spnego.New()
	_ http.RoundTripper = &spnego.Transport{NoCanonicalize: true, Transport: http.Transport{MaxIdleConns: 1}}
	_ error             = &spnego.Error{Err: fmt.Errorf("why")}
)

func main() {
	c := &http.Client{
		Transport: &spnego.Transport{},
	}
	resp, err := c.Get("http://kerberized.service.com/")
	if err != nil {
		panic(err)
	}
	fmt.Print(resp.Status)
}
`
	moved := strings.Replace(program, "github.com/dpotapov/go-spnego", "github.com/nego-sso/nego/compat/spnego", 1)
	file := filepath.Join(t.TempDir(), "main.go") // the imports are those of the directory that go vet runs in
	if err := os.WriteFile(file, []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "vet", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

package kerberos

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/krbtest"
	"github.com/nego-sso/nego/negotiate"
)

var realm *krbtest.Realm

// alice is a user with a password and a ticket, in a cache that is not the default one of the collection.
const alice, alicePassword = "alice@NEGO.TEST", "wonderland"

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	realm, err = krbtest.New(ctx, &krbtest.Options{Services: []string{"HTTP/localhost", "HTTP/internalhost.nego.test", "wsman/localhost",
		"wsman/internalhost.nego.test"}})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, realm.Close()) }()
	for _, kv := range realm.Env() {
		name, value, _ := strings.Cut(kv, "=")
		os.Setenv(name, value)
	}
	// A collection: user is the default, alice is there too.
	collection := filepath.Join(realm.Dir, "collection")
	if err := os.Mkdir(collection, 0o700); err != nil {
		return 1, err
	}
	os.Setenv("KRB5CCNAME", "DIR:"+collection)
	if onHeimdal { // which does not survive a collection that is a directory
		os.Setenv("KRB5CCNAME", filepath.Join(collection, "tkt"))
	}
	if err := realm.AddUser(alice, alicePassword); err != nil {
		return 1, err
	}
	for user, file := range map[string]string{"user": "tkt", alice: "tktalice"} {
		if err := realm.Kinit(ctx, user, "DIR::"+filepath.Join(collection, file)); err != nil {
			return 1, err
		}
	}
	return m.Run(), nil
}

// site is a server that accepts tokens, remembers what it got and answers as a test wants.
type site struct {
	*httptest.Server
	public bool // it asks nobody
	silent bool // it proves nothing
	status int  // of an answer to a good token

	mu       sync.Mutex
	requests []*http.Request
	accepted []gssapi.Info
}

func newSite(t *testing.T, secure bool) *site {
	s := &site{status: http.StatusOK}
	s.Server = httptest.NewUnstartedServer(s)
	start := s.Start
	if secure {
		start = s.StartTLS
	}
	start()
	s.URL = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	t.Cleanup(s.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	if s.public {
		io.WriteString(w, "public")
		return
	}
	info, out, err := accept(r.Context(), r.Header.Get("Authorization"), s.Certificate() != nil, s)
	if err != nil {
		w.Header().Set("WWW-Authenticate", "Negotiate")
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, "who are you?")
		return
	}
	s.accepted = append(s.accepted, info)
	if !s.silent && len(out) > 0 {
		w.Header().Set("WWW-Authenticate", "Negotiate "+base64.StdEncoding.EncodeToString(out))
	}
	w.WriteHeader(s.status)
	io.WriteString(w, info.Initiator.String())
}

// accept takes the token of a header field.
func accept(ctx context.Context, field string, secure bool, s *site) (gssapi.Info, []byte, error) {
	data, ok := strings.CutPrefix(field, "Negotiate ")
	if !ok {
		return gssapi.Info{}, nil, errors.New("no token")
	}
	token, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return gssapi.Info{}, nil, err
	}
	cred, err := gssapi.Acquire(ctx, &gssapi.CredentialOptions{Usage: gssapi.Accept})
	if err != nil {
		return gssapi.Info{}, nil, err
	}
	defer cred.Close()
	o := &gssapi.Options{Credential: cred}
	if secure {
		o.ChannelBinding = endPoint(s)
	}
	sc := gssapi.NewAcceptor(o)
	defer sc.Close()
	out, err := sc.Step(ctx, token)
	if err == nil && !sc.Established() {
		err = errors.New("more than one token")
	}
	return sc.Info(), out, err
}

// seen returns the requests and what was accepted so far.
func (s *site) seen() ([]*http.Request, []gssapi.Info) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests), slices.Clone(s.accepted)
}

// get sends a GET and returns the response, its body read, or the error.
func get(t *testing.T, rt http.RoundTripper, url string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp, string(b), nil
}

// want sends a GET that succeeds, and returns what the server accepted.
func want(t *testing.T, s *site, a *HTTPKerberosAuth, user string) gssapi.Info {
	t.Helper()
	resp, body, err := get(t, a, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || body != user {
		t.Fatalf("%s: %s, %+v", resp.Status, body, negotiate.OutcomeOf(resp))
	}
	_, accepted := s.seen()
	return accepted[len(accepted)-1]
}

// trusting is a base that trusts a TLS site under the name localhost.
func trusting(s *site) http.RoundTripper {
	tr := s.Client().Transport.(*http.Transport).Clone()
	tr.TLSClientConfig.ServerName = "example.com"
	return tr
}

// endPoint is what a client of s binds tokens to. The signature of httptest's certificate has SHA-256.
func endPoint(s *site) *gssapi.ChannelBinding {
	sum := sha256.Sum256(s.Certificate().Raw)
	return &gssapi.ChannelBinding{Data: append([]byte("tls-server-end-point:"), sum[:]...)}
}

// The options and their defaults are those of requests-kerberos 0.15.
func TestDefaults(t *testing.T) {
	r, err := new(HTTPKerberosAuth).prepare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tr := r.transport
	if tr.Target != nil {
		t.Error("service is not HTTP at the host")
	}
	if tr.Credential != nil || tr.Mech != gssapi.KRB5 || tr.Mutual != negotiate.MutualRequired || tr.Delegate != negotiate.DelegateNever ||
		tr.Preemptive != negotiate.PreemptNever || tr.ChannelBinding != negotiate.BindIfTLS || tr.KeepErrorBody || !tr.ProxyAuth ||
		tr.Allow != nil || tr.AllowDelegate != nil || tr.Strict {
		t.Errorf("the defaults are %+v", tr)
	}
}

// Each option of the constructor in Python is a field.
func TestOptions(t *testing.T) {
	python := "mutual_authentication service delegate force_preemptive principal hostname_override sanitize_mutual_error_response send_cbt password"
	typ := reflect.TypeFor[HTTPKerberosAuth]()
	for name := range strings.FieldsSeq(python) {
		field := strings.ReplaceAll(name, "_", "")
		if _, ok := typ.FieldByNameFunc(func(s string) bool { return strings.EqualFold(s, field) }); !ok {
			t.Errorf("%s has no field", name)
		}
	}
}

func TestMutualAuthentication(t *testing.T) {
	for _, c := range []struct {
		mutual Mutual
		status int
		silent bool
		body   string // "": none is left
		err    error
	}{
		{Required, 200, false, "user@NEGO.TEST", nil},
		{Required, 500, false, "user@NEGO.TEST", nil},
		{Required, 200, true, "", negotiate.ErrMutual},
		{Required, 500, true, "", nil},
		{Optional, 200, true, "user@NEGO.TEST", nil},
		{Optional, 500, true, "user@NEGO.TEST", nil},
		{Disabled, 200, true, "user@NEGO.TEST", nil},
		{Disabled, 500, true, "user@NEGO.TEST", nil},
	} {
		s := newSite(t, false)
		s.status, s.silent = c.status, c.silent
		resp, body, err := get(t, &HTTPKerberosAuth{MutualAuthentication: c.mutual}, s.URL)
		if !errors.Is(err, c.err) || body != c.body || err == nil && resp.StatusCode != c.status {
			t.Errorf("%+v: %q, %v", c, body, err)
		}
		_, accepted := s.seen()
		if got := accepted[0].Flags&gssapi.FlagMutual != 0; got != (c.mutual != Disabled) {
			t.Errorf("%+v: mutual authentication was asked for: %v", c, got)
		}
	}
}

func TestSanitizeMutualErrorResponse(t *testing.T) {
	s := newSite(t, false)
	s.status, s.silent = 500, true
	resp, body, err := get(t, &HTTPKerberosAuth{SanitizeMutualErrorResponse: False}, s.URL)
	if err != nil || resp.StatusCode != 500 || body != "user@NEGO.TEST" {
		t.Errorf("%q, %v", body, err)
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		a    *HTTPKerberosAuth
		want string
	}{
		{&HTTPKerberosAuth{}, "HTTP/localhost@NEGO.TEST"},
		{&HTTPKerberosAuth{Service: "HTTP"}, "HTTP/localhost@NEGO.TEST"},
		{&HTTPKerberosAuth{Service: "wsman"}, "wsman/localhost@NEGO.TEST"},
		{&HTTPKerberosAuth{HostnameOverride: "internalhost.nego.test"}, "HTTP/internalhost.nego.test@NEGO.TEST"},
		{&HTTPKerberosAuth{Service: "wsman", HostnameOverride: "internalhost.nego.test"}, "wsman/internalhost.nego.test@NEGO.TEST"},
	} {
		if got := want(t, newSite(t, false), c.a, "user@NEGO.TEST"); got.Acceptor.String() != c.want {
			t.Errorf("%s %s: the ticket is for %s", c.a.Service, c.a.HostnameOverride, got.Acceptor)
		}
	}
	u, err := url.Parse("https://WWW.Example.COM.:8443/")
	if err != nil {
		t.Fatal(err)
	}
	if got := (&HTTPKerberosAuth{Service: "wsman"}).target()(u); got != gssapi.Service("wsman", "www.example.com") {
		t.Errorf("%s", got)
	}
}

func TestDelegate(t *testing.T) {
	for _, delegate := range []bool{false, true} {
		got := want(t, newSite(t, false), &HTTPKerberosAuth{Delegate: delegate}, "user@NEGO.TEST")
		if got.Flags&gssapi.FlagDelegate != 0 != delegate {
			t.Errorf("delegate %v: the server sees %s", delegate, got.Flags)
		}
	}
}

func TestForcePreemptive(t *testing.T) {
	for _, preemptive := range []bool{false, true} {
		s := newSite(t, false)
		a := &HTTPKerberosAuth{ForcePreemptive: preemptive}
		for range 3 {
			want(t, s, a, "user@NEGO.TEST")
		}
		requests, accepted := s.seen()
		if len(accepted) != 3 || (len(requests) == 3) != preemptive {
			t.Errorf("preemptive %v: %d requests, %d tokens", preemptive, len(requests), len(accepted))
		}
	}
}

// A server that never asks has proved nothing, and where it is sent a token it can.
func TestForcePreemptiveProof(t *testing.T) {
	s := newSite(t, false)
	s.public = true
	if _, _, err := get(t, new(HTTPKerberosAuth), s.URL); !errors.Is(err, negotiate.ErrMutual) {
		t.Error(err)
	}
	if _, body, err := get(t, &HTTPKerberosAuth{MutualAuthentication: Optional}, s.URL); err != nil || body != "public" {
		t.Errorf("%q, %v", body, err)
	}
}

func TestPrincipal(t *testing.T) {
	for _, c := range []*HTTPKerberosAuth{{Principal: alice}, {Principal: "alice"}, {Principal: alice, Password: alicePassword},
		{Principal: alice, ForcePreemptive: true}} {
		s := newSite(t, false)
		if onHeimdal && c.Password == "" {
			if _, _, err := get(t, c, s.URL); !errors.Is(err, gssapi.ErrNoCred) {
				t.Errorf("%s without the collection: %v", c.Principal, err)
			}
			continue
		}
		for range 2 {
			if got := want(t, s, c, alice); got.Mech != gssapi.KRB5 {
				t.Errorf("mechanism %s", got.Mech)
			}
		}
	}
}

// Without its ticket there is no request, whatever the options, and with it there is one again.
func TestPrincipalWithoutTicket(t *testing.T) {
	s := newSite(t, false)
	body := &closed{}
	for _, a := range []*HTTPKerberosAuth{{Principal: "nobody@NEGO.TEST"}, {Principal: alice, Password: "guess"}, {Password: "guess"}} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.RoundTrip(req)
		var e *gssapi.Error
		if err == nil || a.Principal != "" && !errors.As(err, &e) || strings.Contains(err.Error(), "guess") {
			t.Error(err)
		}
	}
	if requests, _ := s.seen(); len(requests) > 0 || body.n != 3 {
		t.Errorf("%d requests, body closed %d times", len(requests), body.n)
	}
	name := newName()
	late := &HTTPKerberosAuth{Principal: name, Password: "secret"}
	if _, _, err := get(t, late, s.URL); err == nil {
		t.Error("nobody has a ticket")
	}
	if err := realm.AddUser(name, "secret"); err != nil {
		t.Fatal(err)
	}
	want(t, s, late, name+"@NEGO.TEST")
}

var serial atomic.Int64

func newName() string { return fmt.Sprintf("user%d", serial.Add(1)) }

type closed struct{ n int }

func (c *closed) Read([]byte) (int, error) { return 0, io.EOF }
func (c *closed) Close() error             { c.n++; return nil }

// A credential whose time is over is replaced; as long as there is no other one it stays.
func TestPrincipalExpires(t *testing.T) {
	name := newName()
	if err := realm.AddUser(name, "secret"); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, false)
	a := &HTTPKerberosAuth{Principal: name, Password: "secret"}
	want(t, s, a, name+"@NEGO.TEST")
	first := a.inner.Load()
	if left := time.Until(first.expires); left < time.Hour || left > 48*time.Hour {
		t.Errorf("it expires in %v", left)
	}
	want(t, s, a, name+"@NEGO.TEST")
	if a.inner.Load() != first {
		t.Error("a good credential was replaced")
	}
	first.expires = time.Now().Add(-time.Second)
	want(t, s, a, name+"@NEGO.TEST")
	second := a.inner.Load()
	if second == first {
		t.Error("an old credential was used")
	}
	second.expires = first.expires
	a.Password = "wrong by now" // nobody else uses it
	want(t, s, a, name+"@NEGO.TEST")
	if a.inner.Load() != second {
		t.Error("the only credential was dropped")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.ready(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	a.CloseIdleConnections()
}

// First requests that come at once make one Transport.
func TestConcurrentUse(t *testing.T) {
	s := newSite(t, false)
	a := &HTTPKerberosAuth{Principal: alice, MutualAuthentication: Required}
	if onHeimdal {
		a.Password = alicePassword
	}
	a.CloseIdleConnections() // before there are any
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			resp, err := (&http.Client{Transport: a}).Get(s.URL)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); string(b) != alice {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
	wg.Wait()
}

// Python's context is one of plain Kerberos.
func TestMechanism(t *testing.T) {
	s := newSite(t, false)
	want(t, s, new(HTTPKerberosAuth), "user@NEGO.TEST")
	requests, _ := s.seen()
	token, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(requests[1].Header.Get("Authorization"), "Negotiate "))
	if err != nil || !strings.Contains(string(token[:20]), "\x06\x09"+string(gssapi.KRB5)) {
		t.Errorf("the token begins with %x", token[:20])
	}
}

func TestSendCBT(t *testing.T) {
	for _, send := range []Bool{True, False} {
		for _, preemptive := range []bool{false, true} {
			s := newSite(t, true)
			a := &HTTPKerberosAuth{SendCBT: send, ForcePreemptive: preemptive, Base: trusting(s)}
			got := want(t, s, a, "user@NEGO.TEST")
			if got.Flags&gssapi.FlagChannelBound != 0 != (send == True) {
				t.Errorf("send_cbt %v: the server sees %s", send == True, got.Flags)
			}
		}
	}
	// Over plain http there is nothing to bind to, and no error.
	if got := want(t, newSite(t, false), new(HTTPKerberosAuth), "user@NEGO.TEST"); got.Flags&gssapi.FlagChannelBound != 0 {
		t.Errorf("the server sees %s", got.Flags)
	}
}

// A proxy that asks gets a token for itself, and the origin one for itself.
func TestProxy(t *testing.T) {
	origin := newSite(t, false)
	var forward http.Transport
	defer forward.CloseIdleConnections()
	var names []string
	var mu sync.Mutex
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, _, err := accept(r.Context(), r.Header.Get("Proxy-Authorization"), false, nil)
		if err != nil {
			w.Header().Set("Proxy-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		mu.Lock()
		names = append(names, info.Acceptor.String())
		mu.Unlock()
		r.RequestURI = ""
		r.Header.Del("Proxy-Authorization")
		resp, err := forward.RoundTrip(r)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
	}))
	defer proxy.Close()
	u, err := url.Parse(strings.Replace(proxy.URL, "127.0.0.1", "localhost", 1))
	if err != nil {
		t.Fatal(err)
	}
	a := &HTTPKerberosAuth{Service: "wsman", Delegate: true, Base: &http.Transport{Proxy: http.ProxyURL(u)}}
	defer a.CloseIdleConnections()
	if got := want(t, origin, a, "user@NEGO.TEST"); got.Acceptor.String() != "wsman/localhost@NEGO.TEST" {
		t.Errorf("the origin got a token for %s", got.Acceptor)
	}
	if len(names) == 0 || names[0] != "HTTP/localhost@NEGO.TEST" {
		t.Errorf("the proxy got tokens for %s", names)
	}
}

func TestTrace(t *testing.T) {
	s := newSite(t, false)
	var calls int
	a := &HTTPKerberosAuth{Trace: &negotiate.Trace{GSS: func(context.Context, negotiate.GSSInfo) { calls++ }}}
	want(t, s, a, "user@NEGO.TEST")
	if calls != 2 {
		t.Errorf("%d calls of the library", calls)
	}
}

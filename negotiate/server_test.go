package negotiate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// keepUser is a site behind an Authenticator that keeps state with connections.
func keepUser(t testing.TB, a *Authenticator, h http.Handler) *site {
	protected := a.Handler(h)
	s := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { protected.ServeHTTP(w, r) })
	var mu sync.Mutex
	var conns []*conn
	s.Config.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		ctx = a.ConnContext(ctx, nc)
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, a.conn(ctx))
		return ctx
	}
	t.Cleanup(func() { // what the garbage collector would do later
		for _, c := range conns {
			if sc := c.begin(); sc != nil {
				sc.Close()
			}
		}
	})
	s.Start()
	s.URL = "http://localhost:" + s.port()
	t.Cleanup(s.Close)
	return s
}

// send sends a token, or none, and returns the response with its body read.
func send(t *testing.T, c *http.Client, url string, token []byte) (*http.Response, string) {
	t.Helper()
	req := newRequest(t, "GET", url, nil)
	if token != nil {
		req.Header.Set("Authorization", fieldValue(token))
	}
	return do(t, c, req)
}

// answered is the token of a response.
func answered(t *testing.T, resp *http.Response) []byte {
	t.Helper()
	token, _, err := findChallenge(resp.Header[askHeader])
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestServerManyLegs(t *testing.T) {
	cred := acquireIAKERB(t)
	if cred == nil {
		return
	}
	defer cred.Close()
	a := &Authenticator{Credential: cred}
	s := keepUser(t, a, http.HandlerFunc(whoami))
	host := newService(t) // whose ticket is not there yet
	i, token := initiate(t, gssapi.Service("HTTP", host), &gssapi.Options{Mech: gssapi.IAKERB, Flags: gssapi.FlagMutual})
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	resp, body := send(t, c, s.URL, token)
	first := answered(t, resp)
	if resp.StatusCode != 401 || strings.Contains(body, "user") || len(first) == 0 {
		t.Fatalf("%s, %q", resp.Status, body)
	}
	second, err := i.Step(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	// A request without a token in between is nobody's.
	if resp, body := send(t, c, s.URL, nil); resp.StatusCode != 401 {
		t.Errorf("in between: %s, %q", resp.Status, body)
	}
	resp, body = send(t, c, s.URL, second)
	if resp.StatusCode != 200 || body != "user@NEGO.TEST" {
		t.Errorf("%s, %q", resp.Status, body)
	}
	if _, err := i.Step(t.Context(), answered(t, resp)); err != nil || !i.Established() {
		t.Errorf("the server's proof: %v", err)
	}
	if resp, body := send(t, c, s.URL, nil); resp.StatusCode != 401 {
		t.Errorf("the next request without a token: %s, %q", resp.Status, body)
	}
	// The other half of a context is no good without the first one.
	other := &http.Client{Transport: &http.Transport{}}
	defer other.CloseIdleConnections()
	if resp, body := send(t, other, s.URL, second); resp.StatusCode != 401 {
		t.Errorf("on another connection: %s, %q", resp.Status, body)
	}
	if n := s.opened.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// Without ConnContext, and over HTTP/2, there is no second leg.
func TestServerRefusesManyLegs(t *testing.T) {
	a := new(Authenticator)
	s := protect(t, a)
	token, err := base64.StdEncoding.DecodeString("YBsGBisGAQUFAqARMA+gDTALBgkqhkiG9xIBAgI=") // NegTokenInit without a mechToken
	if err != nil {
		t.Fatal(err)
	}
	resp, _ := send(t, http.DefaultClient, s.URL, token)
	if resp.StatusCode != 401 || resp.Header.Get(askHeader) != "Negotiate" {
		t.Errorf("%s, %q", resp.Status, resp.Header[askHeader])
	}
	kept := keepUser(t, new(Authenticator), http.HandlerFunc(whoami))
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	for range 3 {
		resp, body := send(t, c, kept.URL, token)
		if resp.StatusCode != 401 || strings.Contains(body, "NEGO") || len(answered(t, resp)) == 0 {
			t.Errorf("%s, %q", resp.Status, body)
		}
		if resp, _ := send(t, c, kept.URL, nil); resp.StatusCode != 401 {
			t.Error(resp.Status)
		}
	}
	// A whole token of somebody else is not fed to the half that is there.
	for _, mech := range []gssapi.OID{gssapi.SPNEGO, gssapi.KRB5} {
		send(t, c, kept.URL, token)
		_, whole := initiate(t, gssapi.Service("HTTP", "localhost"), &gssapi.Options{Mech: mech})
		if resp, body := send(t, c, kept.URL, whole); resp.StatusCode != 200 || body != "user@NEGO.TEST" {
			t.Errorf("a whole token behind a half: %s, %q", resp.Status, body)
		}
	}
	if n := kept.opened.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// A client that does not come back leaves nothing.
func TestServerGivesUp(t *testing.T) {
	var c conn
	sc := gssapi.NewAcceptor(nil)
	if _, err := sc.Step(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c.keep(sc)
	c.giveUp(gssapi.NewAcceptor(nil)) // an older one
	if c.begin() != sc {
		t.Error("it was given up too early")
	}
	c.keep(sc)
	c.giveUp(sc)
	if c.begin() != nil {
		t.Error("it is still there")
	}
	if _, err := sc.Step(t.Context(), nil); !errors.Is(err, gssapi.ErrClosed) {
		t.Error(err)
	}
}

func TestConnectionBound(t *testing.T) {
	s := keepUser(t, &Authenticator{ConnectionBound: true}, http.HandlerFunc(whoami))
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	_, token := initiate(t, gssapi.Service("HTTP", "localhost"), nil)
	resp, body := send(t, c, s.URL, token)
	if body != "user@NEGO.TEST" || resp.Header.Get("Persistent-Auth") != "true" {
		t.Errorf("%s, %q, %v", resp.Status, body, resp.Header)
	}
	if resp, body := send(t, c, s.URL, nil); body != "user@NEGO.TEST" || resp.Header.Get("Persistent-Auth") != "true" ||
		resp.Header.Get("Cache-Control") != "private" {
		t.Errorf("%s, %q, %v", resp.Status, body, resp.Header)
	}
	// Another connection is another matter.
	other := &http.Client{Transport: &http.Transport{}}
	defer other.CloseIdleConnections()
	if resp, _ := send(t, other, s.URL, nil); resp.StatusCode != 401 {
		t.Error(resp.Status)
	}
	// A token that is no good ends what the connection was.
	if onHeimdal { // where it would be good again
		token[len(token)-20] ^= 1
	}
	if resp, _ := send(t, c, s.URL, token); resp.StatusCode != 401 {
		t.Errorf("a used token: %s", resp.Status)
	}
	if resp, _ := send(t, c, s.URL, nil); resp.StatusCode != 401 {
		t.Errorf("after it: %s", resp.Status)
	}
	// Nor does who authenticates otherwise become that user.
	_, token = initiate(t, gssapi.Service("HTTP", "localhost"), nil)
	send(t, c, s.URL, token)
	for _, value := range []string{"Basic Ym9iOnNlY3JldA==", "Negotiate @@@"} {
		req := newRequest(t, "GET", s.URL, nil)
		req.Header.Set("Authorization", value)
		if resp, body := do(t, c, req); resp.StatusCode != 401 {
			t.Errorf("%s on a user's connection: %s, %q", value, resp.Status, body)
		}
	}
	if resp, _ := send(t, c, s.URL, nil); resp.StatusCode != 401 {
		t.Errorf("after a token that is none: %s", resp.Status)
	}
	// Without the setting, the connection is nobody's.
	plain := keepUser(t, new(Authenticator), http.HandlerFunc(whoami))
	_, token = initiate(t, gssapi.Service("HTTP", "localhost"), nil)
	if resp, _ := send(t, c, plain.URL, token); resp.StatusCode != 200 || resp.Header.Get("Persistent-Auth") != "false" {
		t.Error(resp.Status)
	}
	if resp, _ := send(t, c, plain.URL, nil); resp.StatusCode != 401 {
		t.Error(resp.Status)
	}
}

func TestLocalName(t *testing.T) {
	var got string
	s := protectWith(t, new(Authenticator), func(w http.ResponseWriter, r *http.Request) {
		id, _ := FromContext(r.Context())
		got = id.LocalName
	})
	get(t, &http.Client{Transport: &Transport{}}, s.URL)
	if got != "user" {
		t.Errorf("%q", got)
	}
}

func protectWith(t testing.TB, a *Authenticator, h http.HandlerFunc) *site {
	protected := a.Handler(h)
	return newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) { protected.ServeHTTP(w, r) })
}

// A delegated credential is the handler's if it takes it, and closed behind it otherwise.
func TestTakeDelegated(t *testing.T) {
	var taken, left atomic.Pointer[gssapi.Credential]
	s := protectWith(t, new(Authenticator), func(w http.ResponseWriter, r *http.Request) {
		id, _ := FromContext(r.Context())
		if r.URL.Path == "/take" {
			taken.Store(id.TakeDelegated())
		} else {
			left.Store(id.delegated.Load())
		}
	})
	client := &http.Client{Transport: &Transport{Delegate: DelegateAlways}}
	get(t, client, s.URL+"/take")
	get(t, client, s.URL+"/leave")
	c := taken.Load()
	if c == nil {
		t.Fatal("nothing was delegated")
	}
	defer c.Close()
	if info, err := c.Info(); err != nil || info.Name.String() != "user@NEGO.TEST" {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := left.Load().Info(); !errors.Is(err, gssapi.ErrClosed) {
		t.Errorf("the one that was left: %v", err)
	}
	s2 := protectWith(t, new(Authenticator), func(w http.ResponseWriter, r *http.Request) {
		id, _ := FromContext(r.Context())
		if id.TakeDelegated() != nil {
			t.Error("a ticket that was not delegated")
		}
	})
	get(t, &http.Client{Transport: &Transport{}}, s2.URL)
}

// certificate is one for localhost, signed by itself.
func certificate(t testing.TB, names ...string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Each way to choose a certificate ends in the binding to the one that was shown, for new connections and for resumed
// ones, over both versions of HTTP.
func TestServerBinding(t *testing.T) {
	one, two := certificate(t, "localhost"), certificate(t, "localhost")
	var turn atomic.Int64
	rotate := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if turn.Add(1)%2 == 0 {
			return &one, nil
		}
		return &two, nil
	}
	other := certificate(t, "elsewhere")
	for name, config := range map[string]*tls.Config{
		"one certificate": {Certificates: []tls.Certificate{one}},
		"by name":         {Certificates: []tls.Certificate{other, one}},
		"rotated":         {GetCertificate: rotate},
		"by client": {GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{two}}, nil
		}},
		"TLS 1.2": {Certificates: []tls.Certificate{one}, MaxVersion: tls.VersionTLS12},
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " http2 ", http2), func(t *testing.T) {
				a := &Authenticator{ChannelBinding: BindRequired}
				protected := a.Handler(http.HandlerFunc(whoami))
				s := &http.Server{Handler: protected, TLSConfig: a.TLSConfig(config), ConnContext: a.ConnContext, Protocols: new(http.Protocols)}
				s.Protocols.SetHTTP1(true)
				s.Protocols.SetHTTP2(http2)
				base := serveTLS(t, s)
				cache := tls.NewLRUClientSessionCache(10)
				resumed := 0
				for n := range 4 {
					tr := &Transport{ChannelBinding: BindRequired, Preemptive: Preemption(n % 3), Base: &http.Transport{ForceAttemptHTTP2: http2,
						TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: cache}}}
					resp, body := get(t, &http.Client{Transport: tr}, base)
					o := OutcomeOf(resp)
					if body != "user@NEGO.TEST" || !o.ChannelBound || o.Err != nil || resp.ProtoMajor == 2 != http2 {
						t.Errorf("%s %s, %q, %+v", resp.Proto, resp.Status, body, o)
					}
					if resp.TLS.DidResume {
						resumed++
					}
					tr.CloseIdleConnections()
				}
				if resumed == 0 && name != "by client" {
					t.Error("no session was resumed")
				}
				// A client that binds nothing is refused, and so is one that binds to something else.
				free := &Transport{Base: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
				defer free.CloseIdleConnections()
				if resp, _ := get(t, &http.Client{Transport: free}, base); resp.StatusCode != 401 {
					t.Errorf("unbound: %s", resp.Status)
				}
				_, token := initiate(t, gssapi.Service("HTTP", "localhost"), &gssapi.Options{ChannelBinding: EndPoint(leafFor(t, other))})
				plain := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
				defer plain.CloseIdleConnections()
				if resp, _ := send(t, plain, base, token); resp.StatusCode != 401 {
					t.Errorf("bound to another: %s", resp.Status)
				}
			})
		}
	}
}

func leafFor(t *testing.T, c tls.Certificate) *x509.Certificate {
	t.Helper()
	leaf, err := leafOf(&c)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func serveTLS(t *testing.T, s *http.Server) string {
	t.Helper()
	l, err := newListener()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeTLS(l, "", "")
	}()
	t.Cleanup(func() { s.Close(); <-done })
	return "https://localhost:" + fmt.Sprint(port(l))
}

// A server that is not set up for bindings lets nobody in, rather than everybody.
func TestServerBindingIsNotSetUp(t *testing.T) {
	for _, binding := range []Binding{BindIfTLS, BindRequired} {
		a := &Authenticator{ChannelBinding: binding}
		protected := a.Handler(http.HandlerFunc(whoami))
		s := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { protected.ServeHTTP(w, r) })
		s.StartTLS()
		t.Cleanup(s.Close)
		u := "https://localhost:" + s.port()
		resp, body := get(t, &http.Client{Transport: &Transport{Base: trusting(s), ChannelBinding: BindRequired}}, u)
		if resp.StatusCode != 401 {
			t.Errorf("%v: %s, %q", binding, resp.Status, body)
		}
	}
	// Plain http is served with BindIfTLS, and not with BindRequired.
	for binding, want := range map[Binding]int{BindIfTLS: 200, BindRequired: 401} {
		s := protect(t, &Authenticator{ChannelBinding: binding})
		if resp, _ := get(t, &http.Client{Transport: &Transport{}}, s.URL); resp.StatusCode != want {
			t.Errorf("%v: %s", binding, resp.Status)
		}
	}
}

// Lanes of the Transport meet connections that the Authenticator keeps.
func TestLanesMeetConnections(t *testing.T) {
	cred := acquireIAKERB(t)
	if cred == nil {
		return
	}
	defer cred.Close()
	s := keepUser(t, &Authenticator{Credential: cred, ConnectionBound: true}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		whoami(w, r)
		io.Copy(w, r.Body)
	}))
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	host := newService(t)
	tr := &Transport{Mech: gssapi.IAKERB, Mutual: MutualOptional, Target: func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", host) }}
	defer tr.CloseIdleConnections()
	tr.pools().origins.learn(originKey(u), func(o *origin) { o.lanes = true })
	for n := range 3 {
		resp, body := do(t, &http.Client{Transport: tr}, newRequest(t, "POST", s.URL, strings.NewReader(" text")))
		if body != "user@NEGO.TEST text" || OutcomeOf(resp).Err != nil {
			t.Errorf("%d: %s, %q, %+v", n, resp.Status, body, OutcomeOf(resp))
		}
	}
}

func newListener() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

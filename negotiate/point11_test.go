package negotiate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// certKind is a certificate with the hash that RFC 5929 has for it.
type certKind struct {
	name string
	cert tls.Certificate
	hash crypto.Hash
}

var makeCertificates = sync.OnceValues(func() (l []certKind, err error) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	for i, c := range []struct {
		key  crypto.Signer
		alg  x509.SignatureAlgorithm
		hash crypto.Hash
	}{
		{rsaKey, x509.SHA256WithRSA, crypto.SHA256},
		{rsaKey, x509.SHA1WithRSA, crypto.SHA256},
		{rsaKey, x509.SHA384WithRSA, crypto.SHA384},
		{rsaKey, x509.SHA512WithRSA, crypto.SHA512},
		{rsaKey, x509.SHA256WithRSAPSS, crypto.SHA256},
		{rsaKey, x509.SHA384WithRSAPSS, crypto.SHA384},
		{rsaKey, x509.SHA512WithRSAPSS, crypto.SHA512},
		{ecKey, x509.ECDSAWithSHA1, crypto.SHA256},
		{ecKey, x509.ECDSAWithSHA256, crypto.SHA256},
		{ecKey, x509.ECDSAWithSHA384, crypto.SHA384},
		{ecKey, x509.ECDSAWithSHA512, crypto.SHA512},
		{edKey, x509.PureEd25519, crypto.SHA256},
	} {
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: "localhost"},
			DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour), SignatureAlgorithm: c.alg}
		der, err := x509.CreateCertificate(rand.Reader, template, template, c.key.Public(), c.key)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", c.alg, err)
		}
		l = append(l, certKind{c.alg.String(), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: c.key}, c.hash})
		if c.alg == x509.SHA256WithRSA {
			// One that says MD5. No library makes it any more; nobody here looks at its signature.
			md5 := bytes.ReplaceAll(der, []byte("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"), []byte("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04"))
			l = append(l, certKind{"MD5-RSA", tls.Certificate{Certificate: [][]byte{md5}, PrivateKey: c.key}, crypto.SHA256})
		}
	}
	return l, nil
})

func certificates(t testing.TB) []certKind {
	t.Helper()
	l, err := makeCertificates()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (c *certKind) parsed(t testing.TB) *x509.Certificate {
	p, err := x509.ParseCertificate(c.cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every kind of certificate, over both versions of HTTP, as an answer and ahead.
func TestPoint11Certificates(t *testing.T) {
	for _, c := range certificates(t) {
		for _, h2 := range []bool{false, true} {
			k := newSecureKeeper(t, h2)
			k.bind = true
			k.show(&c.cert, c.hash)
			for _, binding := range []Binding{BindNever, BindIfTLS, BindRequired} {
				for _, preempt := range []Preemption{PreemptNever, PreemptRemember, PreemptAlways} {
					t.Run(fmt.Sprint(c.name, h2, binding, preempt), func(t *testing.T) {
						tr := &Transport{Base: sendTo(k.Listener.Addr().String()), ChannelBinding: binding, Preemptive: preempt, Mutual: MutualOptional}
						defer tr.CloseIdleConnections()
						for i := range 2 {
							before := len(k.seen())
							resp, body := get(t, &http.Client{Transport: tr}, k.URL+"/always")
							o := OutcomeOf(resp)
							bound := binding != BindNever
							if body != "user@NEGO.TEST" || o.Err != nil || o.ChannelBound != bound || resp.Header.Get("X-Bound") != fmt.Sprint(bound) || !o.Mutual || o.Legs != 1 {
								t.Errorf("%s, %q, %+v, bound %s", resp.Status, body, o, resp.Header.Get("X-Bound"))
							}
							want := 2
							if preempt == PreemptAlways || preempt == PreemptRemember && i > 0 {
								want = 1
							}
							if n := len(k.seen()) - before; n != want {
								t.Errorf("%d requests, want %d", n, want)
							}
							if want := map[bool]int{false: 1, true: 2}[h2]; resp.ProtoMajor != want {
								t.Error(resp.Proto)
							}
						}
					})
				}
			}
		}
	}
}

// Somebody in the middle ends TLS with a certificate of his own, and passes tokens on.
func TestPoint11ManInTheMiddle(t *testing.T) {
	certs := certificates(t)
	for _, h2 := range []bool{false, true} {
		k := newSecureKeeper(t, false)
		k.bind = true
		k.show(&certs[0].cert, certs[0].hash)
		u, err := url.Parse(k.URL)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(u)
		proxy.Transport = sendTo(k.Listener.Addr().String())
		defer proxy.Transport.(*http.Transport).CloseIdleConnections()
		middle := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { proxy.ServeHTTP(w, r) })
		middle.EnableHTTP2 = h2
		middle.StartTLS()
		t.Cleanup(middle.Close)
		for _, binding := range []Binding{BindNever, BindIfTLS, BindRequired} {
			for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
				t.Run(fmt.Sprint(h2, binding, preempt), func(t *testing.T) {
					tr := &Transport{Base: sendTo(middle.Listener.Addr().String()), ChannelBinding: binding, Preemptive: preempt}
					defer tr.CloseIdleConnections()
					resp, body := get(t, &http.Client{Transport: tr}, "https://localhost:"+middle.port()+"/always")
					o := OutcomeOf(resp)
					if bound := binding != BindNever; o.ChannelBound != bound || bound != (resp.StatusCode == 401) {
						t.Errorf("%s, %q, %+v", resp.Status, body, o)
					}
				})
			}
		}
	}
}

// The certificate changes, so that the token is bound to another one than its connection is shown.
func TestPoint11Rotation(t *testing.T) {
	certs := certificates(t)
	for _, h2 := range []bool{false, true} {
		for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
			for _, when := range []string{"between two requests", "between challenge and answer"} {
				t.Run(fmt.Sprint(h2, preempt, when), func(t *testing.T) {
					k := newSecureKeeper(t, h2)
					k.bind = true
					serve := k.Config.Handler
					var round int
					rotate := func() {
						round++
						c := certs[round%len(certs)]
						k.show(&c.cert, c.hash)
					}
					rotate()
					k.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.Header.Get("Authorization") == "" && when != "between two requests" {
							rotate()
							w.Header().Set("Connection", "close")
						}
						serve.ServeHTTP(w, r)
					})
					tr := &Transport{Base: sendTo(k.Listener.Addr().String()), ChannelBinding: BindRequired, Preemptive: preempt}
					defer tr.CloseIdleConnections()
					for range 4 {
						if when == "between two requests" {
							rotate()
							tr.CloseIdleConnections()
						}
						resp, body := get(t, &http.Client{Transport: tr}, k.URL+"/always")
						if o := OutcomeOf(resp); body != "user@NEGO.TEST" || o.Err != nil || !o.ChannelBound || resp.Header.Get("X-Bound") != "true" {
							t.Errorf("%s, %q, %+v", resp.Status, body, o)
						}
					}
				})
			}
		}
	}
}

// There is nothing to bind to on plain http.
func TestPoint11PlainHTTP(t *testing.T) {
	for _, strict := range []bool{false, true} {
		for _, preempt := range []Preemption{PreemptNever, PreemptRemember, PreemptAlways} {
			k := newKeeper(t)
			tr := &Transport{ChannelBinding: BindRequired, Preemptive: preempt, Strict: strict}
			for range 2 {
				var o Outcome
				resp, err := tr.RoundTrip(newRequest(t, "GET", k.URL, nil).WithContext(WithOutcome(t.Context(), &o)))
				if strict != errors.Is(err, ErrBinding) || !errors.Is(o.Err, ErrBinding) || o.ChannelBound || o.Legs != 0 {
					t.Errorf("%v, %+v", err, o)
				}
				if err == nil {
					resp.Body.Close()
				}
			}
			if n := k.tokens(); n != 0 {
				t.Errorf("%d tokens were sent", n)
			}
			tr.CloseIdleConnections()
			tr = &Transport{ChannelBinding: BindIfTLS, Preemptive: preempt, Strict: strict}
			resp, body := get(t, &http.Client{Transport: tr}, k.URL)
			if o := OutcomeOf(resp); body != "user@NEGO.TEST" || o.ChannelBound || o.Err != nil {
				t.Errorf("%q, %+v", body, o)
			}
			tr.CloseIdleConnections()
		}
	}
}

// Outcome.ChannelBound says that bindings were sent, and none were where no token could be made.
func TestPoint11NoToken(t *testing.T) {
	k := newSecureKeeper(t, false)
	k.show(&certificates(t)[0].cert, crypto.SHA256)
	for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
		tr := &Transport{Base: sendTo(k.Listener.Addr().String()), ChannelBinding: BindRequired, Preemptive: preempt,
			Target: func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", "unknown.nego.test") }}
		resp, _ := get(t, &http.Client{Transport: tr}, k.URL)
		if o := OutcomeOf(resp); o.Err == nil || o.ChannelBound || o.Legs != 0 {
			t.Errorf("%s, %+v", resp.Status, o)
		}
		tr.CloseIdleConnections()
	}
}

// wrapped hides a *tls.Conn from net/http, and shows what it knows as *tls.Conn does.
type wrapped struct {
	net.Conn
	tls *tls.Conn
}

func (w wrapped) ConnectionState() tls.ConnectionState { return w.tls.ConnectionState() }

// The caller makes the TLS connections, or sends the requests.
func TestPoint11Dialers(t *testing.T) {
	c := certificates(t)[2]
	k := newSecureKeeper(t, false)
	k.bind = true
	k.show(&c.cert, c.hash)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&tls.Dialer{Config: &tls.Config{ServerName: "localhost", InsecureSkipVerify: true}}).DialContext(ctx, network, k.Listener.Addr().String())
	}
	wrap := func(hide bool) func(ctx context.Context, network, addr string) (net.Conn, error) {
		return func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			if hide {
				return struct{ net.Conn }{c}, nil
			}
			return wrapped{c, c.(*tls.Conn)}, nil
		}
	}
	foreign := sendTo(k.Listener.Addr().String())
	defer foreign.CloseIdleConnections()
	for _, base := range []struct {
		name  string
		base  http.RoundTripper
		known bool // the certificate
		ahead bool // on the first request too
	}{
		{"DialTLSContext", &http.Transport{DialTLSContext: dial}, true, true},
		{"wrapped", &http.Transport{DialTLSContext: wrap(false)}, true, true},
		{"hidden", &http.Transport{DialTLSContext: wrap(true)}, false, false},
		{"foreign", roundTripper(foreign.RoundTrip), true, false},
	} {
		for _, binding := range []Binding{BindIfTLS, BindRequired} {
			for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
				t.Run(fmt.Sprint(base.name, binding, preempt), func(t *testing.T) {
					before := len(k.seen())
					tr := &Transport{Base: base.base, ChannelBinding: binding, Preemptive: preempt}
					defer tr.CloseIdleConnections()
					resp, body := get(t, &http.Client{Transport: tr}, k.URL+"/always")
					o := OutcomeOf(resp)
					want := 2
					if preempt == PreemptAlways && base.ahead {
						want = 1
					}
					if !base.known && binding == BindRequired {
						if resp.StatusCode != 401 || !errors.Is(o.Err, ErrBinding) || o.ChannelBound {
							t.Errorf("%s, %+v", resp.Status, o)
						}
						return
					}
					if !base.known {
						want = map[Preemption]int{PreemptNever: 2, PreemptAlways: 1}[preempt]
					}
					if body != "user@NEGO.TEST" || o.Err != nil || o.ChannelBound != base.known || resp.Header.Get("X-Bound") != fmt.Sprint(base.known) {
						t.Errorf("%s, %q, %+v", resp.Status, body, o)
					}
					if n := len(k.seen()) - before; n != want {
						t.Errorf("%d requests, want %d", n, want)
					}
				})
			}
		}
	}
}

// The certificate of a lane, whoever makes its connection.
func TestPoint11Lane(t *testing.T) {
	c := certificates(t)[0]
	k := newSecureKeeper(t, true)
	k.show(&c.cert, c.hash)
	dial := (&tls.Dialer{Config: &tls.Config{ServerName: "localhost", InsecureSkipVerify: true}}).DialContext
	for name, base := range map[string]*http.Transport{
		"own":            sendTo(k.Listener.Addr().String()),
		"DialTLSContext": {DialTLSContext: dial},
		"wrapped": {DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return wrapped{c, c.(*tls.Conn)}, nil
		}},
	} {
		l, err := dialLane(t.Context(), newPools(base, nil).cloneHTTP1(), newRequest(t, "GET", k.URL, nil))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if leaf := l.certificate(); leaf == nil || !leaf.Equal(c.parsed(t)) {
			t.Errorf("%s: %v", name, leaf)
		}
		l.close()
	}
}

// With bindings a change of the user is noticed as well.
func TestPoint11Kinit(t *testing.T) {
	u, child := inChildOfUsers(t)
	if !child {
		return
	}
	u.prepare(t)
	c := certificates(t)[0]
	for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
		k := newSecureKeeper(t, false)
		k.bind = true
		k.show(&c.cert, c.hash)
		tr := &Transport{Base: sendTo(k.Listener.Addr().String()), ChannelBinding: BindRequired, Preemptive: preempt}
		for _, name := range []string{u.alice, u.bob, u.alice} {
			u.become(t, name)
			for range 2 {
				if resp, body := get(t, &http.Client{Transport: tr}, k.URL); body != name {
					t.Errorf("%s, %q, want %s, %+v", resp.Status, body, name, OutcomeOf(resp))
				}
			}
		}
		tr.CloseIdleConnections()
	}
}

// Many requests at once, each bound to the connection that it goes on.
func TestPoint11Concurrent(t *testing.T) {
	certs := certificates(t)
	for _, h2 := range []bool{false, true} {
		k := newSecureKeeper(t, h2)
		k.bind = true
		k.show(&certs[0].cert, certs[0].hash)
		tr := &Transport{Base: sendTo(k.Listener.Addr().String()), ChannelBinding: BindRequired, Preemptive: PreemptRemember}
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for j := range 10 {
					if i == 0 {
						c := certs[j%len(certs)]
						k.show(&c.cert, c.hash)
						tr.CloseIdleConnections()
					}
					resp, err := (&http.Client{Transport: tr}).Post(k.URL+"/always", "text/plain", strings.NewReader("text"))
					if err != nil {
						t.Error(err)
						return
					}
					resp.Body.Close()
					if o := OutcomeOf(resp); resp.StatusCode != 200 || !o.ChannelBound {
						t.Errorf("%s, %+v", resp.Status, o)
					}
				}
			})
		}
		wg.Wait()
		tr.CloseIdleConnections()
	}
}

// The hash is the one of RFC 5929.
func TestPoint11Hash(t *testing.T) {
	for _, c := range certificates(t) {
		sum := c.hash.New()
		sum.Write(c.cert.Certificate[0])
		if got := EndPoint(c.parsed(t)); !bytes.Equal(got.Data, sum.Sum([]byte("tls-server-end-point:"))) {
			t.Errorf("%s: %x", c.name, got.Data)
		}
	}
}

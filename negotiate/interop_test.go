//go:build interop

package negotiate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nego-sso/nego/internal/peers"
	"github.com/nego-sso/nego/krbtest"
)

// Paths of the Apache of these tests.
const (
	krb5Path  = "/krb5"  // a token in each request
	boundPath = "/bound" // one token for a connection
	ntlmPath  = "/ntlm"  // the same, and NTLM is taken too
	openPath  = "/open"
)

// apache starts one for the realm of an environment, with all of these paths. The transport trusts its certificate
// and counts its connections.
func apache(t *testing.T, env []string) (*peers.Server, *counted) {
	t.Helper()
	cert, _ := peers.Certificate(t)
	s := peers.Apache(t, peers.ApacheOptions{
		Env:         env,
		Certificate: cert,
		Config: peers.Location(krb5Path, peers.AuthKrb5) + peers.Location(boundPath, peers.AuthBound) +
			peers.Location(ntlmPath, peers.AuthNTLM),
	})
	return s, newCounted(t, cert.Leaf)
}

// counted is a Base that counts connections.
type counted struct {
	*http.Transport
	opened, open, most atomic.Int64
}

func newCounted(t *testing.T, trusted *x509.Certificate) *counted {
	c := &counted{}
	c.Transport = &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: x509.NewCertPool()},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			c.opened.Add(1)
			for n := c.open.Add(1); ; {
				if most := c.most.Load(); n <= most || c.most.CompareAndSwap(most, n) {
					break
				}
			}
			return &countedConn{Conn: conn, c: c}, nil
		},
	}
	if trusted != nil {
		c.TLSClientConfig.RootCAs.AddCert(trusted)
	}
	return c
}

// http1 is a copy of the settings without HTTP/2.
func (c *counted) http1() *http.Transport {
	tr := c.Transport.Clone()
	tr.ForceAttemptHTTP2 = false
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP1(true)
	tr.TLSClientConfig.NextProtos = nil
	return tr
}

type countedConn struct {
	net.Conn
	c      *counted
	closed atomic.Bool
}

func (c *countedConn) Close() error {
	if !c.closed.Swap(true) {
		c.c.open.Add(-1)
	}
	return c.Conn.Close()
}

// newClient is a client of a Transport whose connections end with the test.
func newClient(t *testing.T, tr *Transport) *http.Client {
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// seen is what an Apache that lets a request through says of it.
func seen(t testing.TB, body string) (r peers.Request) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	return r
}

// getAs makes a GET and checks who the server saw.
func getAs(t testing.TB, c *http.Client, url, user string) (*http.Response, peers.Request) {
	t.Helper()
	return doAs(t, c, newRequest(t, "GET", url, nil), user)
}

func doAs(t testing.TB, c *http.Client, req *http.Request, user string) (*http.Response, peers.Request) {
	t.Helper()
	resp, body := do(t, c, req)
	if resp.StatusCode != 200 {
		t.Fatalf("%s %s: %s, %+v", req.Method, req.URL, resp.Status, OutcomeOf(resp))
	}
	r := seen(t, body)
	if r.User != user {
		t.Fatalf("%s %s as %q, want %q: %+v", req.Method, req.URL, r.User, user, OutcomeOf(resp))
	}
	return resp, r
}

// getRefused makes a GET that ends with a 401, and checks the reason that the outcome gives.
func getRefused(t testing.TB, c *http.Client, url string, reasons ...string) {
	t.Helper()
	resp, _ := get(t, c, url)
	err := OutcomeOf(resp).Err
	if resp.StatusCode != 401 || err == nil {
		t.Fatalf("%s as %q, %+v", resp.Status, resp.Header.Get("X-Remote-User"), OutcomeOf(resp))
	}
	for _, reason := range reasons {
		if !strings.Contains(err.Error(), reason) {
			t.Errorf("%q is not in: %v", reason, err)
		}
	}
}

// inRealm runs the calling test in a child process, in a realm of its own whose environment, and more, it has from the
// beginning. It returns nil in the parent.
func inRealm(t *testing.T, o *krbtest.Options, more func(r *krbtest.Realm) []string) *krbtest.Realm {
	t.Helper()
	if !inChild(t) {
		return nil
	}
	r := krbtest.Start(t, o)
	setenv(r.Env()...)
	if more != nil {
		setenv(more(r)...)
	}
	return r
}

// steady fails the test if goroutines or connections are left when its clients are done with.
func steady(t *testing.T, c *counted, run func()) {
	t.Helper()
	before := clientGoroutines()
	run()
	waitFor(t, func() bool { return c.open.Load() == 0 }, "connections closed")
	waitFor(t, func() bool { return clientGoroutines() <= before }, "goroutines ended")
}

// clientGoroutines counts the goroutines that serve connections of clients, and those that are in this package
// without being a test's own. The servers behind Apache, which are in this process, too, have others.
func clientGoroutines() (n int) {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(stack, "http.(*persistConn)") || strings.Contains(stack, "negotiate.(*") {
			n++
		}
	}
	return n
}

// idleLanes counts the lanes that a Transport keeps.
func idleLanes(tr *Transport) (n int) {
	p := tr.pools()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lanes {
		n += len(l)
	}
	return n
}

// A flood makes a body of n bytes that are the same each time, and at no two places alike for long.
type flood struct{ n, at int64 }

// period is what a flood repeats: a prime number of bytes, so that no cut at a round number fits.
var period = func() []byte {
	b := make([]byte, 65521)
	x := uint64(1)
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
	return b
}()

func (g *flood) Read(p []byte) (int, error) {
	if g.at == g.n {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), g.n-g.at)]
	n := copy(p, period[g.at%int64(len(period)):])
	g.at += int64(n)
	return n, nil
}

func generated(n int64) []byte {
	var b bytes.Buffer
	b.Grow(int(n))
	_, _ = io.Copy(&b, &flood{n: n})
	return b.Bytes()
}

package negotiate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// bound is a server that keeps contexts, and then users, with connections, as IIS and Apache do for NTLM. What it
// accepts is IAKERB, a mechanism of several legs that MIT krb5 has built in.
type bound struct {
	*site
	t     testing.TB
	cred  *gssapi.Credential
	legs  atomic.Int64
	drops atomic.Int64 // legs to answer by closing the connection
}

type boundConn struct {
	mu   sync.Mutex
	sc   *gssapi.SecContext
	user string
}

type boundKey struct{}

// acquireIAKERB gets an acceptor's credential for a mechanism of several legs. Heimdal has none that tests could use: there
// it checks that Heimdal says so and returns nil, and the caller has nothing to do.
func acquireIAKERB(t testing.TB) *gssapi.Credential {
	t.Helper()
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Usage: gssapi.Accept, Mechs: []gssapi.OID{gssapi.IAKERB}})
	if onHeimdal {
		if !errors.Is(err, gssapi.ErrNoCred) && !errors.Is(err, gssapi.ErrBadMech) {
			t.Error(err)
		}
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

func newBound(t testing.TB) *bound {
	cred := acquireIAKERB(t)
	if cred == nil {
		return nil
	}
	t.Cleanup(func() { cred.Close() })
	b := &bound{t: t, cred: cred}
	b.site = newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { b.serve(w, r) })
	var mu sync.Mutex
	var conns []*boundConn
	b.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		c := new(boundConn)
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
		return context.WithValue(ctx, boundKey{}, c)
	}
	t.Cleanup(func() {
		for _, c := range conns {
			c.sc.Close()
		}
	})
	b.Start()
	b.URL = "http://localhost:" + b.port()
	t.Cleanup(b.Close)
	return b
}

func (b *bound) serve(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(boundKey{}).(*boundConn)
	c.mu.Lock()
	defer c.mu.Unlock()
	token, err := requestToken(r.Header)
	switch {
	case errors.Is(err, ErrNoToken) && c.user != "":
		text, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", c.user, text)
		return
	case err != nil:
		w.Header().Set(askHeader, "Negotiate")
	case c.user != "":
		w.Header().Set(askHeader, "Negotiate") // it does not begin twice
	default:
		b.legs.Add(1)
		if b.drops.Add(-1) >= 0 {
			nc, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				b.t.Error(err)
				return
			}
			nc.Close()
			return
		}
		if c.sc == nil {
			c.sc = gssapi.NewAcceptor(&gssapi.Options{Credential: b.cred})
		}
		out, err := c.sc.Step(r.Context(), token)
		if err != nil {
			b.t.Log(err)
			c.sc.Close()
			c.sc = nil
		}
		value := "Negotiate"
		if len(out) > 0 {
			value = fieldValue(out)
		}
		w.Header().Set(askHeader, value)
		if err == nil && c.sc.Established() {
			c.user = c.sc.Info().Initiator.String()
			c.sc.Close()
			text, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s", c.user, text)
			return
		}
	}
	w.WriteHeader(401)
	io.WriteString(w, "more")
}

// newLanes is a Transport that knows that the server needs lanes, for a service whose ticket is not there yet: with
// one, MIT's IAKERB begins with a token that its own acceptor does not take.
func newLanes(t *testing.T, b *bound, tr *Transport) *http.Client {
	host := newService(t)
	tr.Mech = gssapi.IAKERB
	tr.Target = func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", host) }
	u, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	tr.pools().origins.learn(originKey(u), func(o *origin) { o.lanes = true })
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestManyLegs(t *testing.T) {
	for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(preempt.String()+" "+method, func(t *testing.T) {
				b := newBound(t)
				if b == nil {
					return
				}
				client := newLanes(t, b, &Transport{Preemptive: preempt, Mutual: MutualOptional})
				send := func(want int) {
					t.Helper()
					text := ""
					if method == "POST" {
						text = "text"
					}
					req := newRequest(t, method, b.URL, strings.NewReader(text))
					if text == "" {
						req.Body, req.GetBody = nil, nil
					}
					resp, body := do(t, client, req)
					o := OutcomeOf(resp)
					if resp.StatusCode != 200 || body != "user@NEGO.TEST "+text || o.Err != nil || o.Legs != want {
						t.Errorf("%s, %q, %+v", resp.Status, body, o)
					}
				}
				send(2)
				opened := b.opened.Load()
				for range 3 {
					send(0) // on the connection that is the user's
				}
				if n := b.opened.Load(); n != opened || b.legs.Load() != 2 {
					t.Errorf("%d connections more, %d legs", n-opened, b.legs.Load())
				}
				client.CloseIdleConnections()
			})
		}
	}
}

// A connection that is lost in a handshake costs another one, and no request.
func TestLaneIsLost(t *testing.T) {
	for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
		b := newBound(t)
		if b == nil {
			return
		}
		client := newLanes(t, b, &Transport{Preemptive: preempt, Mutual: MutualOptional})
		b.drops.Store(1)
		resp, body := get(t, client, b.URL)
		if n := b.legs.Load(); n != 3 || body != "user@NEGO.TEST " {
			t.Errorf("%s, %q after %d legs: %+v", resp.Status, body, n, OutcomeOf(resp))
		}
	}
	// One that is lost again and again costs the request, after a few tries.
	b := newBound(t)
	if b == nil {
		return
	}
	client := newLanes(t, b, &Transport{})
	b.drops.Store(1000)
	if resp, err := client.Do(newRequest(t, "GET", b.URL, nil)); err == nil {
		t.Errorf("%s", resp.Status)
	}
	if n := b.legs.Load(); n > 10 {
		t.Errorf("%d tries", n)
	}
}

func TestLaneOfAForeignBase(t *testing.T) {
	b := newBound(t)
	if b == nil {
		return
	}
	host := newService(t)
	tr := &Transport{Base: roundTripper(http.DefaultTransport.RoundTrip), Mech: gssapi.IAKERB,
		Target: func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", host) }}
	resp, body := get(t, &http.Client{Transport: tr}, b.URL)
	if resp.StatusCode != 401 || body != "more" || !errors.Is(OutcomeOf(resp).Err, ErrLegs) {
		t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

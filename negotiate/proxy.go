package negotiate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

const (
	proxyAskHeader   = "Proxy-Authenticate"
	proxyReplyHeader = "Proxy-Authorization"
)

// proxyAuth authenticates to proxies. It holds what it needs of a Transport, and not the Transport.
type proxyAuth struct {
	cred  *gssapi.Credential
	mech  gssapi.OID
	trace *Trace
}

// handshake is one with a proxy, which gets neither delegation nor anything else that is for origins.
func (p *proxyAuth) handshake(proxy *url.URL) handshake {
	return handshake{
		trace:  p.trace,
		target: gssapi.Service("HTTP", host(proxy)),
		opts:   gssapi.Options{Credential: p.cred, Mech: p.mech, AuthOnly: true},
	}
}

// install has a transport send a token with each CONNECT. Proxies tie authentication to a connection, and a
// tunnel is one for itself, so there is nothing to wait for.
func (p *proxyAuth) install(tr *http.Transport) {
	header, fixed, answered := tr.GetProxyConnectHeader, tr.ProxyConnectHeader, tr.OnProxyConnectResponse
	tr.GetProxyConnectHeader = func(ctx context.Context, proxy *url.URL, target string) (http.Header, error) {
		h := fixed.Clone()
		if header != nil {
			var err error
			if h, err = header(ctx, proxy, target); err != nil {
				return nil, err
			}
			h = h.Clone()
		}
		if proxy.User != nil || len(h[proxyReplyHeader]) > 0 {
			return h, nil // the caller authenticates
		}
		s := p.handshake(proxy)
		defer s.end()
		if err := s.begin(ctx, nil); err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			noteProxy(ctx, err)
			return h, nil // the proxy may not ask
		}
		if h == nil {
			h = make(http.Header)
		}
		h[proxyReplyHeader] = []string{s.take()}
		return h, nil
	}
	tr.OnProxyConnectResponse = func(ctx context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
		if answered != nil {
			if err := answered(ctx, proxy, req, resp); err != nil {
				return err
			}
		}
		if resp.StatusCode != http.StatusProxyAuthRequired {
			return nil
		}
		var err error = ErrRefused
		if note := proxyNote(ctx); note != nil {
			err = note
		} else if _, found, _ := findChallenge(resp.Header[proxyAskHeader]); !found {
			err = errors.New("the proxy does not offer Negotiate")
		}
		return &Error{Op: authenticateProxy, URL: display(proxy), Status: resp.StatusCode, Err: err}
	}
}

// The two functions of a CONNECT share what went wrong by way of its context.
type connectKey struct{}

// withConnect prepares the context of a leg whose connection may need a tunnel.
func withConnect(ctx context.Context) context.Context {
	return context.WithValue(ctx, connectKey{}, new(connectNote))
}

type connectNote struct{ err error }

func noteProxy(ctx context.Context, err error) {
	if n, ok := ctx.Value(connectKey{}).(*connectNote); ok {
		n.err = err
	}
}

func proxyNote(ctx context.Context) error {
	if n, ok := ctx.Value(connectKey{}).(*connectNote); ok {
		return n.err
	}
	return nil
}

// Base's Proxy is asked once for a request, and all of its legs go that way: the function may choose among proxies, and
// a token for one is nothing for another.
type routeKey struct{}

type route struct{ proxy *url.URL } // nil: direct

// routed has a transport keep to the route of a leg.
func routed(choose func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		if way, ok := r.Context().Value(routeKey{}).(*route); ok {
			return way.proxy, nil
		}
		return choose(r)
	}
}

// chooseProxy finds the request's way, and the proxy that sees the request. One that a tunnel leads through sees
// only the CONNECT.
func (x *exchange) chooseProxy() error {
	if x.pools.route == nil {
		return nil
	}
	u, err := x.pools.route(x.req)
	if err != nil {
		return err
	}
	x.route = &route{u}
	if x.pools.proxy == nil || !x.relayed() || u.User != nil || len(x.req.Header[proxyReplyHeader]) > 0 {
		return nil
	}
	x.proxyURL, x.proxy = u, x.pools.proxy.handshake(u)
	return nil
}

// onRoute prepares the context of a leg, or of a connection for legs.
func (x *exchange) onRoute(ctx context.Context) context.Context {
	if x.route != nil {
		ctx = context.WithValue(ctx, routeKey{}, x.route)
	}
	if x.pools.proxy != nil {
		ctx = withConnect(ctx)
	}
	return ctx
}

// relayed reports whether a proxy sees the request and passes it on, whether it is answered or not.
func (x *exchange) relayed() bool {
	if x.route == nil || x.route.proxy == nil || x.req.URL.Scheme != "http" {
		return false
	}
	return x.route.proxy.Scheme == "http" || x.route.proxy.Scheme == "https"
}

// proxyKey is what origins knows a proxy by.
func (x *exchange) proxyKey() string { return "proxy " + originKey(x.proxyURL) }

// proxyMayAsk reports whether a proxy gets no token before it asks, which it may do whatever the origin may have.
func (x *exchange) proxyMayAsk() bool {
	return x.proxyURL != nil && x.pools.origins.get(x.proxyKey()).asked.IsZero()
}

// setProxyToken gives a leg a fresh token for a proxy that has asked before: it ties that to the connection, and
// which one the leg goes on is not known here.
func (x *exchange) setProxyToken(h http.Header) error {
	if x.proxyURL == nil || x.proxyMayAsk() {
		return nil
	}
	if ctx := x.req.Context(); x.proxy.token == nil {
		if err := x.proxy.begin(ctx, nil); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return nil // it will ask
		}
	}
	h[proxyReplyHeader] = []string{x.proxy.take()}
	return nil
}

// answerProxy answers a proxy's challenge.
func (x *exchange) answerProxy(resp *http.Response) (again bool, err error) {
	token, found, err := findChallenge(resp.Header[proxyAskHeader])
	if !found && err == nil {
		return false, nil
	}
	h, ctx := &x.proxy, x.req.Context()
	switch {
	case err != nil:
	case h.sc != nil && len(token) > 0 && !h.sc.Established():
		if err = h.step(ctx, token); err != nil {
			err = fmt.Errorf("%w: %w", ErrRefused, err)
		} else if h.token != nil {
			err = ErrLegs
		}
	}
	if err == nil {
		x.pools.origins.learn(x.proxyKey(), func(o *origin) { o.asked = time.Now() })
	}
	switch {
	case err != nil:
	case !x.body.again():
		err = ErrBody
	case x.proxyTries == maxRestarts:
		err = ErrRefused
	default:
		x.proxyTries++
		if err = h.begin(ctx, nil); err == nil {
			err = x.renew()
		}
	}
	return x.further(resp, authenticateProxy, err)
}

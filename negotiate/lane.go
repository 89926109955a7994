package negotiate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// lane is one HTTP/1.1 connection for the legs of one handshake, and afterwards for further requests of the same
// identity, one at a time. Mechanisms with more legs than one need it: the server keeps half of the context with
// the connection.
type lane struct {
	conn *http.ClientConn
	used bool // a handshake was completed on it

	closing bool // the server has said that it is the end of it

	counts  atomic.Bool // written is right
	written atomic.Int64

	mu   sync.Mutex
	leaf *x509.Certificate // of the server, over TLS

	idle    time.Duration
	waiting *time.Timer // nil: it is in use
}

// dialLane connects to the origin of req, or to its proxy. The transport is the lane's own.
func dialLane(ctx context.Context, tr *http.Transport, req *http.Request) (*lane, error) {
	l := &lane{idle: tr.IdleConnTimeout}
	l.watchTLS(tr)
	l.watchWrites(tr)
	if proxy := tr.Proxy; proxy != nil {
		// net/http would ask about a request that it makes up.
		tr.Proxy = func(*http.Request) (*url.URL, error) { return proxy(req) }
	}
	host, port := req.URL.Hostname(), req.URL.Port()
	if a, err := hostASCII(host); err == nil {
		host = a
	}
	if port == "" {
		port = defaultPort(req.URL)
	}
	conn, err := tr.NewClientConn(ctx, req.URL.Scheme, net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	l.conn = conn
	return l, nil
}

// watchTLS has the lane learn the server's certificate.
func (l *lane) watchTLS(tr *http.Transport) {
	verify := tr.TLSClientConfig.VerifyConnection
	tr.TLSClientConfig.VerifyConnection = func(cs tls.ConnectionState) error {
		l.see(cs)
		if verify != nil {
			return verify(cs)
		}
		return nil
	}
	if dial := tr.DialTLSContext; dial != nil {
		tr.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			if t, ok := c.(*tls.Conn); ok {
				if err := t.HandshakeContext(ctx); err != nil {
					c.Close()
					return nil, err
				}
			}
			if t, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok {
				l.see(t.ConnectionState())
			}
			return c, nil
		}
	}
}

// watchWrites has the lane know whether any of a leg has gone out. One that has not may be sent again whatever it
// does, which net/http's own connections know by themselves.
func (l *lane) watchWrites(tr *http.Transport) {
	dial := dialer(tr)
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		l.counts.Store(true)
		return &laneConn{c, l}, nil
	}
}

type laneConn struct {
	net.Conn
	lane *lane
}

func (c *laneConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.lane.written.Add(int64(n))
	return n, err
}

func (l *lane) see(cs tls.ConnectionState) {
	if len(cs.PeerCertificates) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaf = cs.PeerCertificates[0]
}

// certificate returns the server's, or nil.
func (l *lane) certificate() *x509.Certificate {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaf
}

// wait begins the time after which an idle lane is given up.
func (l *lane) wait(giveUp func()) {
	if l.idle > 0 {
		l.waiting = time.AfterFunc(l.idle, giveUp)
	}
}

// take ends that time, and reports whether the lane can still be used.
func (l *lane) take() bool {
	if l.waiting != nil {
		l.waiting.Stop()
		l.waiting = nil
	}
	return l.conn.Available() > 0
}

func (l *lane) close() { l.conn.Close() }

// laneBody is the body of a response that came on a lane. Read to its end it gives the lane back; closed before
// that, it closes it.
type laneBody struct {
	io.ReadCloser
	done func(whole bool)
	once sync.Once
}

func (b *laneBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.once.Do(func() { b.done(err == io.EOF) })
	}
	return n, err
}

func (b *laneBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() { b.done(false) })
	return err
}

// connError is a failure to connect, which is the caller's to see as it is.
type connError struct{ error }

func (e *connError) Unwrap() error { return e.error }

// chooseLane is called where the origin is known to need one. One that is authenticated serves without a token,
// unless the server is to prove itself each time.
func (x *exchange) chooseLane() error {
	if x.t.Mutual != MutualRequired {
		if x.lane = x.pools.idleLane(x.laneKey()); x.lane != nil {
			return nil
		}
	}
	if x.t.Preemptive == PreemptNever {
		return nil // the answer to its challenge is pinned
	}
	if err := x.newLane(); err != nil {
		return err
	}
	if x.body.src == nil {
		return x.preempt(x.leaf(nil))
	}
	err := x.warm()
	var conn *connError
	switch ctx := x.req.Context(); {
	case err == nil && !x.denied:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &conn):
		return err
	}
	// The server's own answer to the request is the one that the caller gets, with this reason.
	x.denied, x.denial = true, err
	return nil
}

func (x *exchange) laneKey() laneKey {
	key := laneKey{origin: x.key, id: x.pools.identity(x.pool)}
	if x.route != nil && x.route.proxy != nil {
		key.proxy = x.route.proxy.String()
	}
	return key
}

func (x *exchange) newLane() error {
	x.dropLane()
	ctx := x.req.Context()
	if x.pools.proxy != nil {
		ctx = withConnect(ctx)
	}
	l, err := dialLane(ctx, x.pools.cloneHTTP1(), x.req)
	if err != nil {
		return &connError{err}
	}
	x.lane = l
	return nil
}

func (x *exchange) dropLane() {
	if x.lane != nil {
		x.lane.close()
		x.lane = nil
	}
}

// pin is called when there is another token for the origin. It has to go on the connection of the one before.
func (x *exchange) pin(resp *http.Response) (again bool, err error) {
	switch {
	case x.pools.opaque != nil || x.origin.sent >= maxLegs:
		x.origin.end()
		return false, ErrLegs
	case x.lane != nil && !resp.Close:
		return true, nil
	case x.lane != nil:
		return true, x.restart() // the server ends the connection, and with it its half of the context
	}
	x.pools.origins.learn(x.key, func(o *origin) { o.lanes = true })
	err = x.restart()
	again = err == nil && !x.denied
	if again && resp.ProtoMajor == 1 {
		// The server has half a context there, in which no other can begin. A body that is closed unread ends the
		// connection before anybody else gets it; without one somebody may have it by now.
		if resp.Body != nil && resp.ContentLength != 0 {
			resp.Body.Close()
		} else if x.leg.conn != nil {
			x.leg.conn.Close()
		}
	}
	return again, err
}

// restart begins a handshake on a lane.
func (x *exchange) restart() error {
	x.restarts++
	if x.restarts > maxRestarts {
		x.origin.end()
		return ErrLegs
	}
	x.origin.end()
	if err := x.newLane(); err != nil {
		return err
	}
	if x.body.src != nil && !x.warmed {
		return x.warm()
	}
	err := x.begin(x.leaf(nil))
	if err == errUser {
		x.dropLane()
		if err = x.choosePool(); err == nil {
			err = x.restart()
		}
	}
	return err
}

// warm authenticates the lane with a request that has no body, so that the one that has goes out once.
func (x *exchange) warm() error {
	x.warmed = true
	head := x.req.Clone(x.req.Context())
	head.Method, head.Body, head.GetBody, head.ContentLength = http.MethodHead, http.NoBody, nil, 0
	head.TransferEncoding, head.Trailer = nil, nil
	for name := range head.Header {
		if describesBody(name) {
			delete(head.Header, name)
		}
	}
	w := newExchange(x.t, x.pools, head)
	w.pool, w.lane, w.known, w.admission = x.pool, x.lane, x.known, x.admission
	w.origin.trace, w.origin.target, w.origin.opts = x.origin.trace, x.origin.target, x.origin.opts
	w.plain, w.warmed = true, true
	w.route, w.proxyURL, w.proxy = x.route, x.proxyURL, x.proxy
	if w.proxyURL = x.proxyURL; w.proxyURL != nil {
		w.proxy = x.pools.proxy.handshake(w.proxyURL)
		defer w.proxy.end()
	}
	w.cookies = x.cookies
	err := w.authenticateLane()
	x.lane, x.cookies, x.denied, x.denial = w.lane, w.cookies, w.denied, err
	x.move(w.pool) // which is the one of the lane's user
	x.proxy, w.proxy = w.proxy, handshake{}
	switch {
	case w.denied || err != nil:
		x.dropLane()
	case x.lane.closing:
		// There is no third request on a connection of this server: the body goes with the tokens.
		if err = x.newLane(); err == nil {
			err = x.begin(x.leaf(nil))
		}
	}
	x.out.Target, x.out.Mech, x.out.Delegated, x.out.ChannelBound = w.out.Target, w.out.Mech, w.out.Delegated, w.out.ChannelBound
	x.out.Legs += w.out.Legs
	w.origin.end()
	return err
}

// describesBody reports whether a field of a request is about its body, or would have a server act.
func describesBody(name string) bool {
	switch name {
	case "Expect", "Digest", "Repr-Digest", "Range", "Trailer", "Te", "Upgrade", "Idempotency-Key", "X-Idempotency-Key":
		return true
	}
	for _, prefix := range []string{"Content-", "If-", "X-Http-Method", "X-Method"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// authenticateLane sends legs until the server is content.
func (x *exchange) authenticateLane() error {
	if err := x.begin(x.leaf(nil)); err != nil {
		return err
	}
	for {
		resp, err := x.send()
		if err != nil {
			if err := x.recover(err); err != nil {
				return &connError{err}
			}
			continue
		}
		again, err := x.answer(resp)
		if err != nil {
			abandon(resp)
			if e := (*Error)(nil); errors.As(err, &e) {
				return e.Err
			}
			return err
		}
		if again {
			continue
		}
		x.cookies.keep(x.req, resp)
		drain(resp)
		switch resp.StatusCode {
		case http.StatusProxyAuthRequired:
			return nil // the request itself will be told
		case http.StatusUnauthorized:
			x.denied = true
			if e := (*Error)(nil); errors.As(x.out.Err, &e) {
				return e.Err
			}
			return nil // as above
		}
		x.lane.used = true
		if x.pools.identity(x.pool).alone {
			x.proof(resp) // for recognize; whether it holds is the request's own matter
		}
		return nil
	}
}

// errLaneClosed says that a leg could not be sent.
var errLaneClosed = errors.New("negotiate: the server has closed the connection that its authentication is tied to")

// roundTrip sends a leg on the lane, if that is still there. Where the last response has ended and it is not available,
// net/http is about to close it.
func (l *lane) roundTrip(leg *leg, req *http.Request) (*http.Response, error) {
	if l.closing || l.conn.Available() == 0 {
		leg.unsent = true
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, errLaneClosed
	}
	written := l.written.Load()
	resp, err := l.conn.RoundTrip(req)
	l.closing = err == nil && resp.Close
	leg.unsent = err != nil && l.counts.Load() && l.written.Load() == written
	return resp, err
}

// releaseLane hands the lane of a final response on, when its body is read.
func (x *exchange) releaseLane(resp *http.Response) {
	l := x.lane
	if l == nil {
		return
	}
	x.lane = nil
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return // the connection is the caller's
	}
	if resp.StatusCode != http.StatusUnauthorized {
		l.used = true
	}
	key := x.laneKey() // the user is known only since the token was made
	done := func(whole bool) {
		if whole && l.used && !resp.Close && !x.req.Close && !x.pools.settings.DisableKeepAlives && x.t.Mutual != MutualRequired && l.conn.Err() == nil {
			x.pools.keepLane(key, l)
		} else {
			l.close()
		}
	}
	if resp.Body == nil || resp.Body == http.NoBody {
		done(true)
		return
	}
	resp.Body = &laneBody{ReadCloser: resp.Body, done: done}
}

// recover is called when a leg got no response. It readies another one, or returns the error for the caller.
func (x *exchange) recover(err error) error {
	if ctx := x.req.Context(); ctx.Err() != nil {
		return err
	}
	if x.restarts++; x.restarts > maxRestarts || !x.body.again() {
		return err
	}
	switch {
	case x.lane == nil && x.pools.opaque == nil && wantsHTTP1(err) && !x.known.http1:
		x.known.http1 = true
		x.pools.origins.learn(x.key, func(o *origin) { o.http1 = true })
		if err := x.choosePool(); err != nil {
			return err
		}
	case x.lane != nil && (x.leg.unsent || x.lane.conn.Err() != nil && x.repeatable()):
		// It was closed between two legs, or while it waited.
		if x.newLane() != nil {
			return err
		}
	case x.lane == nil && x.pools.opaque == nil && x.asked && wroteInPart(err):
		// A further leg, which the server cannot have had complete: a proxy may tire of an upload.
	default:
		return err
	}
	if x.origin.sent > 0 || x.origin.token != nil {
		leaf := x.origin.leaf // for now: the connection will tell
		if x.lane != nil {
			leaf = x.leaf(nil)
		}
		if e := x.begin(leaf); e != nil && !x.origin.early {
			return err
		}
	}
	if x.body.prepare(x.leg.holds()) != nil {
		return err
	}
	return nil
}

// wroteInPart reports whether the connection broke while a leg was written.
func wroteInPart(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "write"
}

// repeatable reports whether a leg without an answer may be sent again: where it changes nothing on the server,
// and where it cannot have been complete there.
func (x *exchange) repeatable() bool {
	switch x.req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if len(x.req.Header[name]) > 0 {
			return true // the caller says so, to net/http
		}
	}
	return x.body.source != nil && x.body.length > 0 && !x.body.source.wasRead()
}

package negotiate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"

	"golang.org/x/net/http/httpguts"
)

// leg is the request as it goes out once.
type leg struct {
	x         *exchange
	header    http.Header
	gate      *gate // nil: the body is not held back
	announced bool  // by an Expect of ours
	token     bool  // it carries one for the origin
	unsent    bool  // there was no connection any more

	conn   net.Conn // that it went on; nil: not known
	reused bool
}

// send sends a leg.
func (x *exchange) send() (*http.Response, error) {
	l := &leg{x: x}
	x.leg = l
	if wait := x.holdTime(); wait > 0 {
		l.gate = newGate(x.req.Context(), wait, func() {
			x.pools.origins.learn(x.key, func(o *origin) { o.deaf = true })
		})
	}
	req := x.shown.WithContext(l.trace(x.shown.Context()))
	l.header = x.req.Header.Clone()
	if l.header == nil {
		l.header = make(http.Header)
	}
	req.Header = l.header
	if x.lane != nil {
		// Legs share the connection, which is closed behind the last one.
		req.Close = false
		l.header.Del("Connection")
	}
	// Squid says that the connection of a 401 stays, and closes it a moment later if the origin did not take all of the
	// body: a leg that went there would be lost.
	req.Close = req.Close || l.gate != nil && x.lane == nil && x.relayed()
	x.cookies.apply(l.header)
	if l.gate != nil && l.header.Get("Expect") == "" {
		l.header.Set("Expect", "100-continue")
		l.announced = true
	}
	if x.origin.token != nil && !l.bindsLate() {
		l.setToken()
	}
	if err := x.setProxyToken(l.header); err != nil {
		return nil, err
	}
	x.body.take(req, l.gate)
	resp, err := x.roundTrip(req)
	if resp == nil && err == nil {
		err = errors.New("negotiate: Transport.Base returned no response and no error")
	}
	l.judge(resp)
	x.t.Trace.response(x, resp)
	return resp, err
}

func (x *exchange) roundTrip(req *http.Request) (*http.Response, error) {
	if x.lane != nil {
		return x.lane.roundTrip(x.leg, req)
	}
	return x.pool.rt.RoundTrip(req)
}

// holdTime is how long a leg's body is held back if the server says nothing; zero is not at all.
func (x *exchange) holdTime() time.Duration {
	switch {
	case x.mayNeedBodyAgain():
		return x.pools.gateTime
	case x.body.src != nil && httpguts.HeaderValuesContainsToken(x.req.Header["Expect"], "100-continue"):
		return x.pools.expectTime // the caller has announced it, and net/http does not wait here
	}
	return 0
}

// mayNeedBodyAgain reports whether a leg should not send its body before the server has spoken. Where it could be sent
// again that is for the first leg alone, and for servers that speak.
func (x *exchange) mayNeedBodyAgain() bool {
	switch {
	case x.plain || !x.body.fragile():
		return false
	case x.admission.standing != ours && !x.proxyMayAsk():
		return false
	case x.body.oneShot():
		return true
	}
	return x.origin.token == nil && !x.known.deaf && x.pools.opaque == nil
}

// setToken puts the origin's token into the header.
func (l *leg) setToken() {
	l.header[replyHeader] = []string{l.x.origin.take()}
	l.token = true
	l.x.out.Legs++
}

// trace watches what only net/http knows: the connection that a leg goes on, and a server that wants the body.
func (l *leg) trace(ctx context.Context) context.Context {
	x := l.x
	hooks := &httptrace.ClientTrace{}
	if l.gate != nil {
		hooks.Got100Continue = func() { l.gate.decide(pass) }
	}
	if x.origin.token != nil || x.origin.early || x.binds() {
		hooks.GotConn = l.gotConn
	}
	ctx = x.onRoute(ctx)
	if hooks.GotConn == nil && hooks.Got100Continue == nil {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, hooks)
}

// gotConn is called with the connection, before the header is written, and again if that turns out to be dead.
// Tokens that are bound to the server's certificate are made, or checked, here.
func (l *leg) gotConn(info httptrace.GotConnInfo) {
	x := l.x
	l.conn, l.reused = info.Conn, info.Reused
	if !l.bindsLate() || x.origin.token == nil && !l.token && !x.origin.early {
		return
	}
	leaf := peerCertificate(info.Conn)
	h := &x.origin
	fits := h.sc != nil && h.leaf != nil && leaf != nil && h.leaf.Equal(leaf)
	switch {
	case l.token && fits:
		return
	case h.token != nil && fits:
		l.setToken()
		return
	}
	delete(l.header, replyHeader)
	l.token = false
	if leaf == nil && x.t.ChannelBinding == BindRequired {
		return
	}
	// Without a token the server asks, and then the answer is made again.
	if x.beginHere(leaf, false) == nil {
		l.setToken()
	}
}

// bindsLate reports whether the token waits for the connection, whose certificate it is bound to. A lane is there
// already, and of a foreign Base nothing is seen.
func (l *leg) bindsLate() bool {
	return l.x.binds() && l.x.lane == nil && l.x.pools.opaque == nil
}

func peerCertificate(c net.Conn) *x509.Certificate {
	if t, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok {
		if l := t.ConnectionState().PeerCertificates; len(l) > 0 {
			return l[0]
		}
	}
	return nil
}

// judge has the gate know what the server's answer means for the body.
func (l *leg) judge(resp *http.Response) {
	if l.gate == nil {
		return
	}
	if resp == nil {
		l.gate.decide(fail)
		return
	}
	// Whoever has not asked for the body by now, and does not answer with a success, has no use for it.
	switch {
	case resp.StatusCode >= 300:
		if l.x.body.length <= 0 {
			l.gate.decide(end)
			return
		}
		// Else the connection breaks as soon as the sender learns of it, and the response is still to be read. Until then
		// time does not count: the token for the next leg may take long.
		l.gate.keep()
	default:
		l.gate.decide(pass)
	}
}

// refuse is called when nobody wants the response of this leg any more.
func (l *leg) refuse() {
	if l.gate != nil {
		l.gate.decide(fail)
	}
}

// holds reports whether the body is held back.
func (l *leg) holds() bool { return l.gate != nil && l.gate.holds() }

// settle is called with the final response. If the body was held back until now, it is not sent.
func (l *leg) settle(resp *http.Response) {
	switch {
	case !l.holds():
	case resp.Body == nil, resp.Body == http.NoBody:
		l.refuse()
	default:
		resp.Body = &heldBody{resp.Body, l.gate}
	}
}

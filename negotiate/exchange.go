package negotiate

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// exchange is one RoundTrip: everything about one request of the caller. It is a loop over legs. A leg is
// the request as it goes out once; what comes back either gives a token for a further leg or is final.
type exchange struct {
	t     *Transport
	pools *pools
	req   *http.Request // the caller's, only read

	shown   *http.Request // a copy of req, which responses point to: no token in it, the outcome in its context
	out     *Outcome      // complete when run returns
	body    body
	cookies cookies

	key       string    // of the origin
	known     origin    // what was known of it at first
	admission admission // what it may have
	origin    handshake
	route     *route   // the way that legs go; nil: Base has no proxies
	proxyURL  *url.URL // of a proxy that sees the request; nil: there is none, or it is not answered
	proxy     handshake

	pool    *pool // where legs go, unless there is
	guessed bool  // without a look at whose the default credential is
	lane    *lane // one connection for them
	leg     *leg  // the last one

	asked      bool // the origin has sent a challenge
	refreshed  bool // a token that went out early was refused, and a fresh one is the last
	plain      bool // the body is not announced any more
	warmed     bool // a lane was to be authenticated ahead of a body
	denied     bool // and the server refused that
	denial     error
	proxyTries int
	restarts   int // handshakes begun anew because a connection or the user changed
}

// Bounds of what one request may cost.
const (
	maxLegs     = 10 // tokens of one context
	maxRestarts = 3
)

func newExchange(t *Transport, pools *pools, req *http.Request) *exchange {
	x := &exchange{t: t, pools: pools, req: req, out: new(Outcome), body: newBody(req), key: originKey(req.URL), leg: new(leg)}
	x.shown = req.WithContext(context.WithValue(req.Context(), outcomeKey{}, x.out))
	return x
}

func (x *exchange) run() (*http.Response, error) {
	resp, err := x.legs()
	x.body.release()
	x.pools.leave(x.pool)
	x.origin.end()
	x.proxy.end()
	if holder, ok := x.req.Context().Value(holderKey{}).(*Outcome); ok && holder != nil {
		*holder = *x.out
	}
	x.t.Trace.done(x, resp, err)
	return resp, err
}

func (x *exchange) legs() (*http.Response, error) {
	if err := x.prepare(); err != nil {
		return nil, x.fail(err)
	}
	for {
		resp, err := x.send()
		if err != nil {
			if err := x.recover(err); err != nil {
				return nil, x.fail(err)
			}
			continue
		}
		again, err := x.answer(resp)
		if err != nil {
			abandon(resp)
			x.leg.refuse()
			return nil, x.fail(err)
		}
		if !again {
			return x.deliver(resp)
		}
	}
}

// fail ends a request for which there is no response.
func (x *exchange) fail(err error) error {
	x.dropLane()
	if conn := (*connError)(nil); errors.As(err, &conn) {
		err = conn.error
	}
	if e := (*Error)(nil); errors.As(err, &e) && x.out.Err == nil {
		x.out.Err = err
	}
	return err
}

// prepare decides where the first leg goes, and whether it carries a token.
func (x *exchange) prepare() error {
	x.admission = x.t.admit(x.req)
	x.origin.trace, x.origin.target = x.t.Trace, x.admission.target
	x.origin.opts = gssapi.Options{Credential: x.t.Credential, Mech: x.t.Mech, Flags: x.flags(), AuthOnly: true}
	if err := x.chooseProxy(); err != nil {
		return err
	}
	x.known = x.pools.origins.get(x.key)
	answers := x.admission.standing == ours
	lane := answers && x.known.lanes && x.pools.opaque == nil
	early := answers && !lane && (x.t.Preemptive == PreemptAlways || x.t.Preemptive == PreemptRemember && !x.known.asked.IsZero())
	if !early || !x.guessPool() {
		if err := x.choosePool(); err != nil {
			return err
		}
	}
	switch {
	case lane:
		return x.chooseLane()
	case early:
		return x.preempt(nil)
	}
	return nil
}

func (x *exchange) flags() (f gssapi.Flags) {
	if x.t.Mutual != MutualDisabled {
		f |= gssapi.FlagMutual
	}
	if x.admission.delegate {
		switch x.t.Delegate {
		case DelegatePolicy:
			f |= gssapi.FlagDelegatePolicy
		case DelegateAlways:
			f |= gssapi.FlagDelegate
		}
	}
	return f
}

// preempt makes the token that goes out before the server has asked. Where that fails the request goes without.
// One that is bound to a certificate waits for the connection.
func (x *exchange) preempt(leaf *x509.Certificate) error {
	x.origin.early = true
	if x.binds() && leaf == nil {
		return nil
	}
	err := x.begin(leaf)
	switch {
	case err != nil && x.req.Context().Err() != nil:
		return context.Cause(x.req.Context())
	case err != nil && x.guessed:
		return x.choosePool() // the request goes without a token, and not as the one whom the connections were guessed to be for
	}
	return nil
}

// binds reports whether tokens for the origin are bound to its certificate.
func (x *exchange) binds() bool {
	return x.t.ChannelBinding != BindNever && x.req.URL.Scheme == "https"
}

// errUser says that a token is another user's than the connections are.
var errUser = errors.New("the user of the default ticket cache keeps changing")

// begin makes the first token of a fresh context, for connections of the right user.
func (x *exchange) begin(leaf *x509.Certificate) error {
	err := x.beginHere(leaf, true)
	for try := 0; err == errUser && try < maxRestarts; try++ {
		if x.lane != nil { // its handshake would be another's
			return err
		}
		if err := x.choosePool(); err != nil {
			return err
		}
		err = x.beginHere(leaf, true)
	}
	return err
}

// beginHere makes it for the pool that was chosen. With the default credential the user may have changed since; the
// leg may then move to the connections of the token's user, or not.
func (x *exchange) beginHere(leaf *x509.Certificate, move bool) error {
	x.out.Target = x.origin.target
	if leaf == nil && x.t.ChannelBinding == BindRequired {
		return ErrBinding
	}
	before, err := x.userBefore()
	if err != nil {
		return err
	}
	err = x.origin.begin(x.req.Context(), leaf)
	x.note()
	if err == nil {
		err = x.tie(before, move)
	}
	if err != nil {
		x.origin.end()
		x.out.Delegated, x.out.ChannelBound = false, false // it is not sent
	}
	return err
}

// proceed takes the origin's answer to a token, and makes the next one if there is any.
func (x *exchange) proceed(token []byte) error {
	err := x.origin.step(x.req.Context(), token)
	x.note()
	if err == nil {
		x.recognize()
	}
	return err
}

// note records what has become of the origin's context.
func (x *exchange) note() {
	sc := x.origin.sc
	info := sc.Info()
	x.out.Mech = info.Mech
	x.out.Mutual = sc.Established() && info.Flags&gssapi.FlagMutual != 0
	x.out.Delegated = info.Flags&gssapi.FlagDelegate != 0
	x.out.ChannelBound = x.origin.leaf != nil
}

// answer looks at a response, and reports whether it is followed by a further leg, which is then ready. An error
// is for the caller; where authentication fails without one, the response is the final one.
func (x *exchange) answer(resp *http.Response) (again bool, err error) {
	switch {
	case resp.StatusCode == http.StatusExpectationFailed && x.leg.announced:
		x.plain = true
		return x.further(resp, authenticate, x.renew())
	case resp.StatusCode == http.StatusProxyAuthRequired && x.proxyURL != nil:
		return x.answerProxy(resp)
	case resp.StatusCode == http.StatusUnauthorized && x.admission.standing != foreign:
		return x.answerOrigin(resp)
	}
	return false, nil
}

func (x *exchange) answerOrigin(resp *http.Response) (again bool, err error) {
	token, found, err := findChallenge(resp.Header[askHeader])
	if !found && err == nil {
		if h := &x.origin; h.sc != nil && h.sent > 0 && !h.sc.Established() {
			return x.further(resp, authenticate, ErrRefused) // and offers something else
		}
		return false, nil
	}
	x.asked = true
	x.t.Trace.challenge(x, len(token))
	if err == nil {
		x.pools.origins.learn(x.key, func(o *origin) { o.asked = time.Now() })
		again, err = x.reply(resp, token)
	}
	if !again && err == nil {
		return false, nil
	}
	return x.further(resp, authenticate, err)
}

// reply makes the answer to a challenge, and reports whether there is one. The challenge may be the first one, a
// request for another leg, a token that says what was wrong, or a plain refusal: the library knows.
func (x *exchange) reply(resp *http.Response, token []byte) (again bool, err error) {
	h := &x.origin
	if x.admission.err != nil {
		x.out.Target = h.target
		return false, x.admission.err
	}
	x.cookies.keep(x.req, resp) // for a lane, on which there are legs before the next one of this request
	if h.sc == nil || h.sent == 0 {
		// A token in the first challenge is nothing that an initiator can use.
		h.early = false // also where one was meant to be; none went out
		return x.start(resp)
	}
	if len(token) > 0 && !h.sc.Established() {
		switch err = x.proceed(token); {
		case err != nil:
			err = fmt.Errorf("%w: %w", ErrRefused, err)
		case h.token != nil:
			return x.pin(resp)
		case h.sc.Established():
			return false, nil // accepted, and then turned away by what is behind
		}
	} else {
		err = ErrRefused // plainly, or with a token for a context that waits for none
	}
	if h.early && h.sent == 1 && !x.refreshed && x.req.Context().Err() == nil {
		// It may have been too old, or have been sent twice because a connection was dead. Neither is so where more
		// tokens went out, and a wrong password counts each time it is tried.
		x.refreshed = true
		return x.start(resp)
	}
	return false, err
}

// start answers a challenge with a fresh context.
func (x *exchange) start(resp *http.Response) (again bool, err error) {
	if x.denied {
		return false, x.denial
	}
	if !x.body.again() {
		return false, ErrBody // before a ticket is asked for in vain
	}
	if x.lane != nil && (x.lane.used || resp.Close) || x.lane == nil && x.known.lanes && x.pools.opaque == nil {
		// The server does not know the lane any more, and some mechanisms do not begin twice on one; or there is
		// none yet.
		old := x.lane
		x.lane = nil
		err = x.restart()
		if again = err == nil && !x.denied; again && old != nil {
			old.close()
		} else if old != nil {
			x.dropLane()
			x.lane, old.used = old, false // until its answer is read, which is the final one
		}
		return again, err
	}
	return true, x.begin(x.leaf(resp))
}

// leaf is the certificate that a token for the origin is bound to.
func (x *exchange) leaf(resp *http.Response) *x509.Certificate {
	switch {
	case !x.binds():
		return nil
	case x.lane != nil:
		return x.lane.certificate()
	case resp != nil && resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0:
		return resp.TLS.PeerCertificates[0]
	case resp != nil && x.leg.conn != nil:
		return peerCertificate(x.leg.conn) // of a dialer whose connections net/http does not know
	}
	return nil
}

// renew makes a fresh token where the last leg had one.
func (x *exchange) renew() error {
	if x.origin.sent == 0 {
		return nil
	}
	return x.begin(x.origin.leaf)
}

// further ends the response that is followed by another leg, and readies the body for it. It is also where a failure
// to authenticate becomes the outcome.
func (x *exchange) further(resp *http.Response, op string, err error) (again bool, _ error) {
	if err == nil {
		if err = x.body.prepare(x.leg.holds()); err == nil {
			x.cookies.keep(x.req, resp)
			drain(resp)
			x.leg.refuse()
			return true, nil
		}
		err = fmt.Errorf("%w (%w)", ErrBody, err)
	}
	x.out.Err = x.wrap(op, resp.StatusCode, err)
	var conn *connError
	switch ctx := x.req.Context(); {
	case ctx.Err() != nil:
		return false, context.Cause(ctx) // as it is, like net/http; where it struck is in the outcome
	case errors.As(err, &conn):
		return false, conn.error
	case x.t.Strict:
		return false, x.out.Err
	}
	return false, nil
}

// deliver makes a response the caller's.
func (x *exchange) deliver(resp *http.Response) (*http.Response, error) {
	x.leg.settle(resp)
	x.remember(resp)
	resp.Request = x.shown
	x.cookies.restore(resp)
	final, err := x.verify(resp)
	x.explain(resp)
	if err != nil {
		abandon(resp)
		x.dropLane()
		return nil, err
	}
	x.releaseLane(final)
	x.releasePool(final)
	return final, nil
}

// remember learns from a response whether the origin wants tokens early. One that takes no notice of SPNEGO does not
// want any, unless the connection was authenticated before.
func (x *exchange) remember(resp *http.Response) {
	if !x.origin.early || x.asked || x.origin.sent == 0 {
		return
	}
	_, found, _ := findChallenge(resp.Header[askHeader])
	switch {
	case found:
		x.pools.origins.learn(x.key, func(o *origin) { o.asked = time.Now() })
	case x.leg.conn != nil && !x.leg.reused && (x.t.Mech == "" || x.t.Mech == gssapi.SPNEGO):
		x.pools.origins.learn(x.key, func(o *origin) { o.asked = time.Time{} })
	}
}

// largeToken is the size of a field value at which servers begin to refuse a request: 8 KiB for the whole
// header is a common limit. Tickets of users in many groups are as large.
const largeToken = 7 << 10

// explain says why a server may have refused a request that is right.
func (x *exchange) explain(resp *http.Response) {
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge:
		if x.origin.size > largeToken {
			err := fmt.Errorf("the server may limit the size of a request's header to less than it takes: the token alone "+
				"is %d bytes there; raise that limit, or put the user into fewer groups", x.origin.size)
			if e := (*Error)(nil); errors.As(x.out.Err, &e) {
				err = fmt.Errorf("%w; %w", err, e.Err) // an error page proves nothing either
			}
			x.out.Err = x.wrap(authenticate, resp.StatusCode, err)
		}
	}
}

func (x *exchange) wrap(op string, status int, err error) error {
	u := x.req.URL
	if op == authenticateProxy {
		u = x.proxyURL
	}
	return &Error{Op: op, URL: display(u), Status: status, Err: err}
}

package negotiate

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/nego-sso/nego/gssapi"
)

// exchange is one RoundTrip: everything about one request of the caller. It is a loop over legs. A leg is
// the request as it goes out once; what comes back either gives a token for a further leg or is final.
type exchange struct {
	t    *Transport
	base http.RoundTripper
	req  *http.Request // the caller's, only read

	shown   *http.Request // a copy of req, which responses point to: no token in it, the outcome in its context
	out     *Outcome      // complete when run returns
	foreign bool          // the caller authenticates by other means
	body    body
	cookies cookies
	origin  handshake
}

// handshake is the authentication to one peer in the course of one request.
type handshake struct {
	sc    *gssapi.SecContext // nil until the peer asks
	token []byte             // for the next leg
	size  int                // of the field value that carried the last one
}

// maxLegs bounds the tokens of one handshake. With one, no connection need be kept for the next.
const maxLegs = 1

func newExchange(t *Transport, base http.RoundTripper, req *http.Request) *exchange {
	x := &exchange{
		t:       t,
		base:    base,
		req:     req,
		out:     new(Outcome),
		foreign: req.URL.User != nil || len(req.Header[replyHeader]) > 0,
		body:    newBody(req),
	}
	x.shown = req.WithContext(context.WithValue(req.Context(), outcomeKey{}, x.out))
	return x
}

func (x *exchange) run() (*http.Response, error) {
	resp, err := x.legs()
	x.body.release()
	if x.origin.sc != nil {
		x.origin.sc.Close()
	}
	if holder, ok := x.req.Context().Value(holderKey{}).(*Outcome); ok && holder != nil {
		*holder = *x.out
	}
	x.t.Trace.done(x, resp, err)
	return resp, err
}

func (x *exchange) legs() (*http.Response, error) {
	for {
		resp, err := x.send()
		if err != nil {
			return nil, err
		}
		if err := x.answer(resp); err != nil {
			abandon(resp)
			return nil, err
		}
		if x.origin.token == nil {
			return x.deliver(resp)
		}
		x.cookies.keep(x.req, resp)
		drain(resp)
	}
}

// send sends one leg.
func (x *exchange) send() (*http.Response, error) {
	// A shallow copy: a Trailer, for one, is filled in by the caller while the body is read.
	leg := x.shown.WithContext(x.shown.Context())
	leg.Header = x.req.Header.Clone()
	if h := &x.origin; h.token != nil {
		if leg.Header == nil {
			leg.Header = make(http.Header)
		}
		x.cookies.apply(leg.Header)
		value := fieldValue(h.token)
		leg.Header[replyHeader] = []string{value}
		h.token, h.size = nil, len(value)
		x.out.Legs++
	}
	x.body.take(leg)
	resp, err := x.base.RoundTrip(leg)
	if resp == nil && err == nil {
		err = errors.New("negotiate: Transport.Base returned no response and no error")
	}
	return resp, err
}

// answer makes the token for a further leg if a response asks for one. Where that fails, the response is
// the final one, unless there is an error for the caller.
func (x *exchange) answer(resp *http.Response) error {
	if resp.StatusCode != http.StatusUnauthorized || x.foreign {
		return nil
	}
	token, found, err := findChallenge(resp.Header[askHeader])
	if !found && err == nil {
		return nil
	}
	x.t.Trace.challenge(x, len(token))
	switch {
	case err != nil:
	case x.origin.sc == nil:
		// A token in the first challenge is nothing that an initiator can use.
		err = x.begin()
	default:
		err = x.proceed(token)
	}
	if err == nil {
		return nil
	}
	x.out.Err = x.wrap(authenticate, resp.StatusCode, err)
	if ctx := x.req.Context(); ctx.Err() != nil {
		return context.Cause(ctx) // as it is, like net/http; where it struck is in the outcome
	}
	if x.t.Strict {
		return x.out.Err
	}
	return nil
}

// begin answers the first challenge.
func (x *exchange) begin() (err error) {
	if x.out.Target, err = x.t.admit(x.req); err != nil {
		return err
	}
	if !x.body.again() {
		return ErrBody // before a ticket is asked for in vain
	}
	o := gssapi.Options{Credential: x.t.Credential, Mech: x.t.Mech}
	if x.t.Mutual != MutualDisabled {
		o.Flags = gssapi.FlagMutual
	}
	x.origin.sc = gssapi.NewInitiator(x.out.Target, &o)
	return x.advance(nil)
}

// proceed takes a challenge that came back for a token. It may be a request for another leg, a token that
// says what was wrong, or a plain refusal: the library knows. A refusal is the server's right and no error.
func (x *exchange) proceed(token []byte) error {
	if len(token) == 0 || x.origin.sc.Established() {
		return nil
	}
	return x.advance(token)
}

// advance has the library make the next token, and readies the body to go with it.
func (x *exchange) advance(in []byte) error {
	token, err := x.step(in)
	switch {
	case err != nil:
		return err
	case len(token) == 0:
		return nil
	case x.out.Legs == maxLegs:
		return ErrLegs
	}
	if err := x.body.prepare(); err != nil {
		return fmt.Errorf("%w (%w)", ErrBody, err)
	}
	x.origin.token = token
	return nil
}

// step makes one step of the handshake and records what came of it.
func (x *exchange) step(in []byte) ([]byte, error) {
	sc := x.origin.sc
	token, err := step(x.req.Context(), x.t.Trace, sc, "initiate", in)
	info := sc.Info()
	x.out.Mech = info.Mech
	x.out.Mutual = sc.Established() && info.Flags&gssapi.FlagMutual != 0
	return token, err
}

// deliver makes a response the caller's.
func (x *exchange) deliver(resp *http.Response) (*http.Response, error) {
	resp.Request = x.shown
	x.cookies.restore(resp)
	x.explain(resp)
	final, err := x.verify(resp)
	if err != nil {
		abandon(resp)
	}
	return final, err
}

// largeToken is the size of a field value at which servers begin to refuse a request: 8 KiB for the whole
// header is a common limit. Tickets of users in many groups are as large.
const largeToken = 7 << 10

// explain says why a server may have refused a request that is right.
func (x *exchange) explain(resp *http.Response) {
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge:
		if x.origin.size > largeToken {
			x.out.Err = x.wrap(authenticate, resp.StatusCode, fmt.Errorf("the server may limit the size of a request's header "+
				"to less than it takes: the token alone is %d bytes there; raise that limit, or put the user into fewer groups", x.origin.size))
		}
	}
}

// Values of Error.Op.
const (
	authenticate = "authenticate to"
	verifyServer = "verify the server of"
	admitClient  = "authenticate the client of"
)

func (x *exchange) wrap(op string, status int, err error) error {
	return &Error{Op: op, URL: display(x.req.URL), Status: status, Err: err}
}

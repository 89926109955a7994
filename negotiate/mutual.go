package negotiate

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/nego-sso/nego/gssapi"
)

// verify holds a final response against what Mutual wants.
//
//	             no proof, <400   no proof, ≥400   right proof   wrong proof
//	disabled     returned         returned         returned      returned
//	optional     returned         returned         returned      ErrMutual
//	required     ErrMutual        stripped         returned      ErrMutual
func (x *exchange) verify(resp *http.Response) (*http.Response, error) {
	if x.t.Mutual == MutualDisabled || resp.StatusCode == http.StatusUnauthorized {
		return resp, nil
	}
	there, err := x.proof(resp)
	switch ctx := x.req.Context(); {
	case there && err == nil:
		return resp, nil
	case there && ctx.Err() != nil:
		x.out.Err = x.wrap(verifyServer, resp.StatusCode, err)
		return nil, context.Cause(ctx)
	case there:
		err = fmt.Errorf("%w: %w", ErrMutual, err)
	case x.t.Mutual == MutualOptional:
		return resp, nil
	case x.origin.sent == 0 && x.t.Preemptive != PreemptAlways && !x.known.asked.IsZero():
		// It asked before, so it has tied the user to the connection.
		err = fmt.Errorf("%w: it did not ask for a token this time; a server that authenticates connections proves itself "+
			"when it gets a token, so set Preemptive to PreemptAlways", ErrMutual)
	default:
		err = ErrMutual
	}
	x.out.Err = x.wrap(verifyServer, resp.StatusCode, err)
	switch {
	case there || resp.StatusCode < 400:
		return nil, x.out.Err
	case x.t.KeepErrorBody:
		return resp, nil
	}
	return strip(resp), nil
}

// proof looks for the server's proof in a response and, if it is there, whether it holds: the library must
// have taken its token, and then say that the context is complete and mutual authentication part of it.
func (x *exchange) proof(resp *http.Response) (there bool, err error) {
	token, found, err := findChallenge(resp.Header[askHeader])
	sc := x.origin.sc
	switch {
	case err != nil:
		return true, err
	case !found, sc == nil && len(token) == 0: // the latter is an offer to authenticate
		return false, nil
	case sc == nil:
		return true, errors.New("it sent a token and was sent none")
	case len(token) == 0:
		return true, errors.New("its answer to the token is empty")
	case sc.Established():
		return true, errors.New("the mechanism did not wait for the server's answer")
	}
	if err := x.proceed(token); err != nil {
		return true, err
	}
	if !sc.Established() {
		return true, ErrLegs
	}
	if sc.Info().Flags&gssapi.FlagMutual == 0 {
		return true, errors.New("the mechanism did not grant mutual authentication")
	}
	return true, nil
}

// strip returns what may be believed of an error response from nobody knows whom: that the request failed.
func strip(resp *http.Response) *http.Response {
	abandon(resp)
	h := http.Header{"Content-Length": {"0"}}
	for _, name := range []string{"Date", "Server"} {
		if v := resp.Header[name]; len(v) > 0 {
			h[name] = v
		}
	}
	return &http.Response{
		Status:     resp.Status,
		StatusCode: resp.StatusCode,
		Proto:      resp.Proto,
		ProtoMajor: resp.ProtoMajor,
		ProtoMinor: resp.ProtoMinor,
		Header:     h,
		Body:       http.NoBody,
		Close:      resp.Close,
		Request:    resp.Request,
		TLS:        resp.TLS,
	}
}

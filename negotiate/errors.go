package negotiate

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// The reasons for which authentication can fail here rather than in the GSSAPI library. They are constants
// that are errors: find them with errors.Is. Errors of the library are a [*gssapi.Error], found with
// errors.As, and unwrap to a gssapi.Code, such as gssapi.ErrNoCred.
const (
	// ErrMutual says that the server has not proved who it is, where Transport.Mutual wants that.
	ErrMutual reason = "the server did not prove who it is"

	// ErrRefused says that the server did not accept the token that it had asked for. The server's log says why:
	// often its keytab lacks the service's key, or has an old one.
	ErrRefused reason = "the server refused the token; its log says why, often its keytab lacks the service's key or has an old one"

	// ErrLegs says that the peer wants to exchange more tokens than can be: a client's Base is no
	// *http.Transport, the peer is a proxy, or there is no end to it.
	ErrLegs reason = "the mechanism needs more tokens than can be exchanged here"

	// ErrBody says that the server asked for authentication after the request's body had been sent, and
	// that the body cannot be sent again.
	ErrBody reason = "the request's body cannot be sent a second time: give the request a GetBody, or a body that can seek"

	// ErrChallenge says that the peer's Negotiate header field does not hold a token in base64.
	ErrChallenge reason = "the token in the Negotiate header field is malformed"

	// ErrBinding says that ChannelBinding asks for a certificate to bind tokens to, and there is none: on plain http with
	// BindRequired, and on a server without [Authenticator.ConnContext] and [Authenticator.TLSConfig]. With BindRequired
	// it is also a server's answer to a token that is not bound.
	ErrBinding reason = "tokens have to be bound to a TLS connection whose certificate is known"

	// ErrNotAllowed says that the server asked for a token and may not have one.
	ErrNotAllowed reason = "this server may not have a token"

	// ErrContinue says that a client of an Authenticator is in the middle of a handshake of several tokens: its next
	// request on this connection goes on with it.
	ErrContinue reason = "the handshake goes on with the client's next request"

	// ErrNoToken says that a request to an Authenticator makes no attempt at Negotiate authentication. Each
	// client's first request is of that kind.
	ErrNoToken reason = "the request has no Negotiate token"

	// ErrTries says that an Authenticator has seen too many wrong passwords for one user, and asks the KDC about no further
	// one for a while. The response says for how long, in Retry-After.
	ErrTries reason = "too many passwords were tried for this user"
)

// errTooLong is ErrChallenge for a token that a server does not look at.
var errTooLong = fmt.Errorf("%w: it is longer than %d bytes", ErrChallenge, maxToken)

// reason is an error that is a constant.
type reason string

func (r reason) Error() string { return string(r) }

// Values of Error.Op.
const (
	authenticate      = "authenticate to"
	authenticateProxy = "authenticate to the proxy"
	verifyServer      = "verify the server of"
	admitClient       = "authenticate the client of"
)

// Error says which request failed to authenticate. It unwraps to the reason.
type Error struct {
	Op     string // what was tried, as in "authenticate to"
	URL    string // without userinfo, query and fragment
	Status int    // of the response that the failure is about
	Err    error
}

func (e *Error) Error() string {
	s := "negotiate: cannot " + e.Op + " " + e.URL
	if e.Status != 0 {
		s += " (status " + strconv.Itoa(e.Status) + ")"
	}
	return s + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// maxURL bounds what is shown of a URL: that of a request to a server may be as long as all of its header.
const maxURL = 2048

// display returns a URL without the parts that may hold secrets.
func display(u *url.URL) string {
	shown := *u
	shown.Opaque, shown.User, shown.RawQuery, shown.ForceQuery, shown.Fragment, shown.RawFragment = "", nil, "", false, "", ""
	s := shown.String()
	if len(s) > maxURL {
		s = strings.ToValidUTF8(s[:maxURL], "") + "…"
	}
	return s
}

package negotiate

import (
	"context"
	"net/http"

	"github.com/nego-sso/nego/gssapi"
)

// Outcome is how the authentication of one request to its origin went.
type Outcome struct {
	Target       gssapi.Name // the service; zero: no token was to be made
	Mech         gssapi.OID  // the mechanism in use; zero: not known, as SPNEGO tells with the server's answer, which only Mutual reads
	Mutual       bool        // the server has proved who it is
	Delegated    bool        // the token carried the user's own ticket
	ChannelBound bool        // the token was bound to the TLS connection
	Legs         int         // tokens sent; zero: the request went without
	Err          error       // why authentication failed; nil where it did not, and where no server asked
}

// OutcomeOf returns how the authentication went that led to resp. It is zero for a response that did not come
// through a [Transport], and where a RoundTripper between put another request into resp.Request; use
// [WithOutcome] there.
func OutcomeOf(resp *http.Response) Outcome {
	if resp != nil && resp.Request != nil {
		if o, ok := resp.Request.Context().Value(outcomeKey{}).(*Outcome); ok {
			return *o
		}
	}
	return Outcome{}
}

// WithOutcome returns a context for one request, whose outcome is in o when RoundTrip has returned, even
// where it returned an error. Where redirects are followed, it is that of the last hop.
func WithOutcome(ctx context.Context, o *Outcome) context.Context {
	return context.WithValue(ctx, holderKey{}, o)
}

type (
	outcomeKey struct{} // in the context of a response's request: *Outcome
	holderKey  struct{} // in the context of the caller's request: *Outcome
)

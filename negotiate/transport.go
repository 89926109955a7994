package negotiate

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"sync"

	"github.com/nego-sso/nego/gssapi"
)

// Transport is an http.RoundTripper that authenticates with Negotiate where a server asks for it: it
// answers a response of status 401 with a token and returns the response to that. The zero value is ready:
// it uses the default ticket cache, as kinit fills it, and asks for the service HTTP at the host of the URL.
//
// Where authentication is not possible, because there is no ticket, say, the server's 401 is returned with
// its body, and [OutcomeOf] tells why. Every other answer to a token is an ordinary response, also a
// further 401.
//
// A request that has an Authorization header field or userinfo in its URL is sent as it is.
//
// A body is sent again from its beginning where the request has a GetBody, and where the body is an
// io.Seeker. Otherwise the 401 is returned, and the outcome is ErrBody.
//
// A Transport is safe for concurrent use. It must not be copied, nor its fields changed, after its first
// use. It is to be kept, as it keeps connections; when it is dropped, they are closed.
type Transport struct {
	// Base sends the requests; nil is the same as http.DefaultTransport. Of an *http.Transport only the
	// settings are used, as they are at the first request. Connections are never shared with it, because a
	// server may tie the user's identity to a connection. Any other RoundTripper is used as it is, and may
	// have the same property. Schemes other than http and https are passed to Base unchanged.
	Base http.RoundTripper

	// Credential is the identity to use; nil is the default one, looked up anew each time, so that the
	// user's next kinit takes effect. The caller closes it.
	Credential *gssapi.Credential

	// Target names the service at a URL; nil, or a zero Name from it, is HTTP at the URL's host. A name it
	// gives to more than one host is not used after a redirect from one of them to another.
	Target func(*url.URL) gssapi.Name

	// Mech is the mechanism; zero is SPNEGO, which is what servers expect. It is passed straight to the library.
	Mech gssapi.OID

	// Mutual says whether the server must prove who it is.
	Mutual Mutual

	// KeepErrorBody has MutualRequired return responses of status 400 and above, with which a server did not
	// prove who it is, as they are, not stripped.
	KeepErrorBody bool

	// Allow decides whether the server at a URL may have a token; nil allows every one that asks.
	Allow func(*url.URL) bool

	// Strict returns an error where otherwise the server's 401 is returned because authentication failed on
	// this side.
	Strict bool

	// Trace is told what happens; nil tells nobody.
	Trace *Trace

	once  sync.Once
	conns connections
}

// Mutual says whether and when a server must prove who it is. Over https its certificate does that already.
// A response of status 401 needs no proof: it is the server that asks for one.
type Mutual int

const (
	// MutualDisabled asks for no proof and ignores one that comes.
	MutualDisabled Mutual = iota

	// MutualOptional asks for proof. A wrong one is ErrMutual; a response without one is returned.
	MutualOptional

	// MutualRequired asks for proof and insists on it, in each response. Without it, a response of a status
	// below 400 is ErrMutual, and one above is stripped: status, Date and Server remain. A wrong one is ErrMutual.
	MutualRequired
)

// String returns disabled, optional or required.
func (m Mutual) String() string {
	switch m {
	case MutualDisabled:
		return "disabled"
	case MutualOptional:
		return "optional"
	case MutualRequired:
		return "required"
	}
	return fmt.Sprintf("Mutual(%d)", int(m))
}

// RoundTrip sends a request, and again with a token if the server asks for one. The request is not changed.
//
// The error is ErrMutual, or what Base or the request's context say; with Strict also any other failure to
// authenticate.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	c := t.connections()
	if req.URL == nil || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return c.original.RoundTrip(req)
	}
	return newExchange(t, c.private, req).run()
}

// CloseIdleConnections closes connections that are not in use. http.Client.CloseIdleConnections calls it.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.connections().private.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// connections are where requests go.
type connections struct {
	original http.RoundTripper // Base or what stands for it
	private  http.RoundTripper // the same with connections of its own, where that can be
}

func (t *Transport) connections() *connections {
	t.once.Do(func() {
		base := t.Base
		if base == nil {
			base = http.DefaultTransport
		}
		t.conns = connections{original: base, private: base}
		if settings, ok := base.(*http.Transport); ok {
			own := clone(settings)
			t.conns.private = own
			runtime.AddCleanup(t, (*http.Transport).CloseIdleConnections, own)
		}
	})
	return &t.conns
}

// clone copies the settings of a transport.
func clone(settings *http.Transport) *http.Transport {
	own := settings.Clone()
	if own.TLSNextProto["h2"] != nil {
		// golang.org/x/net/http2 was configured by hand. Its connections are in a pool that a clone shares;
		// those of net/http itself are not.
		own.TLSNextProto = nil
		own.ForceAttemptHTTP2 = true
	}
	return own
}

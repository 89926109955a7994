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
// Where authentication is not possible, because there is no ticket, say, or the server refuses the token, its 401
// is returned with its body, and [OutcomeOf] tells why. Every other answer to a token is an ordinary response.
//
// The library cannot be interrupted, and without a KDC it may try for half a minute: a request waits for it as
// long as its context lives.
//
// A request that has an Authorization header field or userinfo in its URL is sent as it is.
//
// A body is sent again from its beginning where the request has a GetBody, and where the body is an
// io.Seeker. Any other body, and a long one, is announced with Expect: 100-continue and held back until the
// server has said whether it wants it, or has said nothing for a second. If it asks for a token after that,
// and the body is gone, its 401 is returned, and the outcome is ErrBody.
//
// A server may tie what a token said to the connection. So requests share connections only where the user, the
// target and the delegation are the same: with the default credential the user is looked up again, and the
// connections of a former one are closed. Mechanisms that need several tokens, such as NTLM, have a connection
// of HTTP/1.1 for themselves.
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

	// Delegate says whether the server gets the user's own ticket, to act as the user elsewhere.
	Delegate Delegation

	// AllowDelegate decides whether the server at a URL may have the user's ticket, where Delegate gives it at
	// all. Nil is every server that the request was made for, and none that a redirect to another host led to.
	AllowDelegate func(*url.URL) bool

	// Preemptive says whether a request carries a token before the server has asked for one.
	Preemptive Preemption

	// ChannelBinding ties tokens to the server's certificate, so that they are of no use on another
	// connection: tls-server-end-point, RFC 5929.
	ChannelBinding Binding

	// ProxyAuth authenticates to proxies too, with the service HTTP at the proxy's host: at once when an https
	// request asks for a tunnel, and when the proxy asks, with status 407, for an http request. It needs a Base
	// that is nil or an *http.Transport; whose proxies those are. Allow, Target, Mutual, Delegate and
	// ChannelBinding are for origins.
	ProxyAuth bool

	// KeepErrorBody has MutualRequired return responses of status 400 and above, with which a server did not
	// prove who it is, as they are, not stripped.
	KeepErrorBody bool

	// Allow decides whether the server at a URL may have a token; nil allows every one that asks.
	Allow func(*url.URL) bool

	// Strict returns an error where otherwise the server's 401 is returned because authentication failed.
	Strict bool

	// Trace is told what happens; nil tells nobody.
	Trace *Trace

	once  sync.Once
	inner *pools
}

// Mutual says whether and when a server must prove who it is. Over https its certificate does that already.
// A response of status 401 needs no proof: it is the server that asks for one.
type Mutual int

const (
	// MutualDisabled asks for no proof and ignores one that comes.
	MutualDisabled Mutual = iota

	// MutualOptional asks for proof. A wrong one is ErrMutual; a response without one is returned: who wants to deceive
	// the client leaves it out.
	MutualOptional

	// MutualRequired asks for proof and insists on it, in each response. Without it, a response of a status
	// below 400 is ErrMutual, and one above is stripped: status, Date and Server remain. A wrong one is ErrMutual.
	MutualRequired
)

// String returns disabled, optional or required.
func (m Mutual) String() string {
	return name(int(m), "Mutual", "disabled", "optional", "required")
}

// Delegation says whether a server gets the user's own ticket.
type Delegation int

const (
	// DelegateNever keeps it.
	DelegateNever Delegation = iota

	// DelegatePolicy gives it to servers that the KDC trusts with it: those with ok-as-delegate (RFC 5896).
	DelegatePolicy

	// DelegateAlways gives it to every server that gets a token.
	DelegateAlways
)

// String returns never, policy or always.
func (d Delegation) String() string {
	return name(int(d), "Delegation", "never", "policy", "always")
}

// Preemption says whether a request carries a token before the server has asked for one. That saves a round trip
// where it asks, and costs a ticket where it does not.
type Preemption int

const (
	// PreemptNever waits for the challenge.
	PreemptNever Preemption = iota

	// PreemptRemember sends a token to servers that have asked within the last ten minutes.
	PreemptRemember

	// PreemptAlways sends one with each request. Where none can be made, the request goes without.
	PreemptAlways
)

// String returns never, remember or always.
func (p Preemption) String() string {
	return name(int(p), "Preemption", "never", "remember", "always")
}

// Binding says whether tokens are tied to the TLS connection.
type Binding int

const (
	// BindNever does not tie them.
	BindNever Binding = iota

	// BindIfTLS ties them over https, where the connection lets its certificate be known: a dialer of the caller's may
	// hide it, and then the token goes unbound, as Outcome.ChannelBound tells.
	BindIfTLS

	// BindRequired does, and has no token for plain http: ErrBinding.
	BindRequired
)

// String returns never, tls or required.
func (b Binding) String() string {
	return name(int(b), "Binding", "never", "tls", "required")
}

func name(i int, typ string, names ...string) string {
	if i >= 0 && i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%s(%d)", typ, i)
}

// RoundTrip sends a request, and again with a token if the server asks for one. The request is not changed.
//
// The error is ErrMutual, or what Base or the request's context say; with Strict also any other failure to
// authenticate.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	p := t.pools()
	if req.URL == nil || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return p.original.RoundTrip(req)
	}
	return newExchange(t, p, req).run()
}

// CloseIdleConnections closes connections that are not in use. http.Client.CloseIdleConnections calls it.
func (t *Transport) CloseIdleConnections() {
	p := t.pools()
	if c, ok := p.opaque.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
	p.closeIdle()
}

func (t *Transport) pools() *pools {
	t.once.Do(func() {
		base := t.Base
		if base == nil {
			base = http.DefaultTransport
		}
		var proxy *proxyAuth
		if t.ProxyAuth {
			proxy = &proxyAuth{cred: t.Credential, mech: t.Mech, trace: t.Trace}
		}
		t.inner = newPools(base, proxy)
		runtime.AddCleanup(t, (*connections).closeIdle, t.inner.connections)
	})
	return t.inner
}

// Package kerberos has requests-kerberos' HTTPKerberosAuth for Go: the same options under the same names, with
// the same defaults, on the machine's own Kerberos library. It is for programs that are ported from Python. New
// ones are better off with [negotiate.Transport], which has more options and other defaults.
//
// What is auth=HTTPKerberosAuth(…) in Python,
//
//	r = requests.get("http://example.org", auth=HTTPKerberosAuth(mutual_authentication=OPTIONAL))
//
// is a Transport here:
//
//	client := &http.Client{Transport: &kerberos.HTTPKerberosAuth{MutualAuthentication: kerberos.Optional}}
//	resp, err := client.Get("http://example.org")
//
// It sends tokens of plain Kerberos, without SPNEGO around them, as requests-kerberos does.
//
// # Differences
//
// Where a failure would be a wrong answer, or would go unnoticed, this package does something else:
//
//   - A server is verified with each response, where Python verifies the first one. So with Required a server that
//     authenticates connections, such as IIS for WinRM, needs ForcePreemptive: it proves itself only when it gets a
//     token. The error says so.
//   - ForcePreemptive sends a token with each request. Python stops after the first verified response.
//   - A token that cannot be made ahead of the request is no error; the server may not want one. Python raises
//     KerberosExchangeError.
//   - SendCBT binds the token that ForcePreemptive sends, too, and to the certificate of the connection that it goes
//     out on. Python knows that from the first response on, and keeps it by host for as long as the object lives.
//   - A Principal whose ticket is not there is an error of RoundTrip. Python logs the reason and returns the
//     server's 401; where it is never asked, that hides a mistake in the program's settings.
//   - A token that the server refuses is not followed by another one for the same challenge.
//   - One token is all that a response of status 200 can prove: an empty Negotiate header field, or a token that
//     does not complete the context with mutual authentication, is negotiate.ErrMutual.
//   - After a redirect to another host there is no token for a HostnameOverride, which would be one that the first
//     host accepts, and no delegation; after one that leaves https there is no token at all. The outcome is
//     negotiate.ErrNotAllowed.
//   - A request that has an Authorization header field, or userinfo in its URL, is sent as it is. Python
//     overwrites the field.
//   - A body that cannot be sent again is held back until the server has spoken, and never sent empty or cut.
//   - A proxy gets neither Service nor HostnameOverride nor delegation: it is HTTP at the proxy's host. HTTPS
//     through a proxy works. A proxy's last 407 is a response without proof like others, and stripped with Required.
//   - Flags that only messages need (GSS_C_SEQUENCE_FLAG) are not asked for: HTTP has no such messages.
//   - An object is safe for concurrent use. Python keeps the state of the last request on it.
//   - Logs have the lengths of tokens, not the tokens, and there are none without Trace.
//
// generate_request_header, authenticate_user, authenticate_server, the handle_ methods and deregister are steps
// inside of RoundTrip, and not there.
package kerberos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
)

// HTTPKerberosAuth is an http.RoundTripper that authenticates with Kerberos where a server asks for it. The zero
// value has the defaults of requests-kerberos: it uses the default ticket cache and requires mutual
// authentication.
//
// Where authentication fails on this side, the server's 401 is returned, and [negotiate.OutcomeOf] tells why.
//
// It is safe for concurrent use. It must not be copied, nor its fields changed, after its first use. It is to be
// kept, as it keeps connections.
type HTTPKerberosAuth struct {
	// MutualAuthentication is mutual_authentication: whether the server must prove who it is. The error is
	// negotiate.ErrMutual, Python's MutualAuthenticationError.
	MutualAuthentication Mutual

	// Service is service, "HTTP" where it is empty: the first part of the name of the server. With another one, the
	// host of the URL is to be in ASCII: an internationalised name in its A-labels.
	Service string

	// Delegate is delegate: whether the server gets the user's own ticket, to act as the user elsewhere.
	Delegate bool

	// ForcePreemptive is force_preemptive: whether a token goes with each request, before the server asks.
	ForcePreemptive bool

	// Principal is principal: the user whose ticket is used, out of all caches of the default collection.
	// Empty is the default principal, which is looked up anew for each token.
	Principal string

	// Password is password: the Principal's, to get a ticket with instead of a cache.
	Password string

	// HostnameOverride is hostname_override: the host in the name of the server, where it is not that of the URL.
	HostnameOverride string

	// SanitizeMutualErrorResponse is sanitize_mutual_error_response: whether a response of status 400 or above, with
	// which the server did not prove who it is, is stripped where mutual authentication is required.
	SanitizeMutualErrorResponse Bool

	// SendCBT is send_cbt: whether tokens are bound to the server's certificate over https.
	SendCBT Bool

	// Base sends the requests, as the Session does in Python. It is that of [negotiate.Transport]. Proxies that ask
	// for Kerberos get a token where Base is nil or an *http.Transport.
	Base http.RoundTripper

	// Trace is told what happens, as Python's loggers are; see [negotiate.LogTrace]. Nil tells nobody.
	Trace *negotiate.Trace

	inner atomic.Pointer[ready]
}

// Mutual says whether a server must prove who it is. The zero value is Required.
type Mutual int

const (
	// Required is REQUIRED: a response below status 400 without proof is an error, one above is stripped.
	Required Mutual = iota

	// Optional is OPTIONAL: proof is asked for, and a wrong one is an error; none is not.
	Optional

	// Disabled is DISABLED: there is no proof.
	Disabled
)

// Bool is an option that is true where it is not set.
type Bool int

const (
	True Bool = iota
	False
)

// RoundTrip sends a request, and again with a token if the server asks for one. The request is not changed.
func (a *HTTPKerberosAuth) RoundTrip(req *http.Request) (*http.Response, error) {
	r, err := a.ready(req.Context())
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	return r.transport.RoundTrip(req)
}

// CloseIdleConnections closes connections that are not in use. http.Client.CloseIdleConnections calls it.
func (a *HTTPKerberosAuth) CloseIdleConnections() {
	if r := a.inner.Load(); r != nil {
		r.transport.CloseIdleConnections()
	}
}

// ready is what sends requests, until its credential is over. That is closed when nobody has it any more.
type ready struct {
	transport *negotiate.Transport
	expires   time.Time // zero: never
}

// ready returns what sends requests. Several may make it at once, and none waits for another.
func (a *HTTPKerberosAuth) ready(ctx context.Context) (*ready, error) {
	old := a.inner.Load()
	if old != nil && (old.expires.IsZero() || time.Now().Before(old.expires)) {
		return old, nil
	}
	r, err := a.prepare(ctx)
	switch {
	case err != nil && old != nil && ctx.Err() == nil:
		return old, nil // its outcome says what is over
	case err != nil:
		return nil, err
	case !a.inner.CompareAndSwap(old, r):
		if c := r.transport.Credential; c != nil {
			c.Close()
		}
	case old != nil:
		old.transport.CloseIdleConnections()
	}
	return a.inner.Load(), nil
}

// prepare makes it.
func (a *HTTPKerberosAuth) prepare(ctx context.Context) (*ready, error) {
	r := &ready{transport: &negotiate.Transport{
		Base:          a.Base,
		Target:        a.target(),
		Mech:          gssapi.KRB5,
		ProxyAuth:     true,
		KeepErrorBody: a.SanitizeMutualErrorResponse == False,
		Trace:         a.Trace,
	}}
	t := r.transport
	switch a.MutualAuthentication {
	case Optional:
		t.Mutual = negotiate.MutualOptional
	case Disabled:
		t.Mutual = negotiate.MutualDisabled
	default:
		t.Mutual = negotiate.MutualRequired
	}
	if a.Delegate {
		t.Delegate = negotiate.DelegateAlways
	}
	if a.ForcePreemptive {
		t.Preemptive = negotiate.PreemptAlways
	}
	if a.SendCBT != False {
		t.ChannelBinding = negotiate.BindIfTLS
	}
	if a.Principal == "" {
		if a.Password != "" {
			return nil, errors.New("kerberos: HTTPKerberosAuth has a Password and no Principal: say whose it is")
		}
		return r, nil
	}
	cred, err := gssapi.Acquire(ctx, &gssapi.CredentialOptions{
		Name:  gssapi.User(a.Principal),
		Mechs: []gssapi.OID{gssapi.KRB5},
		Store: gssapi.Store{Password: a.Password},
	})
	if err != nil {
		return nil, fmt.Errorf("kerberos: the principal of HTTPKerberosAuth: %w", err)
	}
	info, err := cred.Info()
	if err != nil {
		cred.Close()
		return nil, fmt.Errorf("kerberos: the principal of HTTPKerberosAuth: %w", err)
	}
	t.Credential, r.expires = cred, info.Expires
	return r, nil
}

// target names servers where an option does. The function knows nothing of a, so that it keeps nothing alive.
func (a *HTTPKerberosAuth) target() func(*url.URL) gssapi.Name {
	service, override := a.Service, a.HostnameOverride
	if service == "" {
		service = "HTTP"
	}
	switch {
	case override != "":
		return func(*url.URL) gssapi.Name { return gssapi.Service(service, override) }
	case service != "HTTP":
		return func(u *url.URL) gssapi.Name {
			return gssapi.Service(service, strings.TrimSuffix(strings.ToLower(u.Hostname()), "."))
		}
	}
	return nil
}

// Package spnego has the exported API of github.com/dpotapov/go-spnego on the machine's own Kerberos library: a
// program moves to it by changing that one import. The API is that of go-spnego's last commit, which has an
// argument of SetSPNEGOHeader and a field that the version on the module proxy has not. New programs are better off with [negotiate.Transport].
//
// Programs then use the ticket caches, mechanisms and krb5.conf of the machine, where go-spnego reads a FILE: cache
// and brings its own Kerberos. Transport sends a token with each request, before the server asks, as there.
//
// # Differences
//
//   - The host in the name of the service follows krb5.conf (dns_canonicalize_hostname, rdns) as it does for every
//     other program, so NoCanonicalize, and the second argument of SetSPNEGOHeader, have no effect. go-spnego asks
//     DNS itself.
//   - A token that cannot be made is an *[Error] if the server asks for one; there, even if it does not. The
//     request goes out without.
//   - A server that refuses the token, because it is too old, say, or needs several, as NTLM does, gets another one.
//   - After a redirect that leaves https there is no token.
//   - A request that has an Authorization header field, or userinfo in its URL, is sent as it is. Nothing of the
//     caller's request is changed.
//   - The connections are this package's own, made with the settings that the embedded http.Transport has at the
//     first request, because a server may tie the user to a connection. Of that one's methods RegisterProtocol
//     and Clone work as before, and CloseIdleConnections closes these connections too.
//   - A Transport is safe for concurrent use.
//   - It works where package gssapi does; there is no SSPI of Windows.
package spnego

import (
	"errors"
	"net/http"
	"sync"

	"github.com/nego-sso/nego/negotiate"
)

// Provider sets the header field that authenticates a request.
type Provider interface {
	// SetSPNEGOHeader puts a token for the host of the request's URL into its Authorization field. The second
	// argument has no effect: whether the name of the host is made canonical is krb5.conf's business.
	SetSPNEGOHeader(*http.Request, bool) error
}

// New returns the Provider that uses the machine's GSSAPI library and the default ticket cache.
func New() Provider { return provider{} }

type provider struct{}

// SetSPNEGOHeader asks a Transport for the token, with a server that never was.
func (provider) SetSPNEGOHeader(req *http.Request, _ bool) error {
	var field string
	t := &negotiate.Transport{Strict: true, Base: roundTripper(func(r *http.Request) (*http.Response, error) {
		resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}
		if field = r.Header.Get("Authorization"); field == "" {
			resp.StatusCode = http.StatusUnauthorized
			resp.Header.Set("WWW-Authenticate", "Negotiate")
		}
		return resp, nil
	})}
	ask := req.WithContext(req.Context())
	ask.Header, ask.Body, ask.GetBody, ask.ContentLength = http.Header{}, nil, nil, 0
	if req.URL == nil || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return errors.New("spnego: only requests to http and https URLs can be authenticated")
	}
	u := *req.URL
	u.User = nil // the caller asks for a token all the same
	ask.URL = &u
	resp, err := t.RoundTrip(ask)
	if e := (*negotiate.Error)(nil); errors.As(err, &e) {
		return e.Err // no server has said anything
	}
	if err != nil {
		return err
	}
	resp.Body.Close()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("Authorization", field)
	return nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Transport is an http.RoundTripper that sends a Negotiate token with each request. The zero value is ready. The
// embedded http.Transport has the settings of its connections. It must not be copied, nor its fields changed,
// after its first use.
type Transport struct {
	http.Transport

	// NoCanonicalize has no effect: krb5.conf decides whether the name of the host is made canonical.
	NoCanonicalize bool

	once  sync.Once
	inner *negotiate.Transport
}

// RoundTrip sends a request with a token. The error is an *[Error] where the server wants one and none can be made.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return t.Transport.RoundTrip(req) // of RegisterProtocol
	}
	resp, err := t.negotiate().RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if o := negotiate.OutcomeOf(resp); o.Err != nil && o.Legs == 0 && resp.StatusCode == http.StatusUnauthorized {
		resp.Body.Close()
		return nil, &Error{Err: o.Err}
	}
	return resp, nil
}

// CloseIdleConnections closes connections that are not in use. http.Client.CloseIdleConnections calls it.
func (t *Transport) CloseIdleConnections() {
	t.Transport.CloseIdleConnections()
	t.negotiate().CloseIdleConnections()
}

func (t *Transport) negotiate() *negotiate.Transport {
	t.once.Do(func() {
		t.inner = &negotiate.Transport{Base: &t.Transport, Preemptive: negotiate.PreemptAlways}
	})
	return t.inner
}

// Error says why a request could not be given a token. Any other error is one of the connection.
type Error struct {
	Err error
}

// Error returns what Err says.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns Err: find an error of the library with errors.As and *gssapi.Error.
func (e *Error) Unwrap() error { return e.Err }

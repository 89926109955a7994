package negotiate

import (
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/idna"

	"github.com/nego-sso/nego/gssapi"
)

// admission is what an origin may have.
type admission struct {
	target   gssapi.Name
	named    bool // by Transport.Target
	standing standing
	delegate bool
	err      error // why it may have no token
}

// identity is whom the connections belong to that a request with this admission may go on.
func (a *admission) identity(http1 bool) identity {
	id := identity{standing: a.standing, delegated: a.delegate, http1: http1}
	if a.named {
		id.target = a.target
	}
	return id
}

// admit decides what the origin of a request may have.
func (t *Transport) admit(req *http.Request) (a admission) {
	a.target, a.named = t.target(req.URL)
	switch {
	case req.URL.User != nil || len(req.Header[replyHeader]) > 0:
		a.standing = foreign
		return a
	case t.Allow != nil && !t.Allow(req.URL):
		a.err = fmt.Errorf("%w: Transport.Allow says so", ErrNotAllowed)
	default:
		a.err = t.admitRedirect(req, a.target)
	}
	if a.err != nil {
		a.standing = refused
		return a
	}
	a.delegate = t.Delegate != DelegateNever && t.admitDelegation(req)
	return a
}

// target is the name of the service at u, and whether it is the caller's choice.
func (t *Transport) target(u *url.URL) (name gssapi.Name, named bool) {
	if t.Target != nil {
		if name := t.Target(u); !name.IsZero() {
			return name, true
		}
	}
	return gssapi.Service("HTTP", host(u)), false
}

// host is the host of u as names of services have it: no port, no brackets, lower case, an
// internationalised name as A-labels, no dot of the DNS root at the end. Making it canonical is left to
// krb5.conf.
func host(u *url.URL) string {
	h := u.Hostname()
	if a, err := hostASCII(h); err == nil {
		h = a
	}
	return strings.TrimSuffix(strings.ToLower(h), ".")
}

// hostASCII turns an internationalised name into A-labels.
func hostASCII(h string) (string, error) {
	if isASCII(h) {
		return h, nil
	}
	return idna.Lookup.ToASCII(h)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// admitRedirect looks at the way that led to req. Each response knows the request that it answers, and a
// request that follows a redirect knows that response.
func (t *Transport) admitRedirect(req *http.Request, target gssapi.Name) error {
	next, here := req, host(req.URL)
	for hop := range hops(req) {
		if hop.URL.Scheme == "https" && next.URL.Scheme != "https" {
			// Whoever reads the plain connection decides where the client goes from there.
			return fmt.Errorf("%w: a redirect led away from https", ErrNotAllowed)
		}
		if there := host(hop.URL); there != here && t.sameTarget(hop.URL, target) {
			// The new host would get a token that the other one accepts.
			return fmt.Errorf("%w: %s redirected here, and the token would be one for that host", ErrNotAllowed, there)
		}
		next = hop
	}
	return nil
}

// admitDelegation reports whether the user's ticket may go to the origin of req.
func (t *Transport) admitDelegation(req *http.Request) bool {
	if t.AllowDelegate != nil {
		return t.AllowDelegate(req.URL)
	}
	for hop := range hops(req) {
		if host(hop.URL) != host(req.URL) {
			return false // somebody else led the client here
		}
	}
	return true
}

func (t *Transport) sameTarget(u *url.URL, target gssapi.Name) bool {
	name, _ := t.target(u)
	return name == target
}

// hops are the requests whose redirects led to req, the last one first.
func hops(req *http.Request) iter.Seq[*http.Request] {
	return func(yield func(*http.Request) bool) {
		for req.Response != nil && req.Response.Request != nil && req.Response.Request.URL != nil {
			req = req.Response.Request
			if !yield(req) {
				return
			}
		}
	}
}

package negotiate

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/idna"

	"github.com/nego-sso/nego/gssapi"
)

// target is the name of the service at u.
func (t *Transport) target(u *url.URL) gssapi.Name {
	if t.Target != nil {
		if name := t.Target(u); !name.IsZero() {
			return name
		}
	}
	return gssapi.Service("HTTP", host(u))
}

// host is the host of u as names of services have it: no port, no brackets, lower case, an
// internationalised name as A-labels, no dot of the DNS root at the end. Making it canonical is left to
// krb5.conf.
func host(u *url.URL) string {
	h := u.Hostname()
	if !isASCII(h) {
		if a, err := idna.Lookup.ToASCII(h); err == nil {
			h = a
		}
	}
	return strings.TrimSuffix(strings.ToLower(h), ".")
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// admit returns the target to send a token to, or ErrNotAllowed.
func (t *Transport) admit(req *http.Request) (gssapi.Name, error) {
	target := t.target(req.URL)
	if t.Allow != nil && !t.Allow(req.URL) {
		return target, fmt.Errorf("%w: Transport.Allow says so", ErrNotAllowed)
	}
	return target, t.admitRedirect(req, target)
}

// admitRedirect looks at the way that led to req. Each response knows the request that it answers, and a
// request that follows a redirect knows that response.
func (t *Transport) admitRedirect(req *http.Request, target gssapi.Name) error {
	next, here := req, host(req.URL)
	for next.Response != nil && next.Response.Request != nil {
		hop := next.Response.Request
		if hop.URL == nil {
			break
		}
		if hop.URL.Scheme == "https" && next.URL.Scheme != "https" {
			// Whoever reads the plain connection decides where the client goes from there.
			return fmt.Errorf("%w: a redirect led away from https", ErrNotAllowed)
		}
		if there := host(hop.URL); there != here && t.target(hop.URL) == target {
			// The new host would get a token that the other one accepts.
			return fmt.Errorf("%w: %s redirected here, and the token would be one for that host", ErrNotAllowed, there)
		}
		next = hop
	}
	return nil
}

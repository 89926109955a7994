package negotiate

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	cookieHeader    = "Cookie"
	setCookieHeader = "Set-Cookie"
)

// cookies are those that a response sets which the caller never sees. Load balancers set them there, and
// want them back with the next request.
type cookies struct {
	from []*http.Response // whose cookies these are
	sent []string         // the pairs for the Cookie field of the next leg
	set  bool             // sent counts
}

// keep takes the cookies of a response that may be an intermediate one. They are taken once.
func (c *cookies) keep(req *http.Request, resp *http.Response) {
	if len(resp.Header[setCookieHeader]) == 0 || slices.Contains(c.from, resp) {
		return
	}
	c.from = append(c.from, resp)
	if !c.set {
		c.sent, c.set = pairs(req.Header[cookieHeader]), true
	}
	for _, k := range resp.Cookies() {
		if !appliesTo(k, req.URL) {
			continue
		}
		c.sent = slices.DeleteFunc(c.sent, func(pair string) bool {
			name, _, _ := strings.Cut(pair, "=")
			return name == k.Name
		})
		if k.MaxAge >= 0 && (k.Expires.IsZero() || k.MaxAge > 0 || k.Expires.After(time.Now())) {
			c.sent = append(c.sent, (&http.Cookie{Name: k.Name, Value: k.Value, Quoted: k.Quoted}).String())
		}
	}
}

// apply gives a leg its cookies.
func (c *cookies) apply(h http.Header) {
	if !c.set {
		return
	}
	if len(c.sent) == 0 {
		h.Del(cookieHeader)
		return
	}
	h[cookieHeader] = []string{strings.Join(c.sent, "; ")}
}

// restore puts the cookies of intermediate responses in front of those of the final one, for the caller's jar.
func (c *cookies) restore(resp *http.Response) {
	var lines []string
	for _, r := range c.from {
		if r != resp { // it may have become the final one
			lines = append(lines, r.Header[setCookieHeader]...)
		}
	}
	if len(lines) == 0 {
		return
	}
	if resp.Header == nil {
		resp.Header = make(http.Header)
	}
	resp.Header[setCookieHeader] = append(lines, resp.Header[setCookieHeader]...)
}

// pairs splits the lines of Cookie.
func pairs(lines []string) (l []string) {
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			if pair = strings.Trim(pair, " \t"); pair != "" {
				l = append(l, pair)
			}
		}
	}
	return l
}

// appliesTo asks a jar whether a cookie that u sets is one for u: for its host, path and scheme.
func appliesTo(k *http.Cookie, u *url.URL) bool {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return false
	}
	session := *k
	session.MaxAge, session.Expires = 0, time.Time{}
	jar.SetCookies(u, []*http.Cookie{&session})
	return len(jar.Cookies(u)) > 0
}

package serve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nego-sso/nego/negotiate"
)

// ParseUpstream reads the URL of an upstream, in which a scheme may be missing.
func ParseUpstream(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("it is no URL") // which might have a password
	case u.User != nil:
		return nil, errors.New("it has a user in it, and requests go on without")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s is not supported for an upstream", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("it names no host")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("it has a query or a fragment")
	}
	return u, nil
}

// newTransport makes what requests go on with. The proxies that the environment names are for the way out.
func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true, // the client has said what it takes
		MaxIdleConns:        512,
		MaxIdleConnsPerHost: 512,
		IdleConnTimeout:     90 * time.Second,
		// For a client that has announced its body: how long the upstream may take to want it.
		ExpectContinueTimeout: time.Second,
	}
}

// newForwarder makes the handler that passes requests on. It streams both ways, and lets connections change their protocol.
func (s *Server) newForwarder() http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:        s.rewrite,
		Transport:      s.transport,
		FlushInterval:  -1,
		ModifyResponse: s.modify,
		ErrorHandler:   s.upstreamFailed,
		ErrorLog:       s.errorLog(),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// An answer may come while the request's body is still on its way, and must not take the rest of it.
		_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1 can
		// Each interim response takes with it what is in the header by then. The client's token, its session and the rest are for
		// the final one.
		h := w.Header()
		visitOf(r.Context()).own = maps.Clone(h)
		clear(h)
		proxy.ServeHTTP(w, r)
	})
}

// rewrite makes the request that goes on. What Connection names has been taken off it, and cannot take off what is set here.
func (s *Server) rewrite(r *httputil.ProxyRequest) {
	r.SetURL(s.Upstream)
	if s.KeepHost {
		r.Out.Host = r.In.Host
	}
	s.purge(r.Out.Header)
	if carriesRequests(r.Out.Header["Upgrade"]) {
		r.Out.Header.Del("Upgrade") // the server may take no notice of it, RFC 9110, section 7.8
		r.Out.Header.Del("Connection")
	}
	r.Out.Trailer = nil // which some take for header fields
	if r.Out.Body != nil {
		r.Out.Body = &clientBody{ReadCloser: r.Out.Body, visit: visitOf(r.In.Context())}
	}
	if s.BehindTLS {
		if before := r.In.Header["X-Forwarded-For"]; before != nil {
			r.Out.Header["X-Forwarded-For"] = before
		}
	}
	r.SetXForwarded()
	if s.BehindTLS {
		r.Out.Header.Set("X-Forwarded-Proto", "https")
	}
	if id, ok := negotiate.FromContext(r.In.Context()); ok {
		s.tell(r.Out.Header, id)
	}
}

// carriesRequests reports whether a client wants to change to a protocol that has further requests, which nobody here would see:
// with fields of its own that say who the user is.
func carriesRequests(upgrade []string) bool {
	for _, line := range upgrade {
		for protocol := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(protocol), "/")
			if slices.Contains([]string{"h2c", "h2", "http", "spdy", "tls"}, strings.ToLower(name)) {
				return true
			}
		}
	}
	return false
}

// modify makes the response that goes back.
func (s *Server) modify(resp *http.Response) error {
	if resp.StatusCode == http.StatusProxyAuthRequired {
		return errors.New("it answered as if it were a proxy")
	}
	withoutOurs(resp.Header)
	v := visitOf(resp.Request.Context())
	maps.Copy(v.Header(), v.own)
	v.Header()["Content-Type"] = nil // or net/http makes one up where the upstream has none
	if resp.StatusCode == http.StatusSwitchingProtocols {
		v.status = resp.StatusCode // WriteHeader is not called
	}
	return nil
}

// sessionCookie is the name that negotiate.Sessions has for the path /.
const sessionCookie = "__Host-nego"

// withoutOurs takes off what only this server says. The upstream got no Authorization, and its challenge would be answered to
// this server.
func withoutOurs(h http.Header) {
	h.Del("Www-Authenticate")
	if lines, ok := h["Set-Cookie"]; ok {
		h["Set-Cookie"] = withoutSession(lines)
	}
}

// withoutSession leaves out the cookie that only this server sets.
func withoutSession(lines []string) (others []string) {
	for _, line := range lines {
		pair, _, _ := strings.Cut(line, ";")
		name, _, _ := strings.Cut(pair, "=")
		if !strings.EqualFold(strings.TrimSpace(name), sessionCookie) {
			others = append(others, line)
		}
	}
	return others
}

// upstreamFailed answers a request that the upstream did not.
func (s *Server) upstreamFailed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody waits for an answer
	}
	v := visitOf(r.Context())
	maps.Copy(w.Header(), v.own)
	if v.cutOff.Load() {
		http.Error(w, http.StatusText(http.StatusBadRequest)+": the request's body has not come whole.", http.StatusBadRequest)
		return
	}
	s.Log.Warn("the upstream does not answer", "upstream", s.Upstream.Redacted(), "error", err)
	status := http.StatusBadGateway
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		status = http.StatusGatewayTimeout
	}
	http.Error(w, http.StatusText(status)+": the server behind this one does not answer.", status)
}

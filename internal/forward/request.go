package forward

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/nego-sso/nego/negotiate"
)

// newTransport makes what signs on for requests with http URLs.
func (p *Proxy) newTransport() *negotiate.Transport {
	return &negotiate.Transport{
		Base: &http.Transport{
			Proxy:               func(r *http.Request) (*url.URL, error) { return p.route(r.URL.Hostname()), nil },
			DialContext:         p.dial,
			DisableCompression:  true, // the client has said what it takes
			MaxIdleConns:        512,
			MaxIdleConnsPerHost: 64,
			IdleConnTimeout:     90 * time.Second,
			// For a client that has announced its body: how long its server may take to want it.
			ExpectContinueTimeout: time.Second,
		},
		ProxyAuth:  true,
		Preemptive: negotiate.PreemptRemember, // a client's body can be sent only once
		Allow:      func(u *url.URL) bool { return p.Allow != nil && p.Allow(plainHost(u.Hostname())) },
	}
}

// newForwarder makes the handler of requests with http URLs. It takes off what is for one connection alone, streams
// both ways, and passes on trailers, interim responses and connections that change their protocol.
func (p *Proxy) newForwarder() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:       p.rewrite,
		Transport:     signOn{p},
		FlushInterval: -1,
		ErrorLog:      p.ErrorLog,
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			visitOf(r.Context()).fail(r, err)
		},
	}
}

// rewrite makes the request that goes on.
func (p *Proxy) rewrite(r *httputil.ProxyRequest) {
	// A reverse proxy has its reasons to change these; here they are the client's.
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := r.In.Header[name]; ok && !listed(r.In.Header, name) {
			r.Out.Header[name] = v
		}
	}
	r.Out.Trailer = r.In.Trailer // filled in while the body is read
	r.Out.Header.Add("Via", p.via(r.In.ProtoMajor, r.In.ProtoMinor))
	// Such a client's user would stay on the connection, for the requests of others.
	r.Out.Close = r.Out.Close || bindsConnection(r.In.Header["Authorization"])
}

// bindsConnection reports whether a client signs on by itself with a scheme that servers tie to connections.
func bindsConnection(fields []string) bool {
	for _, v := range fields {
		scheme, _, _ := strings.Cut(strings.TrimSpace(v), " ")
		if strings.EqualFold(scheme, "Negotiate") || strings.EqualFold(scheme, "NTLM") {
			return true
		}
	}
	return false
}

// signOn is the Proxy as what ReverseProxy sends requests with.
type signOn struct{ p *Proxy }

func (s signOn) RoundTrip(r *http.Request) (*http.Response, error) {
	x := visitOf(r.Context())
	up := s.p.route(r.URL.Hostname())
	x.entry.Upstream = up != nil
	var out negotiate.Outcome
	resp, err := s.p.transport.RoundTrip(r.WithContext(negotiate.WithOutcome(r.Context(), &out)))
	if out.Legs > 0 {
		x.entry.SignedOn = out.Target.String()
	}
	if err != nil {
		return nil, err
	}
	x.Header()["Content-Type"] = nil // or net/http makes one up where the origin has none
	switch resp.StatusCode {
	case http.StatusProxyAuthRequired:
		// The client has nothing to do with it, and would take it for this proxy's.
		_ = resp.Body.Close()
		if up == nil {
			return nil, refuse(http.StatusBadGateway, "%s answered %s as if it were a proxy", r.URL.Host, resp.Status)
		}
		return nil, notAdmitted(up, resp, out.Err)
	case http.StatusUnauthorized:
		x.entry.Err = out.Err
	case http.StatusSwitchingProtocols:
		x.entry.Status = resp.StatusCode // WriteHeader is not called
	default:
		if out.Legs > 0 {
			resp.Header.Del("Www-Authenticate") // the rest of a talk that the client has not begun
		}
	}
	resp.Header.Add("Via", s.p.via(resp.ProtoMajor, resp.ProtoMinor))
	return resp, nil
}

// notAdmitted says why the upstream proxy does not let the user through.
func notAdmitted(up *url.URL, resp *http.Response, err error) error {
	if _, offered := challenge(resp.Header["Proxy-Authenticate"]); err == nil && offered {
		err = negotiate.ErrRefused
	}
	if err == nil {
		err = errors.New("it does not offer Negotiate")
	}
	if e, ok := errors.AsType[*negotiate.Error](err); ok {
		return e
	}
	return &negotiate.Error{Op: "authenticate to the proxy", URL: display(up), Status: resp.StatusCode, Err: err}
}

// ParseUpstream reads the address of an upstream proxy, http://host:port or host:port.
func ParseUpstream(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("it is no URL") // which might have a password
	case u.User != nil:
		return nil, errors.New("it has a user in it, and this proxy signs on with a ticket")
	case u.Scheme != "http":
		return nil, fmt.Errorf("%s is not supported for a proxy", u.Scheme)
	case !isHost(u.Hostname()):
		return nil, errors.New("it names no host, or not in ASCII")
	case u.Port() == "":
		return nil, errors.New("it names no port")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("it is more than a host and a port")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

package serve

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/nego-sso/nego/negotiate"
)

// ingress is a server of a cluster, in front of an application. It asks about each request before it serves it.
type ingress struct {
	ask  func(r *http.Request) *http.Request                   // what it asks nego
	pass func(client http.Header, request, answer http.Header) // what it makes of the answer 200
}

// ServeHTTP is what Traefik and Envoy have in common.
func (i *ingress) handler(t *testing.T, app *url.URL) http.Handler {
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	forward := httputil.NewSingleHostReverseProxy(app)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := tr.RoundTrip(i.ask(r))
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			i.pass(w.Header(), r.Header, resp.Header)
			forward.ServeHTTP(w, r)
			return
		}
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	})
}

// try has a user sign on through an ingress, who says things about himself, and come again with the session.
func (i *ingress) try(t *testing.T) {
	seen := make(chan *http.Request, 1)
	app := upstream(t, func(w http.ResponseWriter, r *http.Request) { seen <- r })
	front := httptest.NewServer(i.handler(t, app))
	t.Cleanup(front.Close)
	at := strings.Replace(front.URL, "127.0.0.1", "localhost", 1) + "/a%2Fb//page?x=y"
	forged := func(host string) *http.Request {
		req := request(t, http.MethodPut, at, strings.NewReader("a body"))
		req.Host = host
		for _, name := range []string{"X-Remote-User", "X-Remote-User-Realm", "X-Remote-User-Local"} {
			req.Header.Set(name, "admin@NEGO.TEST")
		}
		req.Header.Set("X-Forwarded-Host", "other.example")
		return req
	}
	stranger := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(stranger.CloseIdleConnections)
	if resp, _ := do(t, stranger, forged("www.example")); resp.StatusCode != 401 || !slices.Contains(resp.Header["Www-Authenticate"], "Negotiate") {
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	check := func(resp *http.Response) {
		t.Helper()
		if resp.StatusCode != 200 {
			t.Fatalf("%s %v", resp.Status, resp.Header)
		}
		if h := (<-seen).Header; h.Get("X-Remote-User") != realUser || h.Get("X-Remote-User-Realm") != "NEGO.TEST" || h.Get("X-Remote-User-Local") == "admin@NEGO.TEST" {
			t.Errorf("the application is told %v", h)
		}
	}
	req := forged("www.example")
	signed, _ := do(t, client(t, nil), req)
	check(signed)
	session := signed.Cookies()
	if len(session) != 1 {
		t.Fatalf("no session: %v", signed.Header)
	}
	for host, status := range map[string]int{"www.example": 200, "other.example": 401} {
		req := forged(host)
		req.AddCookie(&http.Cookie{Name: session[0].Name, Value: session[0].Value})
		if resp, _ := do(t, stranger, req); resp.StatusCode != status {
			t.Errorf("the session at %s: %s", host, resp.Status)
		} else if status == 200 {
			check(resp)
		}
	}
}

// ask makes a request to nego with some of a client's fields.
func ask(ctx context.Context, method, url string, fields http.Header) *http.Request {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		panic(err)
	}
	req.Header = fields
	return req
}

// As Traefik 3 documents ForwardAuth, with what docs/ingress.md sets.
func TestTraefik(t *testing.T) {
	s := start(t, &Server{Auth: &negotiate.Authenticator{Sessions: sessions()}, BehindTLS: true, ForwardedHost: true})
	i := &ingress{
		ask: func(r *http.Request) *http.Request {
			h := r.Header.Clone()
			h.Del("Connection")
			ip, _, _ := net.SplitHostPort(r.RemoteAddr)
			for name, value := range map[string]string{"Method": r.Method, "Proto": "https", "Port": "443", "Host": r.Host, "Uri": r.URL.RequestURI(), "For": ip} {
				h.Set("X-Forwarded-"+name, value)
			}
			return ask(r.Context(), http.MethodGet, "http://"+s.addr, h)
		},
		pass: func(client, request, answer http.Header) {
			for _, name := range []string{"X-Remote-User", "X-Remote-User-Realm", "X-Remote-User-Local"} {
				request.Del(name)
				if v := answer[name]; v != nil {
					request[name] = v
				}
			}
			client["Set-Cookie"] = answer["Set-Cookie"]
		},
	}
	i.try(t)
}

// As Envoy's ext_authz.proto documents its HTTP service, with what docs/ingress.md sets, and with a prefix.
func TestEnvoy(t *testing.T) {
	s := start(t, &Server{Auth: &negotiate.Authenticator{Sessions: sessions()}, BehindTLS: true})
	i := &ingress{
		ask: func(r *http.Request) *http.Request {
			h := make(http.Header)
			for _, name := range []string{"Authorization", "Cookie"} {
				if v := r.Header[name]; v != nil {
					h[name] = v
				}
			}
			req := ask(r.Context(), r.Method, "http://"+s.addr+"/prefix"+r.URL.RequestURI(), h)
			req.Host = r.Host
			return req
		},
		pass: func(client, request, answer http.Header) {
			for _, name := range []string{"X-Remote-User", "X-Remote-User-Realm", "X-Remote-User-Local"} {
				request.Del(name) // header_mutation
			}
			for name, v := range answer {
				if strings.HasPrefix(name, "X-Remote-User") {
					request[name] = v
				}
			}
			client["Www-Authenticate"], client["Set-Cookie"] = answer["Www-Authenticate"], answer["Set-Cookie"]
		},
	}
	i.try(t)
}

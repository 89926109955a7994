//go:build interop

package serve

import (
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nego-sso/nego/internal/peers"
	"github.com/nego-sso/nego/negotiate"
)

// nginxConfig is what docs/ingress.md shows, with the addresses of a test.
func nginxConfig(t *testing.T, nego string, app *url.URL) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/ingress.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```nginx\n")
	config, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatal("docs/ingress.md has no configuration of nginx")
	}
	return strings.NewReplacer("http://127.0.0.1:8080", "http://"+nego, "http://127.0.0.1:3000", app.String()).Replace(config)
}

// The auth_request of nginx: the client signs on through it, proves nothing by what it says of itself, and gets a session.
func TestInteropNginx(t *testing.T) {
	seen := make(chan *http.Request, 1)
	app := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		w.Write([]byte("app"))
	})
	s := start(t, &Server{Auth: &negotiate.Authenticator{Sessions: sessions()}, BehindTLS: true})
	nginx := peers.Nginx(t, peers.NginxOptions{Config: nginxConfig(t, s.addr, app)})
	stranger := &http.Client{Transport: new(http.Transport)}
	t.Cleanup(stranger.CloseIdleConnections)
	forged := func(method, url string) *http.Request {
		req := request(t, method, url, strings.NewReader("a body"))
		for _, name := range []string{"X-Remote-User", "X-Remote-User-Realm", "X-Remote-User-Local", "X_Remote_User"} {
			req.Header.Set(name, "admin@NEGO.TEST")
		}
		req.Header.Set("X-Forwarded-Host", "other.example")
		return req
	}

	resp, _ := do(t, stranger, forged("POST", nginx.URL+"/page"))
	if resp.StatusCode != 401 || !slices.Contains(resp.Header["Www-Authenticate"], "Negotiate") {
		t.Fatalf("%s %v\n%s", resp.Status, resp.Header, nginx.Log())
	}
	tr := &negotiate.Transport{Base: new(http.Transport), Mutual: negotiate.MutualRequired}
	t.Cleanup(tr.CloseIdleConnections)
	resp, body := do(t, &http.Client{Transport: tr}, forged("POST", nginx.URL+"/page?a=b"))
	if resp.StatusCode != 200 || body != "app" || !negotiate.OutcomeOf(resp).Mutual {
		t.Fatalf("%s %v %+v\n%s", resp.Status, resp.Header, negotiate.OutcomeOf(resp), nginx.Log())
	}
	r := <-seen
	for name := range r.Header {
		if strings.HasPrefix(fold(name), "x-remote-user") && r.Header.Get(name) == "admin@NEGO.TEST" {
			t.Errorf("the application is told %s: %s", name, r.Header.Get(name))
		}
	}
	if h := r.Header; !slices.Equal(h["X-Remote-User"], []string{realUser}) || h.Get("X-Remote-User-Realm") != "NEGO.TEST" || h.Get("Authorization") != "" || r.RequestURI != "/page?a=b" || r.ContentLength != 6 {
		t.Errorf("%v %s %d", h, r.RequestURI, r.ContentLength)
	}

	var session *http.Cookie
	for _, c := range resp.Cookies() {
		session = &http.Cookie{Name: c.Name, Value: c.Value}
	}
	if session == nil {
		t.Fatalf("no session: %v", resp.Header)
	}
	for host, status := range map[string]int{"": 200, "other.example": 401} {
		req := forged("GET", nginx.URL)
		req.Host = host
		req.AddCookie(session)
		resp, _ := do(t, stranger, req)
		if resp.StatusCode != status {
			t.Errorf("the session at %q: %s", host, resp.Status)
		}
		if status == 200 {
			if user := (<-seen).Header["X-Remote-User"]; !slices.Equal(user, []string{realUser}) {
				t.Errorf("the session is of %q", user)
			}
		}
	}
}

// Who is known and not on the list, and a token with many groups in it.
func TestInteropNginxRefuses(t *testing.T) {
	app := upstream(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the application got %s %s", r.Method, r.URL) })
	s := start(t, &Server{Require: []Rule{mustRule(t, "alice@NEGO.TEST")}})
	nginx := peers.Nginx(t, peers.NginxOptions{Config: nginxConfig(t, s.addr, app)})
	if resp, _ := get(t, nginx.URL); resp.StatusCode != http.StatusForbidden {
		t.Errorf("%s\n%s", resp.Status, nginx.Log())
	}
	req := request(t, "GET", nginx.URL, nil)
	req.Header.Set("Authorization", "Negotiate "+strings.Repeat("YIIB", 20<<10)) // 80 KiB
	if resp, err := new(http.Transport).RoundTrip(req); err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("%v, %v\n%s", resp, err, nginx.Log())
	}
	s.end()
	s.wait()
	if resp, _ := get(t, nginx.URL); resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("without nego: %s", resp.Status)
	}
}

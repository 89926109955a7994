package serve

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nego-sso/nego/negotiate"
)

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "inside")
	for name, text := range map[string]string{"secret": "out", "inside/a.txt": "file a", "inside/.hidden": "no", "inside/.git/config": "no",
		"inside/sub/b": "<html>", "inside/index/index.html": "welcome"} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"up": "../secret", "absolute": filepath.Join(dir, "secret"), "here": "a.txt", "parent": "..", "loop": "loop", "dot": ".hidden"} {
		if err := os.Symlink(to, filepath.Join(inside, name)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("mkfifo", filepath.Join(inside, "fifo")).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	root, err := os.OpenRoot(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s := start(t, &Server{Root: root})
	for path, v := range map[string]struct {
		status int
		body   string
	}{
		"/a.txt":                       {200, "file a"},
		"/here":                        {200, "file a"},
		"/sub/b":                       {200, "<html>"},
		"/index/":                      {200, "welcome"},
		"/.hidden":                     {404, ""},
		"/.git/config":                 {404, ""},
		"/.git/":                       {404, ""},
		"/sub/../.hidden":              {404, ""},
		"/sub/%2e%2e/.hidden":          {404, ""},
		"/sub%2f..%2f.hidden":          {404, ""},
		"/%2e%2e/secret":               {404, ""},
		"/../secret":                   {404, ""},
		"/up":                          {404, ""},
		"/absolute":                    {404, ""},
		"/parent/secret":               {404, ""},
		"/parent/":                     {404, ""},
		"/loop":                        {404, ""},
		"/fifo":                        {404, ""},
		"/a.txt/b":                     {404, ""},
		"/none":                        {404, ""},
		"/" + strings.Repeat("x", 300): {404, ""},
		"/a%00":                        {404, ""},
	} {
		resp, body := get(t, s.url+path)
		if resp.StatusCode != v.status || v.status == 200 && body != v.body || strings.Contains(body, "out") {
			t.Errorf("%s: %s %s", path, resp.Status, body)
		}
		if v.status == 200 && resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, resp.Header)
		}
	}
	_, list := get(t, s.url)
	if strings.Contains(list, ">.") || !strings.Contains(list, ">a.txt<") || !strings.Contains(list, ">sub/<") {
		t.Error(list)
	}
	if resp, _ := do(t, client(t, nil), request(t, http.MethodPost, s.url+"/a.txt", nil)); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
		t.Error(resp.Status)
	}
	if resp, _ := do(t, http.DefaultClient, request(t, http.MethodGet, s.url+"/a.txt", nil)); resp.StatusCode != http.StatusUnauthorized {
		t.Error(resp.Status)
	}
	http.DefaultClient.CloseIdleConnections()
}

// The answer to another server, for any method and path. It tells nobody who the user is but with 200.
func TestForwardAuth(t *testing.T) {
	s := start(t, new(Server))
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"} {
		resp, body := do(t, client(t, nil), request(t, method, s.url+"/any/path", nil))
		if h := resp.Header; resp.StatusCode != 200 || h.Get("X-Remote-User") != realUser || h.Get("X-Remote-User-Realm") != "NEGO.TEST" || h.Get("X-Remote-User-Local") != "user" || body != "" {
			t.Errorf("%s: %s %v %q", method, resp.Status, h, body)
		}
		req := request(t, method, s.url, nil)
		req.Header.Set("X-Remote-User", realUser)
		resp, _ = do(t, http.DefaultClient, req)
		if h := resp.Header; resp.StatusCode != 401 || h.Get("X-Remote-User") != "" || h.Get("WWW-Authenticate") != "Negotiate" {
			t.Errorf("%s: %s %v", method, resp.Status, h)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func sessions() *negotiate.Sessions {
	return &negotiate.Sessions{Keys: [][]byte{bytes.Repeat([]byte{7}, 32)}, BehindTLS: true}
}

// cookieOf is the session that a user gets.
func cookieOf(t *testing.T, req *http.Request) *http.Cookie {
	t.Helper()
	resp, _ := do(t, client(t, nil), req)
	for _, c := range resp.Cookies() {
		if c.Name == sessionCookie {
			return c
		}
	}
	t.Fatalf("no session: %s %v", resp.Status, resp.Header)
	return nil
}

// A session is for the host of its request, which a client says in X-Forwarded-Host only where it is told to be believed.
func TestForwardedHost(t *testing.T) {
	with := func(r *http.Request, c *http.Cookie, hosts ...string) *http.Request {
		r.Header["X-Forwarded-Host"] = hosts
		if c != nil {
			r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
		}
		return r
	}
	stranger := &http.Client{Transport: new(http.Transport)}
	defer stranger.CloseIdleConnections()
	trusting := start(t, &Server{Auth: &negotiate.Authenticator{Sessions: sessions()}, ForwardedHost: true})
	c := cookieOf(t, with(request(t, "GET", trusting.url, nil), nil, "a.example"))
	for _, v := range []struct {
		hosts  []string
		status int
	}{{[]string{"a.example"}, 200}, {[]string{"b.example"}, 401}, {nil, 400}, {[]string{""}, 400}, {[]string{"a.example", "b.example"}, 400}} {
		if resp, _ := do(t, stranger, with(request(t, "GET", trusting.url, nil), c, v.hosts...)); resp.StatusCode != v.status {
			t.Errorf("%q: %s", v.hosts, resp.Status)
		}
	}
	plain := start(t, &Server{Auth: &negotiate.Authenticator{Sessions: sessions()}})
	if resp, _ := do(t, stranger, with(request(t, "GET", plain.url, nil), c, "a.example")); resp.StatusCode != 401 {
		t.Errorf("a client moves its session to another host: %s", resp.Status)
	}
}

// The session is this server's: the upstream does not see it, and servers with the same key take it.
func TestSessionOfReplicas(t *testing.T) {
	cookies := make(chan []string, 2)
	up := upstream(t, func(_ http.ResponseWriter, r *http.Request) { cookies <- r.Header["Cookie"] })
	var all []*running
	for range 2 {
		all = append(all, start(t, &Server{Auth: &negotiate.Authenticator{Sessions: sessions()}, Upstream: up, BehindTLS: true}))
	}
	var session *http.Cookie
	for i, s := range all {
		req := request(t, "GET", s.url, nil)
		req.Host = "app.example"
		req.AddCookie(&http.Cookie{Name: "app", Value: "1"})
		if i == 0 {
			session = cookieOf(t, req)
		} else {
			req.AddCookie(&http.Cookie{Name: session.Name, Value: session.Value})
			if resp, body := do(t, &http.Client{Transport: new(http.Transport)}, req); resp.StatusCode != 200 {
				t.Error(resp.Status, body)
			}
		}
		if got := <-cookies; !slices.Equal(got, []string{"app=1"}) {
			t.Errorf("the upstream got %q", got)
		}
	}
	if lines := all[1].lines(); !strings.Contains(lines[0], " - "+realUser+" [") {
		t.Errorf("%q", lines)
	}
}

// Requests under way are finished, and those that do not end are cut.
func TestEnd(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		io.WriteString(w, "done")
	})
	for _, v := range []struct {
		grace    time.Duration
		finishes bool
	}{{patience, true}, {time.Millisecond, false}} {
		s := start(t, &Server{Upstream: up, Grace: v.grace})
		got := make(chan error, 1)
		req := request(t, "GET", s.url, nil)
		req.Header.Set("Authorization", token(t))
		go func() {
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err == nil {
				var body []byte
				body, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				if err == nil && string(body) != "done" {
					err = fmt.Errorf("%s %s", resp.Status, body)
				}
			}
			got <- err
		}()
		<-arrived
		s.end()
		if v.finishes {
			release <- struct{}{}
		}
		if err := <-got; (err == nil) != v.finishes {
			t.Errorf("grace %v: %v", v.grace, err)
		}
		s.wait()
		if c, err := new(http.Transport).RoundTrip(request(t, "GET", s.url, nil)); err == nil {
			t.Errorf("it still answers: %s", c.Status)
		}
	}
}

// tlsClient signs on over TLS, and trusts some certificates alone.
func tlsClient(t *testing.T, trusted ...*x509.Certificate) *http.Client {
	pool := x509.NewCertPool()
	for _, c := range trusted {
		pool.AddCert(c)
	}
	tr := &negotiate.Transport{
		Base:           &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true},
		ChannelBinding: negotiate.BindRequired,
	}
	t.Cleanup(tr.CloseIdleConnections)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: tr, Jar: jar}
}

// newCertificate makes one for localhost that signs itself, and its key, both PEM.
func newCertificate(t *testing.T) (cert, key []byte, leaf *x509.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}), leaf
}

// A new certificate is used when its files are there, and tokens are bound to the one that the client was shown. Files that
// do not fit leave the old one.
func TestCertificateChanges(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(c, k []byte) {
		for name, text := range map[string][]byte{cert: c, key: k} {
			if err := os.WriteFile(name+".new", text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(name+".new", name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := LoadCertificate(cert, key, nil); err == nil {
		t.Error("files that are not there were loaded")
	}
	cert1, key1, leaf1 := newCertificate(t)
	cert2, key2, leaf2 := newCertificate(t)
	write(cert1, key1)
	var told []error
	c, err := LoadCertificate(cert, key, func(err error) { told = append(told, err) })
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, &Server{Certificate: c, Auth: &negotiate.Authenticator{ChannelBinding: negotiate.BindRequired}})
	check := func(what string, leaf *x509.Certificate) {
		t.Helper()
		resp, _ := do(t, tlsClient(t, leaf), request(t, "GET", s.url, nil))
		if resp.StatusCode != 200 || resp.ProtoMajor != 2 || !negotiate.OutcomeOf(resp).ChannelBound {
			t.Errorf("%s: %s %s %+v", what, resp.Proto, resp.Status, negotiate.OutcomeOf(resp))
		}
	}
	check("the first", leaf1)
	write(cert2, key1)
	check("half of the second", leaf1)
	check("half of the second, again", leaf1)
	if c.mu.Lock(); len(told) != 1 {
		t.Errorf("told %q", told)
	}
	c.mu.Unlock()
	write(cert2, key2)
	check("the second", leaf2)
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	check("without a key", leaf2)
	if c.mu.Lock(); len(told) != 2 {
		t.Errorf("told %q", told)
	}
	c.mu.Unlock()
	u, _ := url.Parse(s.url)
	if conn, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
}

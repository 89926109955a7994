//go:build interop

package negotiate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

const realUser = "user@NEGO.TEST"

// The versions of HTTP that Apache speaks.
func versions(c *counted, httpURL, tlsURL string) map[string]struct {
	url   string
	base  *http.Transport
	major int
} {
	return map[string]struct {
		url   string
		base  *http.Transport
		major int
	}{
		"http":        {httpURL, c.Transport, 1},
		"https http1": {tlsURL, c.http1(), 1},
		"https http2": {tlsURL, c.Transport, 2},
	}
}

func TestInteropChallenge(t *testing.T) {
	s, c := apache(t, realm.Env())
	for version, v := range versions(c, s.URL, s.TLSURL) {
		for _, path := range []string{krb5Path, boundPath} {
			for _, mech := range []gssapi.OID{gssapi.SPNEGO, gssapi.KRB5} {
				t.Run(fmt.Sprintf("%s %s %s", version, path, mech), func(t *testing.T) {
					client := newClient(t, &Transport{Base: v.base, Mech: mech})
					opened := c.opened.Load()
					var port string
					for i := range 20 {
						req := newRequest(t, "GET", v.url+path, nil)
						if i%3 == 2 {
							req = newRequest(t, "POST", v.url+path, strings.NewReader("some text"))
						}
						resp, got := doAs(t, client, req, realUser)
						if port == "" {
							port = got.RemotePort
						}
						if resp.ProtoMajor != v.major || got.Mech != "Negotiate/krb5" || got.Method != req.Method || got.RemotePort != port {
							t.Errorf("%s, %+v", resp.Proto, got)
						}
						// A connection that is the user's asks no more.
						want := 1
						if path == boundPath && i > 0 && v.major == 1 {
							want = 0
						}
						if o := OutcomeOf(resp); o.Err != nil || o.Legs != want {
							t.Errorf("request %d: %+v", i, o)
						}
					}
					if n := c.opened.Load() - opened; n != 1 {
						t.Errorf("%d connections", n)
					}
				})
			}
		}
	}
}

// Every method goes through a challenge.
func TestInteropMethods(t *testing.T) {
	s, c := apache(t, realm.Env())
	client := newClient(t, &Transport{Base: c.Transport})
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"} {
		var body io.Reader
		if method != "GET" && method != "HEAD" {
			body = strings.NewReader("some text")
		}
		resp, text := do(t, client, newRequest(t, method, s.TLSURL+krb5Path, body))
		if resp.StatusCode != 200 || resp.Header.Get("X-Remote-User") != realUser || OutcomeOf(resp).Legs != 1 {
			t.Errorf("%s: %s, %+v", method, resp.Status, OutcomeOf(resp))
		}
		if method != "HEAD" && seen(t, text).Method != method {
			t.Errorf("%s: %s", method, text)
		}
	}
}

// hidden is a reader of which nothing but Read is known.
type hidden struct{ io.Reader }

const uploadBytes = 16 << 20

var large = sync.OnceValue(func() []byte { return generated(uploadBytes) })

// bodies are what a client can have to send, afresh each time.
func bodies(t testing.TB) (text []byte, all map[string]func() (body io.Reader, length int64)) {
	text = []byte(strings.Repeat("nego", 5000))
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, append([]byte("skipped"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	return text, map[string]func() (io.Reader, int64){
		"bytes":  func() (io.Reader, int64) { return bytes.NewReader(text), 0 },
		"string": func() (io.Reader, int64) { return strings.NewReader(string(text)), 0 },
		"buffer": func() (io.Reader, int64) { return bytes.NewBuffer(bytes.Clone(text)), 0 },
		"file from an offset": func() (io.Reader, int64) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Seek(int64(len("skipped")), io.SeekStart); err != nil {
				t.Fatal(err)
			}
			return f, int64(len(text))
		},
		"pipe": func() (io.Reader, int64) {
			r, w := io.Pipe()
			go func() {
				_, err := w.Write(text)
				w.CloseWithError(err)
			}()
			return r, -1
		},
		"one shot with length": func() (io.Reader, int64) { return hidden{bytes.NewReader(text)}, int64(len(text)) },
		"16 MiB chunked":       func() (io.Reader, int64) { return &flood{n: uploadBytes}, -1 },
		"16 MiB with length":   func() (io.Reader, int64) { return &flood{n: uploadBytes}, uploadBytes },
		"16 MiB bytes":         func() (io.Reader, int64) { return bytes.NewReader(large()), 0 },
	}
}

// newUpload is a request with one of bodies, and the hash that its server has to see.
func newUpload(t testing.TB, url, what string) (req *http.Request, length int64, sum string) {
	t.Helper()
	text, all := bodies(t)
	if strings.HasPrefix(what, "16 MiB") {
		text = large()
	}
	body, n := all[what]()
	req = newRequest(t, "POST", url, body)
	if n != 0 {
		req.ContentLength = n
	}
	hash := sha256.Sum256(text)
	return req, int64(len(text)), hex.EncodeToString(hash[:])
}

func TestInteropUpload(t *testing.T) {
	s, c := apache(t, realm.Env())
	_, all := bodies(t)
	for version, v := range versions(c, s.URL, s.TLSURL) {
		for what := range all {
			for _, path := range []string{krb5Path, boundPath} {
				if path == boundPath && v.major == 2 {
					continue // the same there: each request is asked
				}
				t.Run(version+" "+what+" "+path, func(t *testing.T) {
					client := newClient(t, &Transport{Base: v.base})
					if path == boundPath {
						getAs(t, client, v.url+path, realUser) // the connection is the user's
					}
					req, length, sum := newUpload(t, v.url+path, what)
					resp, got := doAs(t, client, req, realUser)
					if got.Body != length || got.SHA256 != sum || resp.ProtoMajor != v.major {
						t.Errorf("%d bytes of %d, %s", got.Body, length, resp.Proto)
					}
				})
			}
		}
	}
}

func TestInteropMutual(t *testing.T) {
	s, c := apache(t, realm.Env())
	for _, preempt := range []Preemption{PreemptAlways, PreemptRemember} {
		client := newClient(t, &Transport{Base: c.Transport, Mutual: MutualRequired, Preemptive: preempt})
		opened := c.opened.Load()
		for i := range 20 {
			resp, got := getAs(t, client, s.URL+boundPath, realUser)
			if o := OutcomeOf(resp); !o.Mutual || o.Legs != 1 || o.Err != nil || got.Authorization != "Negotiate" {
				t.Errorf("%s: request %d: %+v, %+v", preempt, i, o, got)
			}
		}
		if n := c.opened.Load() - opened; n != 1 {
			t.Errorf("%s: %d connections", preempt, n)
		}
	}

	// On challenge there is no proof where the server does not ask again.
	client := newClient(t, &Transport{Base: c.Transport, Mutual: MutualRequired})
	resp, _ := getAs(t, client, s.URL+boundPath, realUser)
	if !OutcomeOf(resp).Mutual {
		t.Errorf("%+v", OutcomeOf(resp))
	}
	_, err := client.Do(newRequest(t, "GET", s.URL+boundPath, nil))
	if !errors.Is(err, ErrMutual) || !strings.Contains(err.Error(), "PreemptAlways") {
		t.Errorf("%v", err)
	}
	// Where it does ask each time there is.
	for _, url := range []string{s.URL, s.TLSURL} {
		client := newClient(t, &Transport{Base: c.Transport, Mutual: MutualRequired})
		for range 3 {
			if resp, _ := getAs(t, client, url+krb5Path, realUser); !OutcomeOf(resp).Mutual {
				t.Errorf("%+v", OutcomeOf(resp))
			}
		}
	}
}

// A server that ties a user to a connection never takes another client for that user.
func TestInteropConnectionsAreOwn(t *testing.T) {
	s, c := apache(t, realm.Env())
	base := c.http1()
	t.Cleanup(base.CloseIdleConnections)
	ours := newClient(t, &Transport{Base: base})
	plain := &http.Client{Transport: base}
	if err := realm.AddUser("other", "other's password"); err != nil && !strings.Contains(err.Error(), "exists") {
		t.Fatal(err)
	}
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{
		Name: gssapi.Principal("other@NEGO.TEST"), Store: gssapi.Store{Password: "other's password"}})
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	other := newClient(t, &Transport{Base: base, Credential: cred})
	nobody := newClient(t, &Transport{Base: base, Allow: func(*url.URL) bool { return false }})
	for range 3 {
		for _, url := range []string{s.URL, s.TLSURL} {
			getAs(t, ours, url+boundPath, realUser)
			if resp, _ := get(t, plain, url+boundPath); resp.StatusCode != 401 {
				t.Errorf("a client without authentication was served as %s", resp.Header.Get("X-Remote-User"))
			}
			getAs(t, other, url+boundPath, "other@NEGO.TEST")
			if resp, _ := get(t, nobody, url+boundPath); resp.StatusCode != 401 {
				t.Errorf("a Transport without a token was served as %s", resp.Header.Get("X-Remote-User"))
			}
		}
	}
}

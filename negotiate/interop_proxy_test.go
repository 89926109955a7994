//go:build interop

package negotiate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/internal/peers"
	"github.com/nego-sso/nego/krbtest"
)

// through sets a proxy for everything, which net/http's ProxyFromEnvironment never does for loopback.
func through(base *http.Transport, p *peers.Proxy) *http.Transport {
	base = base.Clone()
	base.Proxy = http.ProxyURL(p.URL)
	return base
}

// askedBy counts the requests that a Squid has refused with 407.
func askedBy(p *peers.Proxy) int { return strings.Count(p.Log(), "TCP_DENIED/407") }

func TestInteropProxy(t *testing.T) {
	s, c := apache(t, realm.Env())
	for version, v := range versions(c, s.URL, s.TLSURL) {
		for _, path := range []string{openPath, krb5Path, boundPath} {
			for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
				t.Run(fmt.Sprintf("%s %s %s", version, path, preempt), func(t *testing.T) {
					p := peers.Squid(t, peers.SquidOptions{Env: realm.Env()})
					client := newClient(t, &Transport{Base: through(v.base, p), ProxyAuth: true, Preemptive: preempt})
					user := realUser
					if path == openPath {
						user = ""
					}
					for i := range 6 {
						req := newRequest(t, "GET", v.url+path, nil)
						length, sum := int64(0), ""
						if i%2 == 1 {
							what := []string{"bytes", "pipe", "one shot with length"}[i/2]
							req, length, sum = newUpload(t, v.url+path, what)
						}
						resp, got := doAs(t, client, req, user)
						if got.Body != length || sum != "" && got.SHA256 != sum || resp.ProtoMajor != v.major {
							t.Errorf("%d bytes of %d, %s", got.Body, length, resp.Proto)
						}
						if OutcomeOf(resp).Err != nil {
							t.Errorf("%+v", OutcomeOf(resp))
						}
					}
					// Squid logs a tunnel when it ends.
					client.CloseIdleConnections()
					waitFor(t, func() bool { return strings.Contains(p.Log(), " "+realUser+" HIER") }, "the proxy sees the user")
					// It is asked never for a tunnel, as the token goes first, and once for the rest.
					want := 0
					if version == "http" {
						want = 1
					}
					if n := askedBy(p); n != want {
						t.Errorf("asked %d times, want %d", n, want)
					}
				})
			}
		}
	}
}

// The first request may be one whose body can be sent only once.
func TestInteropProxyUpload(t *testing.T) {
	s, c := apache(t, realm.Env())
	p := peers.Squid(t, peers.SquidOptions{Env: realm.Env()})
	_, all := bodies(t)
	for version, v := range versions(c, s.URL, s.TLSURL) {
		for _, path := range []string{openPath, krb5Path} {
			for what := range all {
				t.Run(version+" "+path+" "+what, func(t *testing.T) {
					client := newClient(t, &Transport{Base: through(v.base, p), ProxyAuth: true})
					user := realUser
					if path == openPath {
						user = ""
					}
					var length int64
					var sum string
					resp := patiently(t, client, func() (req *http.Request) {
						req, length, sum = newUpload(t, v.url+path, what)
						return req
					})
					defer resp.Body.Close()
					var got peers.Request
					if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
						t.Fatalf("%s: %v", resp.Status, err)
					}
					if got.User != user || got.Body != length || got.SHA256 != sum {
						t.Errorf("as %s, %d bytes of %d", got.User, got.Body, length)
					}
				})
			}
		}
	}
}

// patiently sends a request until there is an answer of the origin. Where that asks in the middle of an upload and
// closes, it depends on what comes first whether Squid passes its answer on, or says 502, or nothing. Then nothing was
// served, and the caller knows.
func patiently(t *testing.T, c *http.Client, next func() *http.Request) *http.Response {
	t.Helper()
	for range 10 {
		resp, err := c.Do(next())
		switch {
		case err != nil:
			t.Log(err)
		case resp.StatusCode == http.StatusBadGateway:
			t.Log(resp.Status)
			resp.Body.Close()
		default:
			return resp
		}
	}
	t.Fatal("Squid has passed on no answer in ten tries")
	return nil
}

// The origin asks when a part of the body has been sent, through the proxy.
func TestInteropPoint12MidUpload(t *testing.T) {
	p := peers.Squid(t, peers.SquidOptions{Env: realm.Env()})
	a := new(Authenticator)
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.Header.Get("Authorization") == "" {
			_, _ = io.ReadFull(r.Body, make([]byte, 1<<20)) // which is what makes a server say 100
		}
		if _, err := a.Authenticate(w, r); err != nil {
			// With a text: net/http loses an answer without one if the connection breaks within 50 ms.
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, " ", err)
	})
	base := through(newCounted(t, nil).Transport, p)
	for range 2 {
		client := newClient(t, &Transport{Base: base, ProxyAuth: true})
		// What can be sent again is.
		read := func(next func() *http.Request) (*http.Response, string) {
			resp := patiently(t, client, next)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Log(err)
			}
			return resp, string(body)
		}
		resp, body := read(func() *http.Request { return newRequest(t, "POST", s.URL, bytes.NewReader(large())) })
		if resp.StatusCode != 200 || body != fmt.Sprint(uploadBytes, " <nil>") {
			t.Errorf("%s, %s, %+v", resp.Status, body, OutcomeOf(resp))
		}
		// What cannot ends with the 401.
		for _, length := range []int64{-1, uploadBytes} {
			resp, _ := read(func() *http.Request {
				req := newRequest(t, "POST", s.URL, hidden{&flood{n: uploadBytes}})
				req.ContentLength = length
				return req
			})
			if resp.StatusCode != 401 || !errors.Is(OutcomeOf(resp).Err, ErrBody) {
				t.Errorf("length %d: %s, %+v", length, resp.Status, OutcomeOf(resp))
			}
		}
		// The connection or another one serves the next request.
		resp, body = read(func() *http.Request { return newRequest(t, "POST", s.URL, strings.NewReader("some text")) })
		if resp.StatusCode != 200 || body != "9 <nil>" {
			t.Errorf("%s, %s, %+v", resp.Status, body, OutcomeOf(resp))
		}
	}
}

// Without ProxyAuth a proxy's refusal is as net/http has it.
func TestInteropProxyLeftAlone(t *testing.T) {
	s, c := apache(t, realm.Env())
	p := peers.Squid(t, peers.SquidOptions{Env: realm.Env()})
	client := newClient(t, &Transport{Base: through(c.Transport, p)})
	resp, body := get(t, client, s.URL+krb5Path)
	if resp.StatusCode != 407 || resp.Header.Get("Proxy-Authenticate") != "Negotiate" || body == "" || OutcomeOf(resp) != (Outcome{}) {
		t.Errorf("%s, %v, %+v", resp.Status, resp.Header, OutcomeOf(resp))
	}
	_, err := client.Do(newRequest(t, "GET", s.TLSURL+krb5Path, nil))
	if e := (*Error)(nil); err == nil || errors.As(err, &e) {
		t.Error(err)
	}
}

// A proxy that may not have a token, or does not take it, is named with the reason.
func TestInteropProxyRefuses(t *testing.T) {
	r := inRealm(t, &krbtest.Options{Users: []string{"alice"}, Services: []string{"HTTP/localhost"}}, nil)
	if r == nil {
		return
	}
	s, c := apache(t, r.Env())
	p := peers.Squid(t, peers.SquidOptions{Env: r.Env()})
	// One whose key is not that of the tickets for it.
	other := krbtest.Start(t, nil)
	stranger := peers.Squid(t, peers.SquidOptions{Env: other.Env()})

	check := func(t *testing.T, tr *Transport, p *peers.Proxy, reasons ...string) {
		t.Helper()
		client := newClient(t, tr)
		for _, u := range []string{s.URL, s.TLSURL} {
			for _, body := range []io.Reader{nil, strings.NewReader("text"), hidden{strings.NewReader("text")}} {
				var o Outcome
				req := newRequest(t, "POST", u+krb5Path, body)
				req = req.WithContext(WithOutcome(req.Context(), &o))
				resp, err := client.Do(req)
				if err == nil {
					text, errRead := io.ReadAll(resp.Body)
					resp.Body.Close()
					if resp.StatusCode != 407 || len(text) == 0 || errRead != nil || tr.Strict || u == s.TLSURL {
						t.Fatalf("%s: %s, %q, %v", u, resp.Status, text, errRead)
					}
					err = OutcomeOf(resp).Err
				}
				var e *Error
				if !errors.As(err, &e) || e.Op != authenticateProxy || e.Status != 407 || e.URL != p.URL.String() || !errors.As(o.Err, &e) {
					t.Fatalf("%s: %v, %+v", u, err, o)
				}
				for _, reason := range reasons {
					if !strings.Contains(err.Error(), reason) {
						t.Errorf("%s: %q is not in: %v", u, reason, err)
					}
				}
			}
		}
	}
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprintf("key strict %v", strict), func(t *testing.T) {
			check(t, &Transport{Base: through(c.Transport, stranger), ProxyAuth: true, Strict: strict}, stranger, "refused")
		})
	}
	setenv("KRB5CCNAME=FILE:/nonexistent/ccache")
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprintf("no ticket strict %v", strict), func(t *testing.T) {
			tr := &Transport{Base: through(c.Transport, p), ProxyAuth: true, Strict: strict}
			check(t, tr, p, "FILE:/nonexistent/ccache", "run kinit")
		})
	}
}

// A user and password in the proxy's URL, or a header field of the caller's, are the caller's own way.
func TestInteropProxyForeign(t *testing.T) {
	s, c := apache(t, realm.Env())
	p := peers.Squid(t, peers.SquidOptions{Env: realm.Env()})
	u := *p.URL
	u.User = url.UserPassword("alice", "secret")
	base := c.Transport.Clone()
	base.Proxy = http.ProxyURL(&u)
	var tokens int
	tr := &Transport{Base: base, ProxyAuth: true, Trace: &Trace{GSS: func(_ context.Context, i GSSInfo) { tokens++ }}}
	client := newClient(t, tr)
	if resp, _ := get(t, client, s.URL+openPath); resp.StatusCode != 407 {
		t.Error(resp.Status)
	}
	if _, err := client.Do(newRequest(t, "GET", s.TLSURL+openPath, nil)); err == nil {
		t.Error("no error")
	}
	if tokens != 0 {
		t.Errorf("%d tokens", tokens)
	}
}

// NTLM to the origin needs one connection all the way, also through a proxy that asks for itself: the client's to the
// proxy, and the proxy's to the origin, which Squid ties together.
func TestInteropProxyNTLM(t *testing.T) {
	r := inNTLM(t)
	if r == nil {
		return
	}
	s, c := apache(t, serverEnv())
	proxies := map[string]*peers.Proxy{
		"open":   peers.Squid(t, peers.SquidOptions{Open: true}),
		"asking": peers.Squid(t, peers.SquidOptions{Env: r.Env()}),
	}
	setenv("KRB5CCNAME=" + r.CCache)
	for name, p := range proxies {
		for _, u := range []string{s.URL, s.TLSURL} {
			for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
				t.Run(name+" "+u[:strings.Index(u, ":")]+" "+preempt.String(), func(t *testing.T) {
					steady(t, c, func() {
						tr := &Transport{Base: through(c.Transport, p), ProxyAuth: true, Preemptive: preempt,
							// With the ticket the proxy gets Kerberos; the origin would, too, by its own name.
							Target: func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", "unknown.nego.test") }}
						client := &http.Client{Transport: tr}
						opened := c.opened.Load()
						for i := range 6 {
							req, length := newRequest(t, "GET", u+ntlmPath, nil), int64(0)
							switch i % 3 {
							case 1:
								req, length, _ = newUpload(t, u+ntlmPath, "bytes")
							case 2:
								req, length, _ = newUpload(t, u+ntlmPath, "pipe")
							}
							resp, got := doAs(t, client, req, alice)
							if got.Mech != "Negotiate/NTLM" || got.Body != length || OutcomeOf(resp).Err != nil {
								t.Errorf("%d: %+v, %+v", i, got, OutcomeOf(resp))
							}
						}
						client.CloseIdleConnections()
						if n := c.opened.Load() - opened; n > 12 {
							t.Errorf("%d connections", n)
						}
					})
				})
			}
		}
	}
}

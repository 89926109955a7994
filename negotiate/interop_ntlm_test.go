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
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/internal/peers"
	"github.com/nego-sso/nego/krbtest"
)

const (
	alice = `DOM\alice`
	bob   = `DOM\bob`
)

// inNTLM runs the calling test in a child process in a realm with NTLM, and without a ticket: alice is the default
// user there.
func inNTLM(t *testing.T) *krbtest.Realm {
	t.Helper()
	return inRealm(t, nil, func(r *krbtest.Realm) []string {
		return append(peers.NTLM(t, t.TempDir(), "DOM:alice:secret", "DOM:bob:hidden"), "KRB5CCNAME=FILE:/nonexistent/ccache")
	})
}

// ntlmUser is a credential of one of them.
func ntlmUser(t *testing.T, name string) *gssapi.Credential {
	t.Helper()
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{
		Name: gssapi.User(name), Mechs: []gssapi.OID{gssapi.NTLMSSP}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cred.Close() })
	return cred
}

// serverEnv is the environment of a server in the same realm as this process.
func serverEnv() (env []string) {
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "KRB5") || strings.HasPrefix(kv, "GSS_") || strings.HasPrefix(kv, "NTLM_") {
			env = append(env, kv)
		}
	}
	return env
}

func TestInteropNTLM(t *testing.T) {
	if inNTLM(t) == nil {
		return
	}
	s, c := apache(t, serverEnv())
	for version, v := range versions(c, s.URL, s.TLSURL) {
		for _, preempt := range []Preemption{PreemptNever, PreemptRemember, PreemptAlways} {
			t.Run(fmt.Sprintf("%s %s", version, preempt), func(t *testing.T) {
				tr := &Transport{Base: v.base, Preemptive: preempt}
				client := newClient(t, tr)
				var port string
				for i := range 10 {
					req := newRequest(t, "GET", v.url+ntlmPath, nil)
					if i%3 == 1 {
						req = newRequest(t, "POST", v.url+ntlmPath, strings.NewReader("some text"))
					}
					resp, got := doAs(t, client, req, alice)
					if got.Mech != "Negotiate/NTLM" || resp.ProtoMajor != 1 {
						t.Errorf("%+v, %s", got, resp.Proto)
					}
					o := OutcomeOf(resp)
					if i == 0 {
						port = got.RemotePort
						if o.Legs < 2 || o.Err != nil {
							t.Errorf("%+v", o)
						}
					} else if got.RemotePort != port || o.Legs != 0 || o.Err != nil {
						t.Errorf("request %d on %s, not %s: %+v", i, got.RemotePort, port, o)
					}
				}
				if idleLanes(tr) != 1 {
					t.Errorf("%d lanes", idleLanes(tr))
				}
			})
		}
	}
}

// Bodies of every kind arrive whole through two legs.
func TestInteropNTLMUpload(t *testing.T) {
	if inNTLM(t) == nil {
		return
	}
	s, c := apache(t, serverEnv())
	_, all := bodies(t)
	for version, v := range versions(c, s.URL, s.TLSURL) {
		for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
			for what := range all {
				if strings.HasPrefix(what, "16 MiB") && (v.base != c.Transport || preempt != PreemptNever) {
					continue // once over http and once over https will do
				}
				t.Run(fmt.Sprintf("%s %s %s", version, preempt, what), func(t *testing.T) {
					tr := &Transport{Base: v.base, Preemptive: preempt}
					client := newClient(t, tr)
					for i := range 3 { // nothing is known of the server, then that it needs a lane, then there is one
						req, length, sum := newUpload(t, v.url+ntlmPath, what)
						if i == 1 {
							tr.CloseIdleConnections()
						}
						_, got := doAs(t, client, req, alice)
						if got.Body != length || got.SHA256 != sum {
							t.Errorf("%d: %d bytes of %d", i, got.Body, length)
						}
					}
				})
			}
		}
	}
}

// Many requests of two users at the same time: each is served as its own user.
func TestInteropNTLMParallel(t *testing.T) {
	if inNTLM(t) == nil {
		return
	}
	s, c := apache(t, serverEnv())
	creds := map[string]*gssapi.Credential{alice: ntlmUser(t, alice), bob: ntlmUser(t, bob)}
	for _, way := range []struct {
		name    string
		url     string
		preempt Preemption
	}{
		{"on challenge", s.URL, PreemptNever},
		{"preemptive", s.URL, PreemptAlways},
		{"https", s.TLSURL, PreemptRemember},
	} {
		t.Run(way.name, func(t *testing.T) {
			const parallel, rounds = 64, 4
			c.most.Store(0)
			steady(t, c, func() {
				clients := map[string]*http.Client{}
				for user, cred := range creds {
					clients[user] = &http.Client{Transport: &Transport{Base: c.Transport, Credential: cred, Preemptive: way.preempt}}
				}
				for round := range rounds {
					var all sync.WaitGroup
					for i := range parallel {
						user := alice
						if i%2 == 1 {
							user = bob
						}
						all.Go(func() {
							if err := exchangeAs(t, clients[user], way.url+ntlmPath, user, i); err != nil {
								t.Errorf("round %d, request %d: %v", round, i, err)
							}
						})
					}
					all.Wait()
				}
				for user, client := range clients {
					if n := idleLanes(client.Transport.(*Transport)); n == 0 || n > parallel/2 {
						t.Errorf("%d lanes of %s", n, user)
					}
					client.CloseIdleConnections()
					if n := idleLanes(client.Transport.(*Transport)); n != 0 {
						t.Errorf("%d lanes left", n)
					}
				}
			})
			// A request has one connection of the pool at first, and then a lane.
			if most := c.most.Load(); most > 2*parallel {
				t.Errorf("%d connections at once", most)
			}
			t.Logf("at most %d connections at once, %d opened in all", c.most.Load(), c.opened.Load())
		})
	}
}

// exchangeAs is one request of many, from any goroutine.
func exchangeAs(t *testing.T, client *http.Client, url, user string, i int) error {
	text := bytes.Repeat([]byte(user), i*100)
	var req *http.Request
	var err error
	if i%4 < 2 {
		text = nil
		req, err = http.NewRequestWithContext(t.Context(), "GET", url, nil)
	} else {
		req, err = http.NewRequestWithContext(t.Context(), "POST", url, bytes.NewReader(text))
	}
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != 200 {
		return fmt.Errorf("%s: %+v", resp.Status, OutcomeOf(resp))
	}
	got := seen(t, b.String())
	sum := sha256.Sum256(text)
	if got.User != user || got.SHA256 != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("as %q, want %q; %d bytes, want %d", got.User, user, got.Body, len(text))
	}
	return nil
}

// Two Transports over the same Base, and a client that authenticates nobody.
func TestInteropNTLMConnectionsAreOwn(t *testing.T) {
	if inNTLM(t) == nil {
		return
	}
	s, c := apache(t, serverEnv())
	first := newClient(t, &Transport{Base: c.Transport, Credential: ntlmUser(t, alice)})
	second := newClient(t, &Transport{Base: c.Transport, Credential: ntlmUser(t, bob)})
	plain := &http.Client{Transport: c.Transport}
	t.Cleanup(c.CloseIdleConnections)
	for range 3 {
		getAs(t, first, s.URL+ntlmPath, alice)
		getAs(t, second, s.URL+ntlmPath, bob)
		if resp, _ := get(t, plain, s.URL+ntlmPath); resp.StatusCode != 401 {
			t.Errorf("served as %s", resp.Header.Get("X-Remote-User"))
		}
	}
}

// Kerberos comes first; without a ticket SPNEGO falls to NTLM, and back when there is one.
func TestInteropNTLMFallback(t *testing.T) {
	r := inNTLM(t)
	if r == nil {
		return
	}
	setenv("KRB5CCNAME=FILE:" + t.TempDir() + "/ccache")
	s, c := apache(t, serverEnv())
	tr := &Transport{Base: c.Transport}
	client := newClient(t, tr)
	cache := os.Getenv("KRB5CCNAME")
	for round := range 3 {
		for range 3 {
			if resp, got := getAs(t, client, s.URL+ntlmPath, alice); got.Mech != "Negotiate/NTLM" {
				t.Errorf("round %d: %+v, %+v", round, got, OutcomeOf(resp))
			}
		}
		if err := r.Kinit(t.Context(), "user", cache); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if resp, got := getAs(t, client, s.URL+ntlmPath, realUser); got.Mech != "Negotiate/krb5" {
				t.Errorf("round %d: %+v, %+v", round, got, OutcomeOf(resp))
			}
		}
		if err := os.Remove(strings.TrimPrefix(cache, "FILE:")); err != nil {
			t.Fatal(err)
		}
	}
}

// A server that takes NTLM alone chooses it of what a token offers, Kerberos's first. What it answers is the same for a token that has
// a context from the beginning and for one that gets it only now.
func TestInteropNTLMInsteadOfATicket(t *testing.T) {
	if !inChild(t, localFiles()...) {
		return
	}
	r := inNTLM(t)
	cache := "FILE:" + t.TempDir() + "/ccache"
	setenv("KRB5CCNAME=" + cache)
	if err := r.Kinit(t.Context(), "user", cache); err != nil {
		t.Fatal(err)
	}
	env := slices.DeleteFunc(serverEnv(), func(kv string) bool { return strings.HasPrefix(kv, "KRB5_KTNAME=") })
	s, c := apache(t, env)
	run := func(version, url string, base *http.Transport) (told []string) {
		for _, preempt := range []Preemption{PreemptNever, PreemptRemember, PreemptAlways} {
			trace, events := recorder()
			tr := &Transport{Base: base, Preemptive: preempt, Trace: trace}
			for n := range 4 { // nothing is known of the server, then that it needs a lane, then there is one
				body := []io.Reader{nil, strings.NewReader("some text"), hidden{strings.NewReader("some text")}, nil}[n]
				req := newRequest(t, "POST", url+ntlmPath, body)
				if n == 2 {
					tr.CloseIdleConnections()
				}
				resp, text := do(t, &http.Client{Transport: tr}, req)
				o := OutcomeOf(resp)
				if resp.StatusCode != 200 || o.Err != nil || resp.ProtoMajor != 1 || n == 0 && o.Legs < 2 {
					t.Errorf("%s %s %d: %s, %+v", version, preempt, n, resp.Status, o)
					continue
				}
				got := seen(t, text)
				if got.User != alice || got.Mech != "Negotiate/NTLM" || body != nil && got.Body != 9 {
					t.Errorf("%s %s %d: %+v", version, preempt, n, got)
				}
				told = append(told, fmt.Sprintf("%s %d: %+v", preempt, n, o))
			}
			told = append(told, events()...)
			tr.CloseIdleConnections()
		}
		return told
	}
	for version, v := range versions(c, s.URL, s.TLSURL) {
		// Who has a file of a moment ago gets no snapshot of its ticket.
		if err := r.Kinit(t.Context(), "user", cache); err != nil {
			t.Fatal(err)
		}
		want := run(version, v.url, v.base)
		mustBeBare(t, gssapi.Service("HTTP", "localhost"), gssapi.Options{})
		if got := run(version, v.url, v.base); !slices.Equal(got, want) {
			t.Errorf("%s: %q\nat first:\n%q", version, got, want)
		}
	}
}

// A wrong password is the server's 401, and leaves no lane.
func TestInteropNTLMWrongPassword(t *testing.T) {
	if inRealm(t, nil, func(r *krbtest.Realm) []string {
		return append(peers.NTLM(t, t.TempDir(), "DOM:alice:wrong"), "KRB5CCNAME=FILE:/nonexistent/ccache")
	}) == nil {
		return
	}
	env := append(serverEnv(), peers.NTLM(t, t.TempDir(), "DOM:alice:secret")...)
	s, c := apache(t, env)
	steady(t, c, func() {
		for version, v := range versions(c, s.URL, s.TLSURL) {
			for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
				for _, order := range []string{"GGP", "PGP", "pGp"} { // p: a body that can be sent once
					tr := &Transport{Base: v.base, Preemptive: preempt}
					client := &http.Client{Transport: tr}
					for i, method := range order {
						req := newRequest(t, "GET", v.url+ntlmPath, nil)
						switch method {
						case 'P':
							req = newRequest(t, "POST", v.url+ntlmPath, strings.NewReader("some text"))
						case 'p':
							req = newRequest(t, "POST", v.url+ntlmPath, hidden{strings.NewReader("some text")})
							req.ContentLength = int64(i)*9 - 1
						}
						resp, body := do(t, client, req)
						o := OutcomeOf(resp)
						// Each attempt counts at the server, so there is one; where nothing was known of it, the first token
						// went out on another connection.
						if resp.StatusCode != 401 || !strings.Contains(body, "</html>") ||
							!errors.Is(o.Err, ErrRefused) || o.Legs < 2 || o.Legs > 3 {
							t.Errorf("%s %s %s, %d: %s, %q, %+v", version, preempt, order, i, resp.Status, body, o)
						}
					}
					if n := idleLanes(tr); n != 0 {
						t.Errorf("%d lanes", n)
					}
					client.CloseIdleConnections()
				}
			}
		}
	})
}

// A Base that is not net/http's cannot pin a connection.
func TestInteropNTLMForeignBase(t *testing.T) {
	if inNTLM(t) == nil {
		return
	}
	s, c := apache(t, serverEnv())
	t.Cleanup(c.CloseIdleConnections)
	client := &http.Client{Transport: &Transport{Base: roundTripper(c.RoundTrip)}}
	resp, _ := get(t, client, s.URL+ntlmPath)
	if err := OutcomeOf(resp).Err; resp.StatusCode != 401 || !errors.Is(err, ErrLegs) {
		t.Errorf("%s, %v", resp.Status, err)
	}
}

// A server that closes connections often makes handshakes begin anew, and one that always does has none.
func TestInteropNTLMClosingServer(t *testing.T) {
	if inNTLM(t) == nil {
		return
	}
	for directive, works := range map[string]bool{
		"KeepAlive Off": false,
		// It counts from the second request on a connection.
		"MaxKeepAliveRequests 1": true,
		"MaxKeepAliveRequests 2": true,
	} {
		s := peers.Apache(t, peers.ApacheOptions{Env: serverEnv(), Config: peers.Location(ntlmPath, peers.AuthNTLM) + directive + "\n"})
		c := newCounted(t, nil)
		steady(t, c, func() {
			for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
				tr := &Transport{Base: c.Transport, Preemptive: preempt}
				client := &http.Client{Transport: tr}
				for i := range 8 {
					req := newRequest(t, "GET", s.URL+ntlmPath, nil)
					if i%2 == 1 {
						req = newRequest(t, "POST", s.URL+ntlmPath, strings.NewReader("some text"))
					}
					opened := c.opened.Load()
					resp, body := do(t, client, req)
					o := OutcomeOf(resp)
					switch {
					case works && (resp.StatusCode != 200 || seen(t, body).User != alice):
						t.Errorf("%s, %s, %d: %s, %+v", directive, preempt, i, resp.Status, o)
					case !works && (resp.StatusCode != 401 || !errors.Is(o.Err, ErrLegs)):
						t.Errorf("%s, %s, %d: %s, %+v", directive, preempt, i, resp.Status, o)
					}
					if n := c.opened.Load() - opened; n > maxRestarts+3 {
						t.Errorf("%s, %s, %d: %d connections", directive, preempt, i, n)
					}
				}
				client.CloseIdleConnections()
			}
		})
	}
}

package negotiate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// trustForDelegation has the KDC say that a service may have users' tickets.
func trustForDelegation(t *testing.T, host string) {
	t.Helper()
	// KRB5_KDC_PROFILE is in the environment of the test's process.
	command(t, "kadmin.local", "-r", realm.Name, "-q", "modprinc +ok_as_delegate HTTP/"+host)
}

// delegate is a keeper that uses what it is given: it authenticates to itself as the user, and says as whom.
func delegate(t *testing.T, k *keeper) (used func() []string) {
	var mu sync.Mutex
	var names []string
	k.trusted = func(_ *gssapi.SecContext, cred *gssapi.Credential) {
		if cred == nil {
			return
		}
		defer cred.Close()
		sc := gssapi.NewInitiator(gssapi.Service("HTTP", "localhost"), &gssapi.Options{Credential: cred})
		defer sc.Close()
		token, err := sc.Step(t.Context(), nil)
		if err != nil {
			t.Error(err)
			return
		}
		onward := gssapi.NewAcceptor(nil)
		defer onward.Close()
		if _, err := onward.Step(t.Context(), token); err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		names = append(names, onward.Info().Initiator.String())
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		defer func() { names = nil }()
		return names
	}
}

// Each policy, with a service that the KDC trusts and one that it does not, with a ticket that can be forwarded and
// one that cannot: MIT krb5 leaves delegation out then, and says nothing.
func TestPoint10Delegation(t *testing.T) {
	trusted, other := newService(t), newService(t)
	trustForDelegation(t, trusted)
	file := filepath.Join(t.TempDir(), "keytab")
	name := fmt.Sprintf("dave%d", serial.Add(1))
	if err := realm.AddUser(name, "secret"); err != nil {
		t.Fatal(err)
	}
	if err := realm.AddToKeytab(file, name); err != nil {
		t.Fatal(err)
	}
	for _, forwardable := range []bool{true, false} {
		cache := "FILE:" + filepath.Join(t.TempDir(), "ccache")
		command(t, "kinit", map[bool]string{true: "-f", false: "-F"}[forwardable], "-c", cache, "-k", "-t", file, name)
		cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Store: gssapi.Store{CCache: cache}})
		if err != nil {
			t.Fatal(err)
		}
		defer cred.Close()
		for _, policy := range []Delegation{DelegateNever, DelegatePolicy, DelegateAlways} {
			for _, host := range []string{trusted, other} {
				for _, mech := range []gssapi.OID{gssapi.SPNEGO, gssapi.KRB5} {
					for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
						for _, mutual := range []Mutual{MutualDisabled, MutualRequired} {
							t.Run(fmt.Sprint("forwardable ", forwardable, policy, host == trusted, mech, preempt, mutual), func(t *testing.T) {
								k := newKeeper(t)
								used := delegate(t, k)
								tr := &Transport{Base: sendTo(k.Listener.Addr().String()), Credential: cred, Delegate: policy, Mech: mech, Preemptive: preempt, Mutual: mutual}
								defer tr.CloseIdleConnections()
								resp, body := get(t, &http.Client{Transport: tr}, "http://"+host+"/always")
								want := forwardable && (policy == DelegateAlways || policy == DelegatePolicy && host == trusted)
								o := OutcomeOf(resp)
								if body != name+"@NEGO.TEST" || o.Err != nil || o.Delegated != want || resp.Header.Get("X-Delegated") != fmt.Sprint(want) {
									t.Errorf("%s, %q, %+v, delegated %s, want %v", resp.Status, body, o, resp.Header.Get("X-Delegated"), want)
								}
								if l := used(); want != (len(l) == 1 && l[0] == name+"@NEGO.TEST") || !want && len(l) > 0 {
									t.Errorf("used for %v", l)
								}
							})
						}
					}
				}
			}
		}
	}
}

// A server that authenticates connections does not have the user's ticket for requests that were not to give it, nor
// is it without it for those that were.
func TestPoint10AllowDelegate(t *testing.T) {
	for _, cred := range []bool{false, true} {
		k := newKeeper(t)
		used := delegate(t, k)
		tr := &Transport{Delegate: DelegateAlways, AllowDelegate: func(u *url.URL) bool { return u.Path == "/yes" }}
		if cred {
			c, err := gssapi.Acquire(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			tr.Credential = c
		}
		client := &http.Client{Transport: tr}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 20 {
					path := []string{"/yes", "/no"}[i%2]
					resp, err := client.Get(k.URL + path)
					if err != nil {
						t.Error(err)
						return
					}
					b, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					if o := OutcomeOf(resp); string(b) != "user@NEGO.TEST" || resp.Header.Get("X-Delegated") != fmt.Sprint(path == "/yes") || o.Delegated && path == "/no" {
						t.Errorf("%s: %s, %q, delegated %s, %+v", path, resp.Status, b, resp.Header.Get("X-Delegated"), o)
					}
				}
			})
		}
		wg.Wait()
		if len(used()) == 0 {
			t.Error("nothing was delegated")
		}
		tr.CloseIdleConnections()
	}
}

// hopLog is what servers saw, in order: the host, and whether a token came with the request and the user's ticket is there.
type hopLog struct {
	mu   sync.Mutex
	seen []string
}

// newHop is a server for many hosts, which redirects to what the query says, if anything, once it knows the user.
func newHop(t *testing.T, secure bool, log *hopLog) *keeper {
	h := newUnstartedKeeper(t)
	serve := h.Config.Handler
	h.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &redirecting{ResponseWriter: w}
		if to := r.URL.Query().Get("to"); to != "" {
			rec.to = to
		}
		serve.ServeHTTP(rec, r)
		name, _, _ := strings.Cut(r.Host, ".")
		switch auth := r.Header.Get("Authorization"); {
		case strings.HasPrefix(auth, "Negotiate "):
			name += "+"
		case auth != "":
			name += "!"
		}
		if w.Header().Get("X-Delegated") == "true" {
			name += "d"
		}
		log.mu.Lock()
		log.seen = append(log.seen, name)
		log.mu.Unlock()
	})
	if secure {
		h.StartTLS()
	} else {
		h.Start()
	}
	return h
}

// redirecting turns the success of a request into a redirect.
type redirecting struct {
	http.ResponseWriter
	to   string
	done bool
}

func (r *redirecting) WriteHeader(status int) {
	r.done = true
	r.ResponseWriter.WriteHeader(status)
}

func (r *redirecting) Write(b []byte) (int, error) {
	if !r.done && r.to != "" {
		r.Header().Set("Location", r.to)
		r.WriteHeader(http.StatusTemporaryRedirect)
	}
	return r.ResponseWriter.Write(b)
}

func (h *hopLog) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() { h.seen = nil }()
	return strings.Join(h.seen, " ")
}

// chain makes the URL at which a chain of redirects begins.
func chain(urls ...string) string {
	for len(urls) > 1 {
		i := len(urls) - 1
		urls[i-1] += "?to=" + url.QueryEscape(urls[i])
		urls = urls[:i]
	}
	return urls[0]
}

// Each hop authenticates for itself, with what it may have.
func TestPoint10Redirects(t *testing.T) {
	var log hopLog
	plain, secure := newHop(t, false, &log), newHop(t, true, &log)
	a, b := newService(t), newService(t)
	A, B := strings.Split(a, ".")[0], strings.Split(b, ".")[0]
	httpA, httpB, httpsA, httpsB := "http://"+a, "http://"+b, "https://"+a, "https://"+b
	fixed := func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", a) }
	base := func() *http.Transport {
		tr := sendTo("")
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			to := plain.Listener.Addr().String()
			if strings.HasSuffix(addr, ":443") {
				to = secure.Listener.Addr().String()
			}
			return new(net.Dialer).DialContext(ctx, network, to)
		}
		return tr
	}
	for _, c := range []struct {
		name   string
		tr     *Transport
		chain  []string
		want   string // hosts, in order; + with a token, d delegated, ! with another Authorization
		status int
		err    error
	}{
		{"A to B to B", &Transport{}, []string{httpA, httpB, httpB + "/2"}, "A A+ B B+ B", 200, nil},
		{"A to B to B, ahead", &Transport{Preemptive: PreemptAlways}, []string{httpA, httpB, httpB + "/2"}, "A+ B+ B+", 200, nil},
		{"A to B to A", &Transport{}, []string{httpA, httpB, httpA}, "A A+ B B+ A", 200, nil},
		{"https, http, http", &Transport{}, []string{httpsA, httpA, httpA + "/2"}, "A A+ A", 401, ErrNotAllowed},
		{"https, http, http, ahead", &Transport{Preemptive: PreemptAlways}, []string{httpsA, httpA}, "A+ A", 401, ErrNotAllowed},
		{"https, https", &Transport{}, []string{httpsA, httpsB}, "A A+ B B+", 200, nil},
		{"http, https", &Transport{}, []string{httpA, httpsA}, "A A+ A A+", 200, nil},
		{"fixed target", &Transport{Target: fixed}, []string{httpA, httpB}, "A A+ B", 401, ErrNotAllowed},
		{"fixed target, ahead", &Transport{Target: fixed, Preemptive: PreemptAlways}, []string{httpA, httpB}, "A+ B", 401, ErrNotAllowed},
		{"fixed target, same host", &Transport{Target: fixed}, []string{httpA, httpsA}, "A A+ A A+", 200, nil},
		{"delegation, same host", &Transport{Delegate: DelegateAlways}, []string{httpA, httpA + "/2", httpsA}, "A A+d Ad A A+d", 200, nil},
		{"delegation, other host", &Transport{Delegate: DelegateAlways}, []string{httpA, httpB}, "A A+d B B+", 200, nil},
		{"delegation, there and back", &Transport{Delegate: DelegateAlways}, []string{httpA, httpB, httpA}, "A A+d B B+ A A+", 200, nil},
		{"delegation, other host, allowed", &Transport{Delegate: DelegateAlways, AllowDelegate: func(u *url.URL) bool { return u.Hostname() == b }}, []string{httpA, httpB}, "A A+ B B+d", 200, nil},
		{"not allowed", &Transport{Allow: func(u *url.URL) bool { return u.Hostname() == a }}, []string{httpA, httpB}, "A A+ B", 401, ErrNotAllowed},
		{"userinfo", &Transport{}, []string{httpA, strings.Replace(httpB, "//", "//alice:secret@", 1)}, "A A+ B!", 401, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.tr.Base = base()
			defer c.tr.CloseIdleConnections()
			req := newRequest(t, "GET", chain(append([]string(nil), c.chain...)...), nil)
			resp, body := do(t, &http.Client{Transport: c.tr}, req)
			o := OutcomeOf(resp)
			if resp.StatusCode != c.status || !errors.Is(o.Err, c.err) {
				t.Errorf("%s, %q, %+v", resp.Status, body, o)
			}
			want := strings.NewReplacer("A", A, "B", B).Replace(c.want)
			if got := log.take(); got != want {
				t.Errorf("requests %q, want %q", got, want)
			}
		})
	}
}

// An Authorization of the caller's goes with redirects to the same host, as net/http has it, and is left alone there; it
// does not go to another one, which is ours to authenticate to.
func TestPoint13ForeignAuthorizationAndRedirects(t *testing.T) {
	var got []string
	var mu sync.Mutex
	var a Authenticator
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		mu.Lock()
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got = append(got, r.Host+" "+scheme)
		mu.Unlock()
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
			return
		}
		if scheme == "Bearer" {
			return
		}
		if _, err := a.Authenticate(w, r); err != nil {
			w.WriteHeader(401)
		}
	})
	x, y := newService(t), newService(t)
	for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
		tr := &Transport{Base: sendTo(s.Listener.Addr().String()), Preemptive: preempt}
		for _, c := range []struct {
			chain []string
			want  string
		}{
			{[]string{"http://" + x, "http://" + x + "/2"}, "x Bearer,x Bearer"},
			{[]string{"http://" + x, "http://" + y}, map[Preemption]string{PreemptNever: "x Bearer,y ,y Negotiate", PreemptAlways: "x Bearer,y Negotiate"}[preempt]},
		} {
			got = nil
			req := newRequest(t, "GET", chain(c.chain...), nil)
			req.Header.Set("Authorization", "Bearer abc")
			resp, _ := do(t, &http.Client{Transport: tr}, req)
			if s := strings.NewReplacer(x, "x", y, "y").Replace(strings.Join(got, ",")); resp.StatusCode != 200 || s != c.want {
				t.Errorf("%s, %q, want %q", resp.Status, s, c.want)
			}
		}
		tr.CloseIdleConnections()
	}
}

package negotiate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

const usersVariable = "NEGOTIATE_TEST_USERS"

// users are two in a child process that has a ticket cache of its own, in a file.
type users struct {
	keytab     string
	cache      string // file
	alice, bob string // principals
}

// inChildOfUsers runs the calling test in such a process.
func inChildOfUsers(t *testing.T) (u users, child bool) {
	t.Helper()
	if os.Getenv(childVariable) != "" {
		f := strings.Split(os.Getenv(usersVariable), " ")
		u = users{f[0], f[1], f[2], f[3]}
		return u, inChild(t)
	}
	n, dir := serial.Add(1), t.TempDir()
	u = users{filepath.Join(dir, "keytab"), filepath.Join(dir, "ccache"), fmt.Sprintf("alice%d@%s", n, realm.Name), fmt.Sprintf("bob%d@%s", n, realm.Name)}
	for _, name := range []string{u.alice, u.bob} {
		if err := realm.AddUser(name, "secret"); err != nil {
			t.Fatal(err)
		}
		if err := realm.AddToKeytab(u.keytab, name); err != nil {
			t.Fatal(err)
		}
	}
	env := strings.Join([]string{u.keytab, u.cache, u.alice, u.bob}, " ")
	return u, inChild(t, "KRB5CCNAME=FILE:"+u.cache, usersVariable+"="+env)
}

// kinit makes somebody the user, in place.
func (u *users) kinit(t testing.TB, name string) { u.kinitInto(t, u.cache, name) }

func (u *users) kinitInto(t testing.TB, file, name string) {
	t.Helper()
	command(t, "kinit", "-c", "FILE:"+file, "-k", "-t", u.keytab, name)
}

// prepare gets tickets for both that become goes between at once.
func (u *users) prepare(t testing.TB) {
	u.kinitInto(t, u.cache+".alice", u.alice)
	u.kinitInto(t, u.cache+".bob", u.bob)
}

func (u *users) become(t testing.TB, name string) {
	t.Helper()
	from := u.cache + ".alice"
	if name == u.bob {
		from = u.cache + ".bob"
	}
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(u.cache+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(u.cache+".new", u.cache); err != nil {
		t.Fatal(err)
	}
}

// A program that runs sees the next kinit, on connections that belong to the user before too.
func TestPoint8Kinit(t *testing.T) {
	u, child := inChildOfUsers(t)
	if !child {
		return
	}
	for _, preempt := range []Preemption{PreemptNever, PreemptRemember, PreemptAlways} {
		for _, mutual := range []Mutual{MutualDisabled, MutualOptional} {
			t.Run(fmt.Sprint(preempt, mutual), func(t *testing.T) {
				k := newSecureKeeper(t, mutual == MutualDisabled)
				k.show(&certificates(t)[0].cert, 0)
				tr := &Transport{Base: sendTo(k.Listener.Addr().String()), Preemptive: preempt, Mutual: mutual}
				client := &http.Client{Transport: tr}
				for i := range 4 {
					name := []string{u.alice, u.bob}[i%2]
					u.kinit(t, name)
					for range 3 {
						if resp, body := get(t, client, k.URL); body != name {
							t.Errorf("%s, %q, want %s, %+v", resp.Status, body, name, OutcomeOf(resp))
						}
					}
					waitFor(t, func() bool { n := k.users(); return len(n) == 1 && n[name] == 1 }, "connections of "+name+" alone")
				}
				command(t, "kdestroy")
				for range 2 {
					resp, body := get(t, client, k.URL)
					if resp.StatusCode != 401 || body != "who are you?" || !errors.Is(OutcomeOf(resp).Err, gssapi.ErrNoCred) {
						t.Errorf("without a cache: %s, %q, %+v", resp.Status, body, OutcomeOf(resp))
					}
				}
				waitFor(t, func() bool { n := k.users(); return len(n) == 1 && n[""] == 1 }, "connections of nobody alone")
				tr.CloseIdleConnections()
			})
		}
	}
}

// The user changes between the moment at which the connections are chosen and that at which the token is made,
// or right after it.
func TestPoint8ChangeBesideAToken(t *testing.T) {
	u, child := inChildOfUsers(t)
	if !child {
		return
	}
	u.prepare(t)
	for _, mutual := range []Mutual{MutualDisabled, MutualOptional, MutualRequired} {
		for _, mech := range []gssapi.OID{gssapi.SPNEGO, gssapi.KRB5} {
			for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
				// After the first token, as nobody knew whose connection it was before.
				t.Run(fmt.Sprint("first ", mutual, mech, preempt), func(t *testing.T) {
					u.become(t, u.alice)
					k := newKeeper(t)
					var once sync.Once
					trace := &Trace{GSS: func(context.Context, GSSInfo) { once.Do(func() { u.become(t, u.bob) }) }}
					tr := &Transport{Mutual: mutual, Mech: mech, Preemptive: preempt, Trace: trace}
					defer tr.CloseIdleConnections()
					resp, body := get(t, &http.Client{Transport: tr}, k.URL)
					if body != u.alice && body != u.bob {
						t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
					}
					for _, path := range []string{"/", "/always", "/"} {
						if mutual == MutualRequired {
							path = "/always" // no response is believed without a token
						}
						if resp, body := get(t, &http.Client{Transport: tr}, k.URL+path); body != u.bob {
							t.Errorf("then %s, %q, %+v", resp.Status, body, OutcomeOf(resp))
						}
					}
				})
				// There and back.
				t.Run(fmt.Sprint("back ", mutual, mech, preempt), func(t *testing.T) {
					u.become(t, u.alice)
					k := newKeeper(t)
					var flip atomic.Bool
					tr := &Transport{Mutual: mutual, Mech: mech, Preemptive: preempt}
					// When there is a challenge the connections have been chosen.
					tr.Trace = &Trace{GSS: func(context.Context, GSSInfo) {
						if flip.CompareAndSwap(true, false) {
							u.become(t, u.alice)
						}
					}, Challenge: func(_ context.Context, i ChallengeInfo) {
						if strings.HasSuffix(i.URL, "/always") && i.Legs == 0 {
							u.become(t, u.bob)
							flip.Store(true)
						}
					}}
					if preempt != PreemptNever {
						tr.Preemptive = PreemptNever // the token answers a challenge, with bindings or without
						tr.ChannelBinding = BindIfTLS
					}
					defer tr.CloseIdleConnections()
					client := &http.Client{Transport: tr}
					if resp, body := get(t, client, k.URL+"/first"); body != u.alice {
						t.Fatalf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
					}
					for range 3 {
						if resp, body := get(t, client, k.URL+"/always"); body != u.alice && body != u.bob {
							t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
						}
						if mutual == MutualRequired {
							continue
						}
						// Nobody but alice is the user now.
						if resp, body := get(t, client, k.URL); body != u.alice {
							t.Errorf("then %s, %q, %+v", resp.Status, body, OutcomeOf(resp))
						}
					}
				})
			}
		}
	}
}

// The same for a server that does not prove itself, so that nobody hears later for whom the token was.
func TestPoint8ChangeWithoutProof(t *testing.T) {
	u, child := inChildOfUsers(t)
	if !child {
		return
	}
	u.prepare(t)
	for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
		u.become(t, u.alice)
		k := newKeeper(t)
		k.mute = true
		var once sync.Once
		trace := &Trace{GSS: func(context.Context, GSSInfo) { once.Do(func() { u.become(t, u.bob) }) }}
		tr := &Transport{Mutual: MutualOptional, Preemptive: preempt, Trace: trace}
		for i := range 3 {
			// Who was the user when the first token was made is its user.
			if resp, body := get(t, &http.Client{Transport: tr}, k.URL); body != u.bob && (i > 0 || body != u.alice) {
				t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
			}
		}
		tr.CloseIdleConnections()
	}
}

// The user changes to and fro around a token, while others of the user's requests are on the connections. Nobody but the
// request itself is answered as the other one, who was the user when its token was made.
func TestPoint8ToAndFro(t *testing.T) {
	u, child := inChildOfUsers(t)
	if !child {
		return
	}
	f := fro{users: u, kdc: beforeTheKDC(t)}
	u.prepare(t)
	for _, f.over = range []string{"HTTP/1.1", "HTTP/2.0", "lane"} {
		for _, f.lost = range either([]bool{false, true}, []bool{false}) { // Heimdal makes no token then
			for _, f.mute = range []bool{false, true} {
				for _, mutual := range []Mutual{MutualDisabled, MutualOptional, MutualRequired} {
					if f.mute && mutual == MutualRequired {
						continue // no response is believed
					}
					for _, binding := range []Binding{BindNever, BindIfTLS} {
						f := f // the relay may still ask the one before
						t.Run(fmt.Sprint(f.over, " lost ", f.lost, " mute ", f.mute, mutual, binding), func(t *testing.T) {
							f.run(t, &Transport{Mutual: mutual, ChannelBinding: binding})
						})
					}
				}
			}
		}
	}
}

// beforeTheKDC puts a relay before the KDC of a child process, whose library has not read krb5.conf yet.
func beforeTheKDC(t *testing.T) *relay {
	t.Helper()
	b, err := os.ReadFile(os.Getenv("KRB5_CONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\tkdc = ")
	addr, _, found := strings.Cut(rest, "\n")
	if !found {
		t.Fatal("krb5.conf has no KDC")
	}
	r, conf := newRelay(t, addr), filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(conf, []byte(strings.Replace(string(b), addr, r.addr, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KRB5_CONFIG", conf)
	return r
}

// fro is one change to and fro.
type fro struct {
	users
	kdc  *relay
	over string
	lost bool // the ticket is not in the cache any more when the token is made
	mute bool // the server does not prove itself, so that nobody hears later for whom the token was
}

func (f *fro) run(t *testing.T, tr *Transport) {
	k := newUnstartedKeeper(t)
	k.EnableHTTP2, k.mute = f.over != "HTTP/1.1", f.mute
	held, release := make(chan struct{}), make(chan struct{})
	serve := k.Config.Handler
	k.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serve.ServeHTTP(w, r)
		if r.URL.RawQuery == "hold" && r.Header.Get(replyHeader) != "" {
			held <- struct{}{}
			<-release
		}
	})
	k.StartTLS()
	var flip atomic.Bool
	tr.Base = sendTo(k.Listener.Addr().String())
	tr.Trace = &Trace{Challenge: func(_ context.Context, i ChallengeInfo) {
		if i.URL == "https://localhost/always" && flip.Load() {
			f.become(t, f.bob)
			f.kdc.set(func(answer []byte) ([]byte, bool) {
				if f.lost {
					os.Remove(f.cache)
				}
				return answer, true
			})
		}
	}, GSS: func(context.Context, GSSInfo) {
		if flip.CompareAndSwap(true, false) {
			f.kdc.set(faithful)
			f.become(t, f.alice)
		}
	}}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	f.become(t, f.alice)
	// No proof comes with a response to a request without a token.
	path := map[bool]string{false: "", true: "always"}[tr.Mutual == MutualRequired]
	for range 3 {
		if resp, body := get(t, client, "https://localhost/"+path); body != f.alice || k.EnableHTTP2 != (resp.ProtoMajor == 2) {
			t.Fatalf("%s, %q, %s, %+v", resp.Status, body, resp.Proto, OutcomeOf(resp))
		}
	}
	if n := k.opened.Load(); n != 1 {
		t.Errorf("%d connections before anything happens", n)
	}
	if f.over == "lane" {
		tr.pools().origins.learn("https://localhost:443", func(o *origin) { o.lanes = true })
	}
	flip.Store(true)
	first := make(chan string, 1)
	go func() {
		method := map[bool]string{false: "GET", true: "HEAD"}[f.mute]
		resp, err := client.Do(newRequest(t, method, "https://localhost/always?hold", nil))
		if err != nil {
			first <- err.Error()
			return
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		first <- fmt.Sprintf("%s %s %v %v", resp.Status, b, err, OutcomeOf(resp).Err)
	}()
	select {
	case <-held:
	case s := <-first:
		t.Fatal(s)
	}
	for range 2 {
		if resp, body := get(t, client, "https://localhost/"+path); body != f.alice {
			t.Errorf("meanwhile %s, %q, %+v", resp.Status, body, OutcomeOf(resp))
		}
	}
	close(release)
	if s := <-first; s != "200 OK "+f.bob+" <nil> <nil>" && (s != "200 OK  <nil> <nil>" || !f.mute) {
		t.Error(s)
	}
	for range 2 {
		if resp, body := get(t, client, "https://localhost/"+path); body != f.alice {
			t.Errorf("then %s, %q, %+v", resp.Status, body, OutcomeOf(resp))
		}
	}
	waitFor(t, func() bool { return k.users()[f.bob] == 0 }, "no connections of "+f.bob)
}

// A token says for whom it is, so it moves to that user's connections, and there is no second one.
func TestPoint8TokenMoves(t *testing.T) {
	u, child := inChildOfUsers(t)
	if !child {
		return
	}
	u.prepare(t)
	u.become(t, u.alice)
	k := newKeeper(t)
	var made atomic.Int64
	tr := &Transport{Trace: &Trace{
		GSS:       func(context.Context, GSSInfo) { made.Add(1) },
		Challenge: func(context.Context, ChallengeInfo) { u.become(t, u.bob) },
	}}
	defer tr.CloseIdleConnections()
	for i, path := range []string{"/", "/always", "/always"} {
		u.become(t, u.alice)
		if resp, body := get(t, &http.Client{Transport: tr}, k.URL+path); body != u.bob || OutcomeOf(resp).Legs != 1 || made.Load() != int64(i+1) {
			t.Errorf("%s, %q, %d tokens, %+v", resp.Status, body, made.Load(), OutcomeOf(resp))
		}
	}
}

// A request that is given up while the user is looked up says nothing about the user.
func TestPoint8CancelledLookUp(t *testing.T) {
	for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
		k := newKeeper(t)
		var cancel atomic.Pointer[context.CancelFunc]
		tr := &Transport{Preemptive: preempt, Mutual: MutualOptional, Trace: &Trace{GSS: func(context.Context, GSSInfo) {
			if c := cancel.Swap(nil); c != nil {
				(*c)()
			}
		}}}
		client := &http.Client{Transport: tr}
		for _, first := range []bool{true, false} {
			if !first {
				if _, body := get(t, client, k.URL); body != "user@NEGO.TEST" {
					t.Fatal(body)
				}
			}
			ctx, stop := context.WithCancel(t.Context())
			cancel.Store(&stop)
			if _, err := client.Do(newRequest(t, "GET", k.URL+"/always", nil).WithContext(ctx)); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			stop()
			for id := range tr.pools().byID {
				if id.user == nobody {
					t.Error("connections of nobody")
				}
			}
		}
		if resp, body := get(t, client, k.URL); body != "user@NEGO.TEST" || OutcomeOf(resp).Err != nil {
			t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
		}
		tr.CloseIdleConnections()
	}
}

// A response that is still being read when the user changes is the former one's, and its connection closes behind it.
func TestPoint8ResponseOfAFormerUser(t *testing.T) {
	u, child := inChildOfUsers(t)
	if !child {
		return
	}
	u.prepare(t)
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint(http2), func(t *testing.T) {
			k := newUnstartedKeeper(t)
			k.EnableHTTP2 = http2
			release := make(chan struct{})
			serve := k.Config.Handler
			k.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				serve.ServeHTTP(w, r)
				if r.URL.Path == "/slow" && r.Header.Get("Authorization") != "" {
					w.(http.Flusher).Flush()
					<-release
					io.WriteString(w, " to the end")
				}
			})
			k.StartTLS()
			tr := &Transport{Base: sendTo(k.Listener.Addr().String())}
			defer tr.CloseIdleConnections()
			client := &http.Client{Transport: tr}
			u.become(t, u.alice)
			slow, err := client.Do(newRequest(t, "GET", "https://localhost/slow", nil))
			if err != nil {
				t.Fatal(err)
			}
			u.become(t, u.bob)
			if resp, body := get(t, client, "https://localhost/"); body != u.bob {
				t.Errorf("%s, %q", resp.Status, body)
			}
			if n := k.users(); n[u.alice] != 1 || n[u.bob] != 1 {
				t.Errorf("connections %v", n)
			}
			close(release)
			b, err := io.ReadAll(slow.Body)
			if string(b) != u.alice+" to the end" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
			slow.Body.Close()
			waitFor(t, func() bool { return k.users()[u.alice] == 0 }, "no connection of the former user")
			if resp, body := get(t, client, "https://localhost/"); body != u.bob || OutcomeOf(resp).Legs != 0 {
				t.Errorf("%s, %q", resp.Status, body)
			}
		})
	}
}

// history is who was the user when.
type history struct {
	mu     sync.Mutex
	epochs []epoch
}

type epoch struct {
	from  time.Time
	users []string
}

func (h *history) begin(users ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.epochs = append(h.epochs, epoch{time.Now(), users})
}

// between are those who were the user at any time from start to end.
func (h *history) between(start, end time.Time) (l []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, e := range h.epochs {
		if e.from.After(end) || i+1 < len(h.epochs) && h.epochs[i+1].from.Before(start) {
			continue
		}
		l = append(l, e.users...)
	}
	return l
}

// Two users take turns while many requests run: none is served as one who was not the user while it ran.
func TestPoint8TwoUsersTakeTurns(t *testing.T) {
	u, child := inChildOfUsers(t)
	if !child {
		return
	}
	const workers = 16
	u.prepare(t)
	for _, c := range []struct {
		name   string
		tr     *Transport
		path   string // of each tenth request
		enough int64  // requests served
	}{
		{"kinit", &Transport{}, "/", 1000},
		{"kinit, mutual", &Transport{Mutual: MutualOptional}, "/always", 1000},
		{"rename, preemptive", &Transport{Preemptive: PreemptAlways}, "/", 250},
		{"rename", &Transport{}, "/always", 250},
	} {
		t.Run(c.name, func(t *testing.T) {
			u.become(t, u.alice)
			k := newKeeper(t)
			client := &http.Client{Transport: c.tr}
			var h history
			h.begin(u.alice)
			stop, flipped := make(chan struct{}), make(chan int)
			go func() {
				now, n := u.alice, 0
				defer func() { flipped <- n }()
				for {
					next := u.bob
					if now == u.bob {
						next = u.alice
					}
					h.begin(now, next)
					if strings.HasPrefix(c.name, "kinit") {
						u.kinit(t, next)
					} else {
						u.become(t, next)
					}
					h.begin(next)
					now = next
					n++
					select {
					case <-stop:
						return
					case <-time.After(time.Duration(n%7) * time.Millisecond):
					}
				}
			}()
			var next, served, wrong atomic.Int64
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					// How many are refused, because the user changed while they ran, depends on the machine.
					for i := next.Add(1); served.Load() < c.enough && i <= 50*c.enough; i = next.Add(1) {
						path := "/"
						if i%10 == 0 {
							path = c.path
						}
						start := time.Now()
						resp, err := client.Get(k.URL + path)
						if err != nil {
							t.Error(err)
							return
						}
						b, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						end := time.Now()
						if err != nil {
							t.Error(err)
						}
						if resp.StatusCode != 200 {
							// While kinit writes it there is no cache, or one without a ticket.
							if o := OutcomeOf(resp); o.Err == nil {
								t.Errorf("%s without a reason: %+v", resp.Status, o)
							}
							continue
						}
						served.Add(1)
						if l := h.between(start, end); !slices.Contains(l, string(b)) {
							wrong.Add(1)
							t.Errorf("served as %s, while the user was %s", b, l)
						}
					}
				})
			}
			wg.Wait()
			close(stop)
			n := <-flipped
			t.Logf("%d of %d requests were served, %d as somebody else, %d changes, %d connections", served.Load(), next.Load(), wrong.Load(), n, k.opened.Load())
			if served.Load() < c.enough {
				t.Errorf("only %d requests were served", served.Load())
			}
			// Whoever is not the user any more has no connections.
			for _, name := range []string{u.alice, u.bob} {
				u.become(t, name)
				get(t, client, k.URL+"/always")
				waitFor(t, func() bool { n := k.users(); return n[u.alice]+n[u.bob] == n[name] }, "connections of "+name+" alone")
			}
			c.tr.CloseIdleConnections()
			waitFor(t, func() bool { return len(k.users()) == 0 }, "no connections")
		})
	}
}

// Two Transports have their own credentials, and whatever the default is does not matter to them.
func TestPoint8ExplicitCredentials(t *testing.T) {
	k := newKeeper(t)
	var wg sync.WaitGroup
	for range 2 {
		name := fmt.Sprintf("carol%d", serial.Add(1))
		if err := realm.AddUser(name, "secret"); err != nil {
			t.Fatal(err)
		}
		cache := "FILE:" + filepath.Join(t.TempDir(), "ccache")
		if err := realm.Kinit(t.Context(), name, cache); err != nil {
			t.Fatal(err)
		}
		cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Store: gssapi.Store{CCache: cache}})
		if err != nil {
			t.Fatal(err)
		}
		defer cred.Close()
		tr := &Transport{Credential: cred}
		defer tr.CloseIdleConnections()
		for range 8 {
			wg.Go(func() {
				for range 20 {
					resp, err := (&http.Client{Transport: tr}).Get(k.URL)
					if err != nil {
						t.Error(err)
						return
					}
					b, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					if string(b) != name+"@NEGO.TEST" {
						t.Errorf("%s as %s", name, b)
					}
				}
			})
		}
	}
	wg.Wait()
}

// Requests that may have no token, and those that the caller authenticates, go on no connection that a token was
// sent on. The two share none either.
func TestPoint8RequestsThatAreNotOurs(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		for _, cred := range []bool{false, true} {
			t.Run(fmt.Sprint(http2, cred), func(t *testing.T) {
				k := newSecureKeeper(t, http2)
				k.show(&certificates(t)[0].cert, 0)
				tr := &Transport{Base: sendTo(k.Listener.Addr().String()), Allow: func(u *url.URL) bool { return u.Path != "/no" }}
				if cred {
					c, err := gssapi.Acquire(t.Context(), nil)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					tr.Credential = c
				}
				defer tr.CloseIdleConnections()
				client := &http.Client{Transport: tr}
				connections := map[string]string{}
				for range 3 {
					for _, kind := range []string{"ours", "not allowed", "foreign", "userinfo"} {
						u := k.URL
						switch kind {
						case "not allowed":
							u += "/no"
						case "userinfo":
							u = strings.Replace(u, "https://", "https://alice:secret@", 1)
						}
						req := newRequest(t, "GET", u, nil)
						if kind == "foreign" {
							req.Header.Set("Authorization", "Bearer abc")
						}
						resp, body := do(t, client, req)
						want := map[string]string{"ours": "user@NEGO.TEST"}[kind]
						if want == "" {
							want = "who are you?"
						}
						if body != want {
							t.Errorf("%s: %s, %q", kind, resp.Status, body)
						}
						c := resp.Header.Get("X-Connection")
						if old := connections[kind]; old != "" && old != c {
							t.Errorf("%s: connection %s, then %s", kind, old, c)
						}
						connections[kind] = c
					}
				}
				if a, b, c := connections["ours"], connections["not allowed"], connections["foreign"]; a == b || a == c || b == c {
					t.Errorf("connections %v", connections)
				}
			})
		}
	}
}

// A connection belongs to the target of its token too, and the number of those that are kept has a bound.
func TestPoint8Targets(t *testing.T) {
	k := newKeeper(t)
	hosts := []string{newService(t), newService(t)}
	tr := &Transport{Target: func(u *url.URL) gssapi.Name {
		if i := strings.Index("01", u.Path[1:]); i >= 0 && len(u.Path) == 2 {
			return gssapi.Service("HTTP", hosts[i])
		}
		return gssapi.Service("HTTP", u.Path[1:])
	}}
	client := &http.Client{Transport: tr}
	connections := make(map[string]string)
	for range 3 {
		for _, path := range []string{"/0", "/1"} {
			resp, body := get(t, client, k.URL+path)
			if body != "user@NEGO.TEST" {
				t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
			}
			c := resp.Header.Get("X-Connection")
			if old := connections[path]; old != "" && old != c {
				t.Errorf("%s: connection %s, then %s", path, old, c)
			}
			connections[path] = c
		}
	}
	if connections["/0"] == connections["/1"] {
		t.Error("two targets share a connection")
	}
	public := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) { io.WriteString(w, "ok") })
	for i := range 3 * maxPools {
		if _, body := get(t, client, fmt.Sprintf("%s/target%d", public.URL, i)); body != "ok" {
			t.Fatal(body)
		}
	}
	if n := len(tr.pools().byID); n > maxPools {
		t.Errorf("%d pools", n)
	}
	waitFor(t, func() bool { return public.opened.Load()-public.closed.Load() <= maxPools }, "few connections")
	tr.CloseIdleConnections()
}

// A client keytab fills the cache with the first token, whose user nobody could know before.
func TestPoint8ClientKeytab(t *testing.T) {
	u, child := inChildOfUsers(t)
	if !child {
		return
	}
	if onHeimdal { // which has none by default, and of a credential fills the cache before
		os.Remove(u.cache)
		c, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Store: gssapi.Store{ClientKeytab: u.keytab, CCache: "FILE:" + u.cache}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		k := newKeeper(t)
		tr := &Transport{Credential: c}
		defer tr.CloseIdleConnections()
		if resp, body := get(t, &http.Client{Transport: tr}, k.URL); body != u.alice || OutcomeOf(resp).Err != nil {
			t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
		}
		return
	}
	t.Setenv("KRB5_CLIENT_KTNAME", u.keytab)
	for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
		for _, mutual := range []Mutual{MutualDisabled, MutualOptional} {
			os.Remove(u.cache)
			k := newKeeper(t)
			tr := &Transport{Preemptive: preempt, Mutual: mutual}
			for i := range 3 {
				resp, body := get(t, &http.Client{Transport: tr}, k.URL)
				if o := OutcomeOf(resp); body != u.alice || o.Err != nil || preempt == PreemptNever && i > 0 && o.Legs != 0 {
					t.Errorf("%d: %s, %q, %+v", i, resp.Status, body, o)
				}
			}
			tr.CloseIdleConnections()
		}
	}
}

// A lane that comes back when its user is not the one any more is not kept.
func TestPoint8LaneOfAFormerUser(t *testing.T) {
	k := newKeeper(t)
	p := newPools(new(http.Transport), nil)
	alice := identity{user: gssapi.Principal("alice@NEGO.TEST")}
	key := laneKey{origin: "http://localhost", id: alice}
	for _, former := range []bool{false, true} {
		l, err := dialLane(t.Context(), p.cloneHTTP1(), newRequest(t, "GET", k.URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		p.get(alice)
		if former {
			p.forget(alice.user)
		}
		p.keepLane(key, l)
		if got := p.idleLane(key); (got == nil) != former || (l.conn.Err() != nil) != former {
			t.Errorf("former %v: kept %v, %v", former, got != nil, l.conn.Err())
		}
		l.close()
	}
}

// A token that does not say for whom it is, on connections that were chosen without a look, goes nowhere.
func TestPoint8GuessedConnections(t *testing.T) {
	tr := &Transport{}
	x := newExchange(tr, tr.pools(), newRequest(t, "GET", "http://localhost/", nil))
	x.admission = tr.admit(x.req)
	if err := x.choosePool(); err != nil {
		t.Fatal(err)
	}
	x.origin.sc = gssapi.NewInitiator(web, nil)
	if x.guessed = true; x.tie(gssapi.Name{}, true) != errUser {
		t.Error("it is sent")
	}
	// Nor on one that others may be on already, with mutual authentication.
	x.guessed, tr.Mutual = false, MutualOptional
	if x.tie(gssapi.Name{}, false) != errUser {
		t.Error("it is sent to others")
	}
	for _, move := range []bool{true, false} {
		if err := x.tie(gssapi.Name{}, move); err != nil || !x.pools.identity(x.pool).alone {
			t.Errorf("%v, %+v", err, x.pools.identity(x.pool))
		}
	}
}

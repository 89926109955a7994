package negotiate

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/krbtest"
)

// newUser adds a user with a password.
func newUser(t *testing.T) (name, password string) {
	t.Helper()
	n := serial.Add(1)
	name, password = fmt.Sprintf("person%d", n), fmt.Sprintf("pässword %d:", n)
	if err := realm.AddUser(name, password); err != nil {
		t.Fatal(err)
	}
	return name, password
}

// byPassword sends a user and a password over what looks like TLS, and reports who reached the handler: "" is none.
func byPassword(t *testing.T, a *Authenticator, user, password string) (resp *http.Response, who string) {
	return visit(t, a, "https://localhost/", replyHeader, basicValue(user, password))
}

func basicValue(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestBasic(t *testing.T) {
	name, password := newUser(t)
	var log bytes.Buffer
	var denied error
	a := &Authenticator{Basic: true, Trace: LogTrace(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))}
	a.Deny = func(w http.ResponseWriter, _ *http.Request, err error) {
		denied = err
		w.WriteHeader(401)
	}
	for _, user := range []string{name, name + "@NEGO.TEST"} {
		if resp, who := byPassword(t, a, user, password); who != name+"@NEGO.TEST" || resp.StatusCode != 200 || len(resp.Header[askHeader]) > 0 {
			t.Fatalf("%s: %s as %q, %v: %v", user, resp.Status, who, resp.Header, denied)
		}
	}
	for _, c := range [][2]string{
		{name, "wrong"}, {name, password + "x"}, {name, password[:len(password)-1]}, {name, password + "\x00"}, {name + "\x00", password},
		{name, ""}, {"user", ""}, {"", ""}, {"", password}, {"nobody-of-that-name", password}, {name + "@OTHER.TEST", password},
		{name + `\@NEGO.TEST`, password}, {name + `@A\@NEGO.TEST`, password}, {strings.Repeat("x", 10_000), password}, {"@", password}, {"@NEGO.TEST", password},
		{"HTTP/localhost", password}, {"krbtgt/NEGO.TEST", password}, {"WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS", password},
	} {
		denied = nil
		resp, who := byPassword(t, a, c[0], c[1])
		if who != "" || resp.StatusCode != 401 {
			t.Fatalf("%q: %s as %q", c, resp.Status, who)
		}
		if got := resp.Header[askHeader]; len(got) != 2 || got[0] != "Negotiate" || got[1] != `Basic realm="Kerberos", charset="UTF-8"` {
			t.Errorf("%q: %q", c, got)
		}
		if denied == nil || errors.Is(denied, ErrNoToken) {
			t.Errorf("%q: %v", c, denied)
		}
		if foreign := strings.HasSuffix(c[0], "@OTHER.TEST") || strings.HasSuffix(c[0], `@A\@NEGO.TEST`); foreign && !strings.Contains(fmt.Sprint(denied), "with a ticket") {
			t.Errorf("a KDC that the client chose was asked: %v", denied)
		}
		if c[1] != "" && strings.Contains(fmt.Sprint(denied), c[1]) {
			t.Errorf("the password is in %v", denied)
		}
	}
	if strings.Contains(log.String(), "pässword") {
		t.Error("the password is in the log")
	}
}

// Where it is not wanted, or would be read on the way, a password is nothing, and nobody is asked for one.
func TestBasicIsNotTaken(t *testing.T) {
	name, password := newUser(t)
	for _, c := range []struct {
		name string
		a    *Authenticator
		url  string
		who  string
	}{
		{"plain http", &Authenticator{Basic: true}, "http://localhost/", ""},
		{"plain http, optional", &Authenticator{Basic: true, Optional: true}, "http://localhost/", ""},
		{"not set", &Authenticator{}, "https://localhost/", ""},
		{"not set, optional", &Authenticator{Optional: true}, "https://localhost/", "nobody"},
		{"binding required", &Authenticator{Basic: true, ChannelBinding: BindRequired}, "https://localhost/", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, who := visitWith(t.Context(), c.a, c.url, replyHeader, basicValue(name, password))
			if who != c.who || strings.Contains(fmt.Sprint(resp.Header), "Basic") {
				t.Errorf("%s as %q, %v", resp.Status, who, resp.Header)
			}
		})
	}
	// A challenge offers it over TLS.
	w := httptest.NewRecorder()
	(&Authenticator{Basic: true}).Handler(nil).ServeHTTP(w, httptest.NewRequest("GET", "https://localhost/", nil))
	if got := w.Result().Header[askHeader]; len(got) != 2 || got[0] != "Negotiate" || !strings.HasPrefix(got[1], "Basic ") {
		t.Errorf("%q", got)
	}
}

// A KDC that takes every password is found out by the keytab: it does not know the service's key.
func TestBasicFindsOutAKDC(t *testing.T) {
	if os.Getenv("SPOOFED_CONFIG") == "" {
		spoofed := krbtest.Start(t, &krbtest.Options{Users: []string{}})
		if err := spoofed.AddUser("admin", "known to the attacker"); err != nil {
			t.Fatal(err)
		}
		inChild(t, "KRB5_CONFIG="+spoofed.Config, "SPOOFED_CONFIG="+spoofed.Config, "SPOOFED_KEYTAB="+spoofed.KeytabFile)
		return
	}
	acceptor, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Usage: gssapi.Accept, Name: gssapi.Service("HTTP", ""),
		Store: gssapi.Store{Keytab: os.Getenv("SPOOFED_KEYTAB")}})
	if err != nil {
		t.Fatal(err)
	}
	defer acceptor.Close()
	if _, who := byPassword(t, &Authenticator{Basic: true, Credential: acceptor}, "admin", "known to the attacker"); who != "admin@NEGO.TEST" {
		t.Fatalf("with the KDC's own keytab: %q", who)
	}
	if _, who := byPassword(t, &Authenticator{Basic: true}, "admin", "known to the attacker"); who != "" {
		t.Fatalf("with the real keytab: %q", who)
	}
}

// A user of another realm, which krb5.conf knows and which this one trusts, has a password as well.
func TestBasicOfAnotherRealm(t *testing.T) {
	const password = "of the other realm"
	if os.Getenv(childVariable) == "" {
		other := krbtest.Start(t, &krbtest.Options{Realm: fmt.Sprintf("OTHER%d.TEST", serial.Add(1)), Users: []string{}, Services: []string{}})
		if err := other.AddUser("alice", password); err != nil {
			t.Fatal(err)
		}
		for _, r := range []*krbtest.Realm{realm, other} {
			if err := r.AddUser("krbtgt/NEGO.TEST@"+other.Name, "both KDCs know it"); err != nil {
				t.Fatal(err)
			}
		}
		inChild(t, "KRB5_CONFIG="+realm.Config+":"+other.Config, "OTHER_USER=alice@"+other.Name)
		return
	}
	user := os.Getenv("OTHER_USER")
	if _, who := byPassword(t, &Authenticator{Basic: true}, user, password); who != user {
		t.Errorf("as %q", who)
	}
	if _, who := byPassword(t, &Authenticator{Basic: true}, user, "wrong"); who != "" {
		t.Errorf("a wrong password, as %q", who)
	}
}

// asks counts how often the KDC is asked about a password.
func asks(n *atomic.Int64) *Trace {
	return &Trace{GSS: func(_ context.Context, i GSSInfo) {
		if i.Op == "acquire" && i.Info.Initiated {
			n.Add(1)
		}
	}}
}

func TestBasicTries(t *testing.T) {
	victim, password := newUser(t)
	other, otherPassword := newUser(t)
	remembered, rememberedPassword := newUser(t)
	var n atomic.Int64
	a := &Authenticator{Basic: true, Trace: asks(&n)}
	var denied error
	a.Deny = func(w http.ResponseWriter, _ *http.Request, err error) {
		denied = err
		w.WriteHeader(401)
	}
	if _, who := byPassword(t, a, remembered, rememberedPassword); who == "" {
		t.Fatal(denied)
	}
	n.Store(0)
	for _, user := range []string{victim, remembered} {
		for i := range 20 {
			form := []string{user, user + "@NEGO.TEST"}[i%2] // one user in two forms
			resp, who := byPassword(t, a, form, "guess "+strconv.Itoa(i))
			after, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
			if limited := i >= passwordTries; who != "" || resp.StatusCode != 401 || errors.Is(denied, ErrTries) != limited || (after > 0) != limited || after > 30 {
				t.Fatalf("try %d: %s as %q, Retry-After %d: %v", i, resp.Status, who, after, denied)
			}
		}
	}
	if n.Load() != 2*passwordTries {
		t.Errorf("the KDC was asked %d times", n.Load())
	}
	if _, who := byPassword(t, a, victim, password); who != "" || !errors.Is(denied, ErrTries) {
		t.Errorf("the right one behind the wrong ones: %q, %v", who, denied)
	}
	for user, password := range map[string]string{other: otherPassword, remembered: rememberedPassword} {
		for range 2 * passwordTries {
			if _, who := byPassword(t, a, user, password); who != user+"@NEGO.TEST" {
				t.Errorf("%s: %q, %v", user, who, denied)
			}
		}
	}
	if n.Load() != 2*passwordTries+1 {
		t.Errorf("the KDC was asked %d times", n.Load())
	}
}

// Tries come back with time, and right passwords do not use them up.
func TestPasswordTries(t *testing.T) {
	p := passwords{busy: map[string]time.Time{}}
	now := time.Unix(1e9, 0)
	for range passwordTries {
		if wait := p.take("alice", now); wait != 0 {
			t.Fatal(wait)
		}
	}
	if wait := p.take("alice", now); wait != tryTime {
		t.Errorf("wait for %v", wait)
	}
	if wait := p.take("bob", now); wait != 0 {
		t.Errorf("bob waits for %v", wait)
	}
	now = now.Add(tryTime - time.Second)
	if wait := p.take("alice", now); wait != time.Second {
		t.Errorf("wait for %v", wait)
	}
	now = now.Add(time.Second)
	if first, second := p.take("alice", now), p.take("alice", now); first != 0 || second != tryTime {
		t.Errorf("%v, %v", first, second)
	}
	p.judge("alice", &judgement{done: make(chan struct{})}, &Identity{}, nil, false)
	if first, second := p.take("alice", now), p.take("alice", now); first != 0 || second != tryTime {
		t.Errorf("after a right one: %v, %v", first, second)
	}
	// However many principals a client makes up, what is kept of them is bounded, those under attack get no more tries for
	// it, and nobody else is locked out.
	for range passwordTries {
		p.take("carol", now)
	}
	for i := range 2 * maxPrincipals {
		if p.take(strconv.Itoa(i), now) != 0 {
			t.Fatalf("principal %d is locked out", i)
		}
	}
	if len(p.busy) != maxPrincipals || p.take("carol", now) == 0 {
		t.Errorf("%d principals", len(p.busy))
	}
}

func BenchmarkPasswordTriesFull(b *testing.B) {
	p := passwords{busy: map[string]time.Time{}}
	now := time.Now()
	for i := range maxPrincipals {
		p.take(strconv.Itoa(i), now)
	}
	for i := 0; b.Loop(); i++ {
		p.take("x"+strconv.Itoa(i), now)
	}
}

// Who writes a name in many ways, which are one user for some KDCs, has no more tries for it.
func TestPasswordTriesWhateverTheCase(t *testing.T) {
	var p passwords
	asked := 0
	for i := range 20 {
		name := []string{"alice@A", "Alice@A", "ALICE@A", "aLICE@A"}[i%4]
		if v, _, mine := p.look(name, strconv.Itoa(i)); mine {
			asked++
			p.judge(name, v, nil, errors.New("no"), false)
		}
	}
	if asked != passwordTries {
		t.Errorf("the KDC is asked %d times", asked)
	}
	// A right one gives its own try back.
	for i := range 2 * passwordTries {
		name := []string{"bob@A", "BOB@A"}[i%2]
		v, wait, mine := p.look(name, strconv.Itoa(i))
		if !mine {
			t.Fatalf("right password %d waits for %v", i, wait)
		}
		p.judge(name, v, &Identity{}, nil, false)
	}
}

// A panic, which net/http survives, leaves nobody waiting for its judgement.
func TestBasicBehindAPanic(t *testing.T) {
	name, password := newUser(t)
	panics := true
	a := &Authenticator{Basic: true, Trace: &Trace{GSS: func(context.Context, GSSInfo) {
		if panics {
			panics = false
			panic("a Trace's own")
		}
	}}}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		byPassword(t, a, name, password)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, who := visitWith(ctx, a, "https://localhost/", replyHeader, basicValue(name, password)); who != name+"@NEGO.TEST" {
		t.Errorf("the next one is %q", who)
	}
}

// Only so many wait for the KDC: the next one is told at once.
func TestPasswordQueue(t *testing.T) {
	var p passwords
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range askingLater {
		wg.Go(func() {
			if err := p.queue(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	for p.later.Load() < askingLater {
		runtime.Gosched()
	}
	if err := p.queue(ctx); err == nil || ctx.Err() != nil {
		t.Error(err)
	}
	cancel()
	wg.Wait()
	if p.asking = make(chan struct{}, 1); p.queue(t.Context()) != nil || p.later.Load() != 0 {
		t.Errorf("%d still wait", p.later.Load())
	}
}

func TestPasswordsAreBounded(t *testing.T) {
	var p passwords
	for i := range maxPasswords + 10 {
		v, wait, mine := p.look(strconv.Itoa(i), "same for all")
		if !mine || wait != 0 {
			t.Fatal(i, wait, mine)
		}
		p.judge(strconv.Itoa(i), v, &Identity{}, nil, false)
	}
	if len(p.judged) != maxPasswords {
		t.Errorf("%d are kept", len(p.judged))
	}
}

// Many requests with one password are one question, also where the client that asks it goes away.
func TestBasicAtOnce(t *testing.T) {
	name, password := newUser(t)
	var n atomic.Int64
	a := &Authenticator{Basic: true, Trace: asks(&n)}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, who := visitWith(t.Context(), a, "https://localhost/", replyHeader, basicValue(name, password)); who != name+"@NEGO.TEST" {
				t.Errorf("as %q", who)
			}
		})
	}
	wg.Wait()
	if n.Load() != 1 {
		t.Errorf("the KDC was asked %d times", n.Load())
	}

	name, password = newUser(t)
	first, cancel := context.WithCancel(t.Context())
	a = &Authenticator{Basic: true, Trace: &Trace{GSS: func(ctx context.Context, i GSSInfo) {
		if i.Op == "acquire" && i.Info.Initiated && first.Err() == nil {
			wg.Go(func() {
				if _, who := visitWith(t.Context(), a, "https://localhost/", replyHeader, basicValue(name, password)); who != name+"@NEGO.TEST" {
					t.Errorf("behind one that went away: %q", who)
				}
			})
			cancel()
		}
	}}}
	if _, who := visitWith(first, a, "https://localhost/", replyHeader, basicValue(name, password)); who != "" {
		t.Errorf("went away as %q", who)
	}
	wg.Wait()
}

// Over a real connection, from a client that is no Go program's own.
func TestBasicOverTLS(t *testing.T) {
	name, password := newUser(t)
	a := &Authenticator{Basic: true}
	h := a.Handler(http.HandlerFunc(whoami))
	s := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { h.ServeHTTP(w, r) })
	s.StartTLS()
	defer s.Close()
	req := newRequest(t, "GET", s.URL, nil)
	req.SetBasicAuth(name, password)
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != name+"@NEGO.TEST" {
		t.Errorf("%s: %s", resp.Status, body)
	}
}

// Who comes with a password on the connection of another, right or wrong, ends that: what comes next is not the other's.
func TestBasicEndsTheConnectionsUser(t *testing.T) {
	name, password := newUser(t)
	for _, c := range []struct{ password, who string }{{password, name + "@NEGO.TEST"}, {"wrong", ""}} {
		a := &Authenticator{Basic: true, ConnectionBound: true}
		ctx := a.ConnContext(t.Context(), nil)
		h := a.Handler(http.HandlerFunc(whoami))
		request := func(set func(*http.Request)) string {
			r, w := httptest.NewRequestWithContext(ctx, "GET", "https://localhost/", nil), httptest.NewRecorder()
			set(r)
			h.ServeHTTP(w, r)
			if w.Code != 200 {
				return ""
			}
			return w.Body.String()
		}
		_, token := initiate(t, web, nil)
		request(func(r *http.Request) { r.Header.Set(replyHeader, fieldValue(token)) })
		if who := request(func(*http.Request) {}); who != "user@NEGO.TEST" {
			t.Fatalf("behind the token: %q", who)
		}
		if who := request(func(r *http.Request) { r.SetBasicAuth(name, c.password) }); who != c.who {
			t.Errorf("by password: %q", who)
		}
		if who := request(func(*http.Request) {}); who != "" {
			t.Errorf("behind the password: %q", who)
		}
	}
}

// A session spares the password too. It is the user's of the password, and a wrong one does not fall back on it.
func TestBasicBeginsSession(t *testing.T) {
	name, password := newUser(t)
	a := &Authenticator{Basic: true, Sessions: newSessions()}
	resp, who := byPassword(t, a, name, password)
	if who != name+"@NEGO.TEST" {
		t.Fatal(who)
	}
	cookie := cookieOf(t, resp.Cookies())
	if _, who := visit(t, a, "https://localhost/", "Cookie", cookie); who != name+"@NEGO.TEST" {
		t.Errorf("with the cookie: %q", who)
	}
	if resp, who := visit(t, a, "https://localhost/", "Cookie", cookie, replyHeader, basicValue(name, "wrong")); who != "" || len(resp.Cookies()) > 0 {
		t.Errorf("a wrong password beside the cookie: %q", who)
	}
	a.Sessions = &Sessions{}
	if _, who := byPassword(t, a, name, password); who != "" {
		t.Errorf("with sessions that cannot be: %q", who)
	}
}

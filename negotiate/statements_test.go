package negotiate

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// The tests in this file show statements about requests-gssapi that no other test does. docs/requests-gssapi.md
// has all of them, with the tests that show them.

// watched is a site that takes tokens with the acceptor itself, and remembers what they said.
type watched struct {
	*site
	answer func(w http.ResponseWriter, r *http.Request) // what comes after a good token; nil: who it is from

	mu    sync.Mutex
	infos []gssapi.Info
}

func newWatched(t *testing.T, secure bool) *watched {
	s := &watched{}
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Usage: gssapi.Accept})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cred.Close() })
	s.site = newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) {
		o := &gssapi.Options{Credential: cred}
		if secure {
			o.ChannelBinding = EndPoint(s.Certificate())
		}
		s.serve(w, r, o)
	})
	scheme := "http://localhost:"
	if secure {
		scheme = "https://localhost:"
		s.StartTLS()
	} else {
		s.Start()
	}
	s.URL = scheme + s.port()
	t.Cleanup(s.Close)
	return s
}

func (s *watched) serve(w http.ResponseWriter, r *http.Request, o *gssapi.Options) {
	token, err := requestToken(r.Header)
	if err != nil {
		w.Header().Set(askHeader, scheme)
		w.WriteHeader(401)
		return
	}
	sc := gssapi.NewAcceptor(o)
	defer sc.Close()
	out, err := sc.Step(r.Context(), token)
	if len(out) > 0 {
		w.Header().Set(askHeader, fieldValue(out))
	}
	if err != nil || !sc.Established() {
		w.WriteHeader(401)
		return
	}
	s.mu.Lock()
	s.infos = append(s.infos, sc.Info())
	s.mu.Unlock()
	if s.answer != nil {
		s.answer(w, r)
		return
	}
	fmt.Fprint(w, sc.Info().Initiator)
}

// accepted returns what the server learned from the tokens it took.
func (s *watched) accepted() []gssapi.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.infos)
}

// learns has a Transport authenticate once and returns what the server learned, and the outcome.
func (s *watched) learns(t *testing.T, tr *Transport) (gssapi.Info, Outcome) {
	t.Helper()
	resp, body := get(t, &http.Client{Transport: tr}, s.URL)
	o := OutcomeOf(resp)
	infos := s.accepted()
	if resp.StatusCode != 200 || len(infos) == 0 {
		t.Fatalf("%s: %s, %+v", resp.Status, body, o)
	}
	return infos[len(infos)-1], o
}

// tokensOf returns the token of each request, nil where it had none.
func tokensOf(t *testing.T, s *site) (tokens [][]byte) {
	t.Helper()
	for _, r := range s.seen() {
		token, err := requestToken(r.Header)
		if err != nil && err != ErrNoToken {
			t.Error(err)
		}
		tokens = append(tokens, token)
	}
	return tokens
}

// distinct reports whether there are n tokens, and no two are the same.
func distinct(tokens [][]byte, n int) bool {
	count, set := 0, map[string]bool{}
	for _, token := range tokens {
		if token != nil {
			count++
			set[string(token)] = true
		}
	}
	return count == n && len(set) == n
}

// counter counts calls of the library.
func counter() (*Trace, *atomic.Int64) {
	var n atomic.Int64
	return &Trace{GSS: func(context.Context, GSSInfo) { n.Add(1) }}, &n
}

// oneShot is a body that can be read once, and says so.
func oneShot(text string) io.Reader { return io.MultiReader(strings.NewReader(text)) }

func TestStatement01Defaults(t *testing.T) {
	var tr Transport
	if tr.Base != nil || tr.Credential != nil || tr.Target != nil || tr.Mech != "" || tr.Mutual != MutualDisabled || tr.KeepErrorBody ||
		tr.Delegate != DelegateNever || tr.Preemptive != PreemptNever || tr.ChannelBinding != BindNever || tr.ProxyAuth || tr.Strict {
		t.Errorf("the zero Transport is %+v", &tr)
	}
	s := newWatched(t, true)
	tr.Base = trusting(s.site)
	info, o := s.learns(t, &tr)
	const asked = gssapi.FlagDelegate | gssapi.FlagMutual | gssapi.FlagReplay | gssapi.FlagSequence | gssapi.FlagChannelBound
	if info.Flags&asked != 0 || info.Initiator.String() != "user@NEGO.TEST" || info.Acceptor.String() != "HTTP/localhost@NEGO.TEST" {
		t.Errorf("the server learns %+v", info)
	}
	if o.Target != gssapi.Service("HTTP", "localhost") || o.Mutual || o.Delegated || o.ChannelBound || o.Legs != 1 {
		t.Errorf("outcome %+v", o)
	}
}

// What is no binding cannot be set by mistake for a text, and a number that is none binds.
func TestStatement02Bindings(t *testing.T) {
	if got := fmt.Sprint(BindNever, BindIfTLS, BindRequired, Binding(7)); got != "never tls required Binding(7)" {
		t.Error(got)
	}
	s := newWatched(t, true)
	for b, want := range map[Binding]bool{BindNever: false, BindIfTLS: true, BindRequired: true, 7: true} {
		info, o := s.learns(t, &Transport{Base: trusting(s.site), ChannelBinding: b})
		if got := info.Flags&gssapi.FlagChannelBound != 0; got != want || o.ChannelBound != want {
			t.Errorf("%s: the token was bound: %v, outcome %+v", b, got, o)
		}
	}
}

func TestStatement03NoMechIsSPNEGO(t *testing.T) {
	for mech, want := range map[gssapi.OID]gssapi.OID{"": gssapi.SPNEGO, gssapi.SPNEGO: gssapi.SPNEGO, gssapi.KRB5: gssapi.KRB5} {
		s := newWatched(t, false)
		s.learns(t, &Transport{Mech: mech})
		// RFC 2743 section 3.1: an application tag, a length, and the mechanism.
		token := tokensOf(t, s.site)[1]
		if at := strings.Index(string(token), "\x06"+string([]byte{byte(len(want))})+string(want)); token[0] != 0x60 || at < 2 || at > 6 {
			t.Errorf("%q: the token begins with %x", mech, token[:20])
		}
	}
}

func TestStatement04NothingBeforeTheChallenge(t *testing.T) {
	trace, calls := counter()
	tr := &Transport{Trace: trace, Mutual: MutualOptional, Delegate: DelegateAlways, ChannelBinding: BindIfTLS}
	public := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) { fmt.Fprint(w, "public") })
	get(t, &http.Client{Transport: tr}, public.URL)
	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls of the library, and nobody asked", n)
	}
	newWatched(t, false).learns(t, tr)
	if n := calls.Load(); n != 2 { // the token and the server's answer to it
		t.Errorf("%d calls of the library", n)
	}
}

func TestStatement06ServiceAtHost(t *testing.T) {
	if err := realm.AddService(fmt.Sprintf("wsman%d/localhost", serial.Add(1))); err != nil {
		t.Fatal(err)
	}
	service := fmt.Sprintf("wsman%d", serial.Load())
	s := newWatched(t, false)
	info, o := s.learns(t, &Transport{Target: func(u *url.URL) gssapi.Name { return gssapi.Service(service, u.Hostname()) }})
	if info.Acceptor.String() != service+"/localhost@NEGO.TEST" || o.Target.Type() != gssapi.NTHostBased {
		t.Errorf("%s, %+v", info.Acceptor, o)
	}
}

func TestStatement07NameVerbatim(t *testing.T) {
	host := newService(t)
	s := newWatched(t, false)
	info, o := s.learns(t, &Transport{Target: func(*url.URL) gssapi.Name { return gssapi.NewName("HTTP@"+host, gssapi.NTHostBased) }})
	if info.Acceptor.String() != "HTTP/"+host+"@NEGO.TEST" || o.Target.String() != "HTTP@"+host {
		t.Errorf("%s, %+v", info.Acceptor, o)
	}
}

func TestStatement08NameOfAnyType(t *testing.T) {
	host := newService(t)
	for _, name := range []gssapi.Name{
		gssapi.Principal("HTTP/" + host + "@NEGO.TEST"),
		gssapi.User("HTTP/" + host + "@NEGO.TEST"),
		gssapi.Service("HTTP", host),
	} {
		s := newWatched(t, false)
		info, o := s.learns(t, &Transport{Target: func(*url.URL) gssapi.Name { return name }})
		if info.Acceptor.String() != "HTTP/"+host+"@NEGO.TEST" || o.Target != name {
			t.Errorf("%s: %s, %+v", name, info.Acceptor, o)
		}
	}
}

// A name is taken as it is, and the library says what is wrong with it.
func TestStatement10NamesAreNotParsed(t *testing.T) {
	for name, want := range map[gssapi.Name]string{
		gssapi.Service("svc", "localhost"):      "svc@localhost",
		gssapi.Service("HTTP/foo", "localhost"): "HTTP/foo@localhost",
		gssapi.Service("", "localhost"):         "@localhost",
	} {
		s := newWatched(t, false)
		resp, _ := get(t, &http.Client{Transport: &Transport{Target: func(*url.URL) gssapi.Name { return name }}}, s.URL)
		o := OutcomeOf(resp)
		var e *gssapi.Error
		if o.Target.String() != want || resp.StatusCode != 401 || !errors.As(o.Err, &e) {
			t.Errorf("%s: %+v", want, o)
		}
	}
}

// Everything that a context is made from arrives.
func TestStatement15Arguments(t *testing.T) {
	host, user := newService(t), fmt.Sprintf("other%d", serial.Add(1))
	if err := realm.AddUser(user, "secret"); err != nil {
		t.Fatal(err)
	}
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Name: gssapi.User(user), Store: gssapi.Store{Password: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	s := newWatched(t, true)
	info, o := s.learns(t, &Transport{
		Base:           trusting(s.site),
		Credential:     cred,
		Target:         func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", host) },
		Mech:           gssapi.KRB5,
		Mutual:         MutualRequired,
		Delegate:       DelegateAlways,
		ChannelBinding: BindRequired,
	})
	const flags = gssapi.FlagMutual | gssapi.FlagDelegate | gssapi.FlagChannelBound
	if info.Initiator.String() != user+"@NEGO.TEST" || info.Acceptor.String() != "HTTP/"+host+"@NEGO.TEST" || info.Mech != gssapi.KRB5 ||
		info.Flags&flags != flags {
		t.Errorf("the server learns %+v", info)
	}
	if !o.Mutual || !o.Delegated || !o.ChannelBound || o.Mech != gssapi.KRB5 {
		t.Errorf("outcome %+v", o)
	}
}

func TestStatement16Flags(t *testing.T) {
	for _, mech := range []gssapi.OID{gssapi.SPNEGO, gssapi.KRB5} {
		for _, mutual := range []Mutual{MutualDisabled, MutualOptional, MutualRequired} {
			for _, delegate := range []Delegation{DelegateNever, DelegatePolicy, DelegateAlways} {
				var want gssapi.Flags
				if mutual != MutualDisabled {
					want |= gssapi.FlagMutual
				}
				if delegate == DelegateAlways { // the KDC of the realm trusts no service with tickets
					want |= gssapi.FlagDelegate
				}
				info, o := newWatched(t, false).learns(t, &Transport{Mech: mech, Mutual: mutual, Delegate: delegate})
				const asked = gssapi.FlagDelegate | gssapi.FlagMutual | gssapi.FlagReplay | gssapi.FlagSequence
				if info.Flags&asked != want || o.Delegated != (delegate == DelegateAlways) {
					t.Errorf("%s, mutual %s, delegate %s: the server sees %s, outcome %+v", mech, mutual, delegate, info.Flags, o)
				}
			}
		}
	}
}

// A context is its request's alone: another request to the same host, on another port, in the middle of this one
// takes nothing from it.
func TestStatement19Contexts(t *testing.T) {
	client := &http.Client{Transport: &Transport{Mutual: MutualRequired}}
	inner := newWatched(t, false)
	outer := newWatched(t, false)
	outer.answer = func(w http.ResponseWriter, r *http.Request) {
		resp, err := client.Get(inner.URL)
		if err != nil {
			t.Error(err)
			return
		}
		resp.Body.Close()
		fmt.Fprint(w, OutcomeOf(resp).Mutual)
	}
	for range 2 {
		resp, body := get(t, client, outer.URL)
		if body != "true" || !OutcomeOf(resp).Mutual {
			t.Errorf("%s, %+v", body, OutcomeOf(resp))
		}
	}
	for _, s := range []*watched{inner, outer} {
		if tokens := tokensOf(t, s.site); !distinct(tokens, 2) {
			t.Errorf("of %d requests, two have the same token", len(tokens))
		}
	}
}

func TestStatement20WaitsForTheChallenge(t *testing.T) {
	s := newWatched(t, false)
	tr := &Transport{}
	for range 2 {
		s.learns(t, tr)
	}
	tokens := tokensOf(t, s.site)
	if len(tokens) != 4 || tokens[0] != nil || tokens[1] == nil || tokens[2] != nil || tokens[3] == nil {
		t.Errorf("%d requests", len(tokens))
	}
}

func TestStatement21Preempt(t *testing.T) {
	for _, mutual := range []Mutual{MutualDisabled, MutualRequired} {
		s := newWatched(t, false)
		if _, o := s.learns(t, &Transport{Preemptive: PreemptAlways, Mutual: mutual}); len(s.seen()) != 1 || s.tokens() != 1 || o.Legs != 1 {
			t.Errorf("%d requests, %d tokens, %+v", len(s.seen()), s.tokens(), o)
		}
	}
}

// A token that cannot be made ahead is missing, and what the server says then is answered by a fresh context.
func TestStatement22PreemptFails(t *testing.T) {
	var absent string // a service that comes to be when the server is asked
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		switch r.URL.Path {
		case "/public":
			fmt.Fprint(w, "public")
			return
		case "/late":
			if r.Header.Get(replyHeader) == "" {
				if err := realm.AddService("HTTP/" + absent); err != nil {
					t.Error(err)
				}
			}
		}
		if r.Header.Get(replyHeader) == "" {
			w.Header().Set(askHeader, scheme)
			w.WriteHeader(401)
		}
	})
	for _, c := range []struct {
		path             string
		status, requests int
		calls            int64
		failed           bool
	}{
		{"/public", 200, 1, 1, false},
		{"/protected", 401, 1, 2, true},
		{"/late", 200, 2, 2, false},
	} {
		absent = fmt.Sprintf("absent%d.nego.test", serial.Add(1))
		trace, calls := counter()
		before := len(s.seen())
		resp, _ := get(t, &http.Client{Transport: &Transport{Preemptive: PreemptAlways, Trace: trace,
			Target: func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", absent) }}}, s.URL+c.path)
		o := OutcomeOf(resp)
		if n := len(s.seen()) - before; resp.StatusCode != c.status || n != c.requests || calls.Load() != c.calls || (o.Err != nil) != c.failed {
			t.Errorf("%s: %s, %d requests, %d calls, %+v", c.path, resp.Status, n, calls.Load(), o)
		}
	}
}

func TestStatement23PreemptEachTime(t *testing.T) {
	s := newWatched(t, false)
	tr := &Transport{Preemptive: PreemptAlways}
	for range 5 {
		s.learns(t, tr)
	}
	if tokens := tokensOf(t, s.site); len(tokens) != 5 || !distinct(tokens, 5) {
		t.Errorf("%d requests", len(tokens))
	}
}

func TestStatement24PreemptBinds(t *testing.T) {
	s := newWatched(t, true)
	tr := &Transport{Base: trusting(s.site), Preemptive: PreemptAlways, ChannelBinding: BindRequired}
	for i := range 3 {
		info, o := s.learns(t, tr)
		if info.Flags&gssapi.FlagChannelBound == 0 || !o.ChannelBound || len(s.seen()) != i+1 {
			t.Errorf("the server sees %s, %d requests, %+v", info.Flags, len(s.seen()), o)
		}
	}
}

// A Transport that has sent one body from where it stood sends the next one from where that stands.
func TestStatement25BodyPosition(t *testing.T) {
	s := upload(t, false)
	client := &http.Client{Transport: &Transport{}}
	for _, c := range []struct {
		body io.Reader
		want string
	}{
		{&seekBody{ReadSeeker: skip(t, strings.NewReader("abctext"), 3)}, "text"},
		{strings.NewReader("a second one"), "a second one"},
		{nil, ""},
		{&seekBody{ReadSeeker: skip(t, strings.NewReader("abctext"), 5)}, "xt"},
	} {
		req := newRequest(t, "POST", s.URL, c.body)
		req.ContentLength = int64(len(c.want))
		if _, body := do(t, client, req); body != fmt.Sprint(len(c.want), " ", c.want) {
			t.Errorf("%q came as %q", c.want, body)
		}
	}
}

func skip(t *testing.T, s io.ReadSeeker, n int64) io.ReadSeeker {
	if _, err := s.Seek(n, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStatement26NoNegotiate(t *testing.T) {
	for _, lines := range [][]string{nil, {`Basic realm="x"`}, {"NTLM", "Kerberos", `Basic realm="Negotiate"`}} {
		s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			w.Header()[askHeader] = lines
			w.WriteHeader(401)
			fmt.Fprint(w, "who are you?")
		})
		trace, calls := counter()
		resp, body := get(t, &http.Client{Transport: &Transport{Trace: trace, Strict: true}}, s.URL)
		if resp.StatusCode != 401 || body != "who are you?" || len(s.seen()) != 1 || calls.Load() != 0 || OutcomeOf(resp) != (Outcome{}) {
			t.Errorf("%q: %s, %d requests, %d calls, %+v", lines, resp.Status, len(s.seen()), calls.Load(), OutcomeOf(resp))
		}
	}
}

// What is sent with the token is what was sent without.
func TestStatement27SameRequest(t *testing.T) {
	var bodies []string
	s := newWatched(t, false)
	handler := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies = append(bodies, string(b))
		handler.ServeHTTP(w, r)
	})
	challenges := 0
	tr := &Transport{Trace: &Trace{Challenge: func(context.Context, ChallengeInfo) { challenges++ }}}
	req := newRequest(t, "PATCH", s.URL+"/path?a=b", strings.NewReader("text"))
	req.Header = http.Header{"X-A": {"1", "2"}, "Accept": {"text/plain"}, "User-Agent": {"test"}}
	if resp, _ := do(t, &http.Client{Transport: tr}, req); resp.StatusCode != 200 || challenges != 1 {
		t.Errorf("%s, %d challenges", resp.Status, challenges)
	}
	seen := s.seen()
	if len(seen) != 2 || !reflect.DeepEqual(bodies, []string{"text", "text"}) {
		t.Fatalf("%d requests, %q", len(seen), bodies)
	}
	first, second := seen[0], seen[1]
	withToken := maps.Clone(second.Header)
	delete(withToken, replyHeader)
	if first.Method != second.Method || first.RequestURI != second.RequestURI || first.Host != second.Host ||
		first.ContentLength != second.ContentLength || first.RemoteAddr != second.RemoteAddr || !reflect.DeepEqual(first.Header, withToken) {
		t.Errorf("%+v\n%+v", first, second)
	}
}

func TestStatement30OneAttempt(t *testing.T) {
	s := protect(t, new(Authenticator))
	for _, mutual := range []Mutual{MutualDisabled, MutualRequired} {
		trace, calls := counter()
		before := len(s.seen())
		resp, body := get(t, &http.Client{Transport: &Transport{Trace: trace, Mech: "\x2a\x03\x04", Mutual: mutual}}, s.URL)
		if n := len(s.seen()) - before; resp.StatusCode != 401 || body == "" || n != 1 || calls.Load() != 1 {
			t.Errorf("%s: %s, %q, %d requests, %d calls", mutual, resp.Status, body, n, calls.Load())
		}
	}
}

// A context that takes the server's token and has no answer to it is done: the 401 is the server's last word.
func TestStatement33NothingToSay(t *testing.T) {
	for _, mech := range []gssapi.OID{gssapi.SPNEGO, gssapi.KRB5} {
		s := answer(t, 401, rightToken)
		resp, body := get(t, &http.Client{Transport: &Transport{Mutual: MutualRequired, Mech: mech, Strict: true}}, s.URL)
		o := OutcomeOf(resp)
		if resp.StatusCode != 401 || body != "body" || len(s.seen()) != 2 || o.Err != nil || !o.Mutual {
			t.Errorf("%s: %s, %q, %d requests, %+v", mech, resp.Status, body, len(s.seen()), o)
		}
	}
}

// A response that is still being written is the caller's to read.
func TestStatement37Stream(t *testing.T) {
	more := make(chan struct{})
	s := newWatched(t, false)
	s.answer = func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		<-more
		io.WriteString(w, " second")
	}
	resp, err := (&http.Client{Transport: &Transport{Mutual: MutualRequired}}).Do(newRequest(t, "GET", s.URL, nil))
	if err != nil {
		close(more)
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 5)
	_, err = io.ReadFull(resp.Body, first)
	close(more)
	if string(first) != "first" || err != nil {
		t.Errorf("%q, %v", first, err)
	}
	if rest, err := io.ReadAll(resp.Body); string(rest) != " second" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

// A redirect from nobody knows whom is not followed.
func TestStatement41RedirectWithoutProof(t *testing.T) {
	for _, mutual := range []Mutual{MutualRequired, MutualOptional} {
		there := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) { fmt.Fprint(w, "there") })
		s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) { http.Redirect(w, r, there.URL, http.StatusFound) })
		resp, err := (&http.Client{Transport: &Transport{Mutual: mutual}}).Do(newRequest(t, "GET", s.URL, nil))
		if err == nil {
			resp.Body.Close()
		}
		if followed := len(there.seen()) == 1; errors.Is(err, ErrMutual) != (mutual == MutualRequired) || followed != (mutual == MutualOptional) {
			t.Errorf("%s: %v, followed: %v", mutual, err, followed)
		}
	}
}

// Without ProxyAuth a 407 is a response like any other.
func TestStatement45ProxyAuthentication(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		w.Header().Set(proxyAskHeader, scheme)
		w.WriteHeader(http.StatusProxyAuthRequired)
		fmt.Fprint(w, "body")
	})
	for mutual, want := range map[Mutual]string{MutualDisabled: "body", MutualOptional: "body", MutualRequired: ""} {
		resp, body := get(t, &http.Client{Transport: &Transport{Mutual: mutual}}, s.URL)
		if resp.StatusCode != 407 || body != want {
			t.Errorf("%s: %s, %q", mutual, resp.Status, body)
		}
	}
	for _, r := range s.seen() {
		if len(r.Header[replyHeader])+len(r.Header[proxyReplyHeader]) > 0 {
			t.Error("a token was sent")
		}
	}
	if n := len(s.seen()); n != 3 {
		t.Errorf("%d requests", n)
	}
}

func TestStatement46MutualError(t *testing.T) {
	s := answer(t, 200, noToken)
	_, err := (&http.Client{Transport: &Transport{Mutual: MutualRequired}}).Do(newRequest(t, "GET", s.URL+"/p?secret", nil))
	var e *Error
	if !errors.Is(err, ErrMutual) || !errors.As(err, &e) || e.Status != 200 || e.URL != s.URL+"/p" {
		t.Fatal(err)
	}
	for _, want := range []string{s.URL + "/p", "status 200", ErrMutual.Error()} {
		if !strings.Contains(e.Error(), want) {
			t.Errorf("%q is not in %q", want, e)
		}
	}
}

// What is stripped from a response does not come to the jar either.
func TestStatement48Jar(t *testing.T) {
	s := answer(t, 500, noToken)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, _ := get(t, &http.Client{Transport: &Transport{Mutual: MutualRequired}, Jar: jar}, s.URL)
	if got := jar.Cookies(parse(t, s.URL)); resp.StatusCode != 500 || len(got) > 0 {
		t.Errorf("%s, the jar has %v", resp.Status, got)
	}
}

// Challenges stand in WWW-Authenticate alone.
func TestStatement49OneField(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		for _, name := range []string{proxyAskHeader, "Authenticate", "Authentication-Info", replyHeader} {
			w.Header().Set(name, scheme)
		}
		w.WriteHeader(401)
	})
	resp, _ := get(t, &http.Client{Transport: &Transport{}}, s.URL)
	if resp.StatusCode != 401 || len(s.seen()) != 1 {
		t.Errorf("%s, %d requests", resp.Status, len(s.seen()))
	}
	// Of several lines, each counts.
	lines := newSite(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 0 {
			w.Header()[askHeader] = []string{`Basic realm="x", charset="UTF-8"`, `Digest realm="y", NEGOTIATE`}
			w.WriteHeader(401)
		}
	})
	if resp, _ := get(t, &http.Client{Transport: &Transport{}}, lines.URL); resp.StatusCode != 200 || lines.tokens() != 1 {
		t.Errorf("%s, %d tokens", resp.Status, lines.tokens())
	}
}

// A body is sent again where that is needed, and left alone elsewhere.
func TestStatement55NoNeedlessRewind(t *testing.T) {
	public := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) { io.Copy(w, r.Body) })
	for _, c := range []struct {
		url   string
		seeks int
	}{{public.URL, 0}, {upload(t, false).URL, 1}} {
		seeks := 0
		body := &seekBody{ReadSeeker: strings.NewReader("text"), seek: func() error { seeks++; return nil }}
		req := newRequest(t, "POST", c.url, body)
		req.ContentLength = 4
		if resp, got := do(t, &http.Client{Transport: &Transport{}}, req); !strings.HasSuffix(got, "text") || seeks != c.seeks {
			t.Errorf("%s, %q, went back to the start %d times", resp.Status, got, seeks)
		}
	}
}

// A body that can be read only once is sent once: whole, or not at all.
func TestStatement56OneShotBody(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 8192)
	for _, length := range []int64{-1, int64(len(text))} {
		for _, early := range []bool{false, true} { // the server asks before it reads the body
			s := upload(t, early)
			req := newRequest(t, "POST", s.URL, oneShot(text))
			req.ContentLength = length
			resp, got := do(t, &http.Client{Transport: &Transport{}}, req)
			err := OutcomeOf(resp).Err
			if early && (resp.StatusCode != 200 || got != fmt.Sprint(length, " ", text)) || !early && (resp.StatusCode != 401 || !errors.Is(err, ErrBody)) {
				t.Errorf("length %d, early %v: %s, %d bytes, %v", length, early, resp.Status, len(got), err)
			}
		}
	}
}

// Each hop has tokens of its own, and the header of the one before does not come along.
func TestStatement57SameHostRedirect(t *testing.T) {
	for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
		s := newWatched(t, false)
		s.answer = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/end" {
				http.Redirect(w, r, "/end", http.StatusFound)
			}
		}
		resp, _ := get(t, &http.Client{Transport: &Transport{Preemptive: preempt}}, s.URL+"/start")
		tokens := tokensOf(t, s.site)
		if want := map[Preemption]int{PreemptNever: 4, PreemptAlways: 2}[preempt]; resp.StatusCode != 200 || len(tokens) != want || !distinct(tokens, 2) {
			t.Errorf("%s: %s, %d requests", preempt, resp.Status, len(tokens))
		}
		if preempt == PreemptNever && tokens[2] != nil {
			t.Error("the token of the first hop came along")
		}
	}
}

// Another host gets a token of its own if it asks, or each host does with PreemptAlways and leave of Allow.
func TestStatement58OtherHostRedirect(t *testing.T) {
	service := newService(t)
	for _, c := range []struct {
		preempt Preemption
		asks    bool
		allow   bool
		tokens  int
	}{
		{PreemptNever, true, true, 1},
		{PreemptNever, false, true, 0},
		{PreemptRemember, false, true, 0},
		{PreemptAlways, false, true, 1},
		{PreemptAlways, false, false, 0},
	} {
		there := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			if c.asks && r.Header.Get(replyHeader) == "" {
				w.Header().Set(askHeader, scheme)
				w.WriteHeader(401)
			}
		})
		elsewhere := strings.Replace(there.URL, "localhost", "127.0.0.1", 1)
		here := newWatched(t, false)
		here.answer = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, http.StatusFound) }
		tr := &Transport{Preemptive: c.preempt, Target: func(u *url.URL) gssapi.Name {
			if u.Hostname() == "127.0.0.1" {
				return gssapi.Service("HTTP", service)
			}
			return gssapi.Name{}
		}}
		if !c.allow {
			tr.Allow = func(u *url.URL) bool { return u.Hostname() == "localhost" }
		}
		resp, _ := get(t, &http.Client{Transport: tr}, here.URL)
		if resp.StatusCode != 200 || there.tokens() != c.tokens || here.tokens() != 1 {
			t.Errorf("%+v: %s, %d tokens", c, resp.Status, there.tokens())
		}
		for _, token := range tokensOf(t, there) {
			if token != nil && slices.ContainsFunc(tokensOf(t, here.site), func(b []byte) bool { return string(b) == string(token) }) {
				t.Errorf("%+v: the token of the first host came along", c)
			}
		}
	}
}

// Methods and bodies after a redirect are net/http's business, and bodies come whole.
func TestStatement60RedirectedBody(t *testing.T) {
	for status, want := range map[int]string{302: "GET -", 303: "GET -", 307: "POST text", 308: "POST text"} {
		s := newWatched(t, false)
		s.answer = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/end" {
				http.Redirect(w, r, "/end", status)
				return
			}
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if len(b) == 0 {
				b = []byte("-")
			}
			fmt.Fprint(w, r.Method, " ", string(b))
		}
		if _, body := do(t, &http.Client{Transport: &Transport{}}, newRequest(t, "POST", s.URL, strings.NewReader("text"))); body != want {
			t.Errorf("%d: %s", status, body)
		}
	}
}

// The proof of each hop is one for the token of that hop.
func TestStatement61ProofOfEachHop(t *testing.T) {
	for _, mech := range []gssapi.OID{gssapi.SPNEGO, gssapi.KRB5} {
		for _, replay := range []bool{false, true} {
			s := newWatched(t, false)
			var first string
			s.answer = func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/end" {
					first = w.Header().Get(askHeader)
					http.Redirect(w, r, "/end", http.StatusFound)
					return
				}
				if replay {
					w.Header().Set(askHeader, first)
				}
			}
			resp, err := (&http.Client{Transport: &Transport{Mutual: MutualRequired, Mech: mech}}).Do(newRequest(t, "GET", s.URL, nil))
			if replay {
				if !errors.Is(err, ErrMutual) {
					t.Errorf("%s: the proof of the hop before: %v", mech, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if !OutcomeOf(resp).Mutual {
				t.Errorf("%s: %+v", mech, OutcomeOf(resp))
			}
		}
	}
}

// The hash is the signature's, but never MD5 or SHA-1, and SHA-256 where there is none.
func TestStatement62Hash(t *testing.T) {
	raw := []byte("a certificate")
	for algorithm, h := range map[x509.SignatureAlgorithm]func() hash.Hash{
		x509.MD5WithRSA: sha256.New, x509.SHA1WithRSA: sha256.New, x509.ECDSAWithSHA1: sha256.New,
		x509.SHA256WithRSA: sha256.New, x509.SHA256WithRSAPSS: sha256.New, x509.ECDSAWithSHA256: sha256.New,
		x509.SHA384WithRSA: sha512.New384, x509.SHA384WithRSAPSS: sha512.New384, x509.ECDSAWithSHA384: sha512.New384,
		x509.SHA512WithRSA: sha512.New, x509.SHA512WithRSAPSS: sha512.New, x509.ECDSAWithSHA512: sha512.New,
		x509.PureEd25519: sha256.New, x509.UnknownSignatureAlgorithm: sha256.New,
	} {
		sum := h()
		sum.Write(raw)
		want := "tls-server-end-point:" + string(sum.Sum(nil))
		got := EndPoint(&x509.Certificate{Raw: raw, SignatureAlgorithm: algorithm})
		if string(got.Data) != want || got.Initiator != nil || got.Acceptor != nil || got.InitiatorType != 0 || got.AcceptorType != 0 {
			t.Errorf("%s: %q", algorithm, got.Data)
		}
	}
}

// A connection that is closed with the challenge takes its certificate along, and the next one has its own.
func TestStatement63ClosedConnection(t *testing.T) {
	s := newWatched(t, true)
	handler := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		handler.ServeHTTP(w, r)
	})
	info, o := s.learns(t, &Transport{Base: trusting(s.site), ChannelBinding: BindRequired})
	if info.Flags&gssapi.FlagChannelBound == 0 || !o.ChannelBound || s.opened.Load() != 2 {
		t.Errorf("the server sees %s, %+v, %d connections", info.Flags, o, s.opened.Load())
	}
}

func TestStatement64PlainHTTP(t *testing.T) {
	s := newWatched(t, false)
	info, o := s.learns(t, &Transport{ChannelBinding: BindIfTLS})
	if info.Flags&gssapi.FlagChannelBound != 0 || o.ChannelBound {
		t.Errorf("the server sees %s, %+v", info.Flags, o)
	}
	for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
		before := s.tokens()
		resp, _ := get(t, &http.Client{Transport: &Transport{ChannelBinding: BindRequired, Preemptive: preempt}}, s.URL)
		if err := OutcomeOf(resp).Err; resp.StatusCode != 401 || !errors.Is(err, ErrBinding) || s.tokens() != before {
			t.Errorf("%s: %s, %v, %d tokens", preempt, resp.Status, err, s.tokens()-before)
		}
		_, err := (&Transport{ChannelBinding: BindRequired, Preemptive: preempt, Strict: true}).RoundTrip(newRequest(t, "GET", s.URL, nil))
		if !errors.Is(err, ErrBinding) {
			t.Errorf("%s, strict: %v", preempt, err)
		}
	}
}

// One Transport serves all hosts, and each request anew.
func TestStatement65Reuse(t *testing.T) {
	service := newService(t)
	tr := &Transport{Target: func(u *url.URL) gssapi.Name {
		if u.Hostname() == "127.0.0.1" {
			return gssapi.Service("HTTP", service)
		}
		return gssapi.Name{}
	}}
	s := newWatched(t, false)
	for range 3 {
		for url, want := range map[string]string{
			s.URL: "HTTP/localhost@NEGO.TEST",
			strings.Replace(s.URL, "localhost", "127.0.0.1", 1): "HTTP/" + service + "@NEGO.TEST",
		} {
			get(t, &http.Client{Transport: tr}, url)
			if infos := s.accepted(); infos[len(infos)-1].Acceptor.String() != want {
				t.Errorf("%s got a token for %s", url, infos[len(infos)-1].Acceptor)
			}
		}
	}
	if tokens := tokensOf(t, s.site); len(tokens) != 12 || !distinct(tokens, 6) {
		t.Errorf("%d requests", len(tokens))
	}
}

// A ticket whose time is over is a 401 with words about it.
func TestStatement68ExpiredTicket(t *testing.T) {
	var env []string
	if os.Getenv(childVariable) == "" {
		file := filepath.Join(t.TempDir(), "cc")
		if err := realm.Kinit(t.Context(), "user", "FILE:"+file); err != nil {
			t.Fatal(err)
		}
		age(t, file)
		env = []string{"KRB5CCNAME=FILE:" + file}
	}
	if !inChild(t, env...) {
		return
	}
	s := protect(t, new(Authenticator))
	for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
		resp, body := get(t, &http.Client{Transport: &Transport{Preemptive: preempt, Mutual: MutualRequired}}, s.URL)
		err := OutcomeOf(resp).Err
		if resp.StatusCode != 401 || body == "" || err == nil || !strings.Contains(err.Error(), "expired") || !strings.Contains(err.Error(), "kinit") {
			t.Errorf("%s, %q, %v", resp.Status, body, err)
		}
	}
	if n := s.tokens(); n != 0 {
		t.Errorf("%d tokens", n)
	}
}

// age moves the times of every ticket in a cache file, of version 4, two days into the past.
func age(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := 2
	number := func(size int) (n int) {
		at += size
		for _, c := range b[at-size : at] {
			n = n<<8 | int(c)
		}
		return n
	}
	data := func() { at += number(4) }
	principal := func() {
		number(4)
		for n := number(4) + 1; n > 0; n-- {
			data()
		}
	}
	at += number(2) // header fields
	principal()
	for at < len(b) {
		principal()
		principal()
		number(2)
		data() // the key
		for range 4 {
			if v := number(4); v != 0 {
				binary.BigEndian.PutUint32(b[at-4:], uint32(v-2*86400))
			}
		}
		number(1)
		number(4)
		for range 2 { // addresses, authorisation data
			for n := number(4); n > 0; n-- {
				number(2)
				data()
			}
		}
		data()
		data()
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A body that cannot be repeated needs no repetition where the token goes ahead of it.
func TestStatement68PreemptedBody(t *testing.T) {
	for _, early := range []bool{false, true} {
		s := upload(t, early)
		client := &http.Client{Transport: &Transport{Preemptive: PreemptAlways}}
		for range 2 {
			resp, body := do(t, client, newRequest(t, "POST", s.URL, oneShot("text")))
			if resp.StatusCode != 200 || body != "-1 text" {
				t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
			}
		}
		if n := len(s.seen()); n != 2 {
			t.Errorf("%d requests", n)
		}
	}
}

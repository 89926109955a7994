package negotiate

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

func sessionKey(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func newSessions() *Sessions { return &Sessions{Keys: [][]byte{sessionKey(1)}} }

// visit sends one request to an Authenticator, as serve does, and to any URL with any header fields: name, value, ….
func visit(t testing.TB, a *Authenticator, url string, fields ...string) (resp *http.Response, who string) {
	return visitWith(t.Context(), a, url, fields...)
}

func visitWith(ctx context.Context, a *Authenticator, url string, fields ...string) (resp *http.Response, who string) {
	r := httptest.NewRequestWithContext(ctx, "GET", url, nil)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who = "nobody"
		if id, ok := FromContext(r.Context()); ok {
			who = id.Initiator.String()
		}
	})).ServeHTTP(w, r)
	return w.Result(), who
}

const origin1 = "https://localhost/path?query"

// login authenticates with a token of its own and returns what cookies the response sets.
func login(t testing.TB, a *Authenticator, url string, o *gssapi.Options, fields ...string) []*http.Cookie {
	t.Helper()
	_, token := initiate(t, web, o)
	resp, who := visit(t, a, url, append(fields, replyHeader, fieldValue(token))...)
	if who == "" || who == "nobody" {
		t.Fatalf("%s, %q", resp.Status, who)
	}
	return resp.Cookies()
}

// cookieOf is what a browser sends back.
func cookieOf(t testing.TB, l []*http.Cookie) string {
	t.Helper()
	if len(l) != 1 {
		t.Fatalf("%d cookies: %v", len(l), l)
	}
	return l[0].Name + "=" + l[0].Value
}

func TestSessionCookie(t *testing.T) {
	for _, c := range []struct {
		s          Sessions
		name, path string
		age        int
	}{
		{Sessions{}, "__Host-nego", "/", 3600},
		{Sessions{Path: "/"}, "__Host-nego", "/", 3600},
		{Sessions{Path: "/app"}, "__Secure-nego", "/app", 3600},
		{Sessions{Name: "who", MaxAge: time.Minute}, "who", "/", 60},
		{Sessions{Name: "__Secure-who", MaxAge: 90 * time.Minute}, "__Secure-who", "/", 5400},
	} {
		c.s.Keys = [][]byte{sessionKey(1)}
		a := &Authenticator{Sessions: &c.s}
		l := login(t, a, origin1, nil)
		who := cookieOf(t, l)
		k := l[0]
		if k.Name != c.name || k.Path != c.path || k.MaxAge > c.age || k.MaxAge < c.age-5 || !k.Secure || !k.HttpOnly ||
			k.SameSite != http.SameSiteLaxMode || k.Domain != "" || !k.Expires.IsZero() || len(k.Raw) > 1000 {
			t.Errorf("%d bytes: %s", len(k.Raw), k.Raw)
		}
		for range 2 {
			resp, user := visit(t, a, origin1, "Cookie", "a=b; "+who)
			if user != "user@NEGO.TEST" || len(resp.Cookies()) > 0 || resp.Header.Get(askHeader) != "" || resp.Header.Get("Cache-Control") != "private" {
				t.Errorf("%s, %q, %v", resp.Status, user, resp.Header)
			}
		}
		// Host and port are that origin, however they are written.
		for _, url := range []string{"https://LOCALHOST/", "https://localhost:443/other"} {
			if resp, user := visit(t, a, url, "Cookie", who); user != "user@NEGO.TEST" {
				t.Errorf("%s: %s", url, resp.Status)
			}
		}
	}
}

// All that is known of the user is known in the next request, though not whether its connection is bound, nor its secrets.
func TestSessionKeepsIdentity(t *testing.T) {
	a := &Authenticator{Sessions: newSessions()}
	expires := time.Now().Add(10 * time.Hour)
	for _, want := range []*Identity{
		{Info: gssapi.Info{Initiator: gssapi.Principal("user@NEGO.TEST"), Acceptor: gssapi.Principal("HTTP/localhost@NEGO.TEST"),
			Mech: gssapi.KRB5, Flags: gssapi.FlagMutual | gssapi.FlagIntegrity, Expires: expires}, LocalName: "user"},
		{Info: gssapi.Info{Initiator: gssapi.NewName("DOM\\al\xffice\x01\"", gssapi.NTUser), Mech: gssapi.NTLMSSP}},
		{Info: gssapi.Info{Initiator: gssapi.User("Ünal 🐈"), Mech: "\x2a\xff\x03"}, LocalName: "\xfe"},
	} {
		r, w := httptest.NewRequest("GET", origin1, nil), httptest.NewRecorder()
		given := &Identity{Info: want.Info, LocalName: want.LocalName}
		given.Flags |= gssapi.FlagChannelBound
		a.giveSession(w, r, given)
		r.Header.Set("Cookie", cookieOf(t, w.Result().Cookies()))
		got := a.sessionUser(httptest.NewRecorder(), r)
		if got == nil || !got.Expires.Equal(want.Expires) {
			t.Fatalf("%+v, want %+v", got, want)
		}
		got.Expires, want.By = want.Expires, BySession
		if !reflect.DeepEqual(got, want) || got.TakeDelegated() != nil {
			t.Errorf("%+v by %v, want %+v", got.Info, got.By, want.Info)
		}
		for _, secret := range []string{"user", "NEGO", "alice"} {
			sealed, _ := base64.RawURLEncoding.DecodeString(w.Result().Cookies()[0].Value)
			if strings.Contains(string(sealed), secret) {
				t.Errorf("%s is there for all to read", secret)
			}
		}
	}
}

// A session does not outlast the ticket, and one that is over, or would be at once, is not given.
func TestSessionLasts(t *testing.T) {
	for _, c := range []struct {
		age, ticket time.Duration
		want        int // seconds; 0 is no session
	}{
		{0, 0, 3600}, {0, time.Minute, 60}, {time.Hour, 2 * time.Hour, 3600}, {time.Hour, -time.Second, 0}, {0, time.Millisecond, 0},
		{time.Millisecond, 0, 0}, {-time.Hour, 0, 0}, {-time.Hour, time.Hour, 0},
	} {
		a := &Authenticator{Sessions: &Sessions{Keys: [][]byte{sessionKey(1)}, MaxAge: c.age}}
		id := &Identity{Info: gssapi.Info{Initiator: gssapi.User("user")}}
		if c.ticket != 0 {
			id.Expires = time.Now().Add(c.ticket)
		}
		w := httptest.NewRecorder()
		a.giveSession(w, httptest.NewRequest("GET", origin1, nil), id)
		l := w.Result().Cookies()
		if (len(l) == 1) != (c.want > 0) || len(l) == 1 && (l[0].MaxAge > c.want || l[0].MaxAge < c.want-5) {
			t.Errorf("%+v: %v", c, l)
		}
	}
	// The time is in the cookie too: browsers may keep it as long as they like.
	s, r := newSessions(), httptest.NewRequest("GET", origin1, nil)
	until := time.Now().Add(time.Hour)
	value, err := s.seal(newSession(&Identity{Info: gssapi.Info{Initiator: gssapi.User("user")}}, until), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, now := range []time.Time{until.Add(-time.Second), until, until.Add(time.Second)} {
		if got, _ := s.open(value, r, now); (got != nil) != now.Before(until) {
			t.Errorf("%v before its end: %+v", until.Sub(now), got)
		}
	}
}

// A cookie that is no good is as none.
func TestSessionRefuses(t *testing.T) {
	a := &Authenticator{Sessions: newSessions()}
	value := login(t, a, origin1, nil)[0].Value
	another := login(t, a, origin1, nil)[0].Value
	foreign := login(t, &Authenticator{Sessions: &Sessions{Keys: [][]byte{sessionKey(2)}}}, origin1, nil)[0].Value
	renamed := login(t, &Authenticator{Sessions: &Sessions{Keys: a.Sessions.Keys, Name: "other"}}, origin1, nil)[0].Value
	r := httptest.NewRequest("GET", origin1, nil)
	sealed := func(initiator string, until time.Duration) string {
		v, err := a.Sessions.seal(newSession(&Identity{Info: gssapi.Info{Initiator: gssapi.User(initiator)}}, time.Now().Add(until)), r)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	cookie := func(values ...string) string { return "__Host-nego=" + strings.Join(values, "; __Host-nego=") }
	salt := base64.RawURLEncoding.EncodedLen(15) // a whole number of characters
	for _, optional := range []bool{false, true} {
		a := &Authenticator{Sessions: a.Sessions, Optional: optional}
		for name, c := range map[string]struct{ url, cookie string }{
			"none":                {origin1, "a=b"},
			"empty":               {origin1, cookie("")},
			"noise":               {origin1, cookie("noise")},
			"zeros":               {origin1, cookie(strings.Repeat("A", 400))},
			"plain":               {origin1, cookie(base64.RawURLEncoding.EncodeToString([]byte(`{"Initiator":{"Text":"dXNlcg=="}}`)))},
			"other key":           {origin1, cookie(foreign)},
			"other name":          {origin1, cookie(renamed)},
			"other name, as such": {origin1, "other=" + renamed},
			"other host":          {"https://www.localhost/", cookie(value)},
			"other port":          {"https://localhost:8443/", cookie(value)},
			"expired":             {origin1, cookie(sealed("user", -time.Second))},
			"no user":             {origin1, cookie(sealed("", time.Hour))},
			"swapped":             {origin1, cookie(value[:salt] + another[salt:])},
			"doubled":             {origin1, cookie(value + value)},
			"padded":              {origin1, cookie(value + "=")},
			"lengthened":          {origin1, cookie(value + "AAAA")},
			"too long":            {origin1, cookie(value + strings.Repeat("A", maxCookie))},
			"fifth":               {origin1, cookie("a", "b", "c", "d", value)},
			"plain http":          {"http://localhost/", cookie(value)},
		} {
			resp, who := visit(t, a, c.url, "Cookie", c.cookie)
			want, status := "", 401
			if optional {
				want, status = "nobody", 200
			}
			if who != want || resp.StatusCode != status || len(resp.Cookies()) > 0 ||
				!optional && fmt.Sprint(resp.Header[askHeader]) != "[Negotiate]" {
				t.Errorf("%s, optional %v: %s, %q, %v", name, optional, resp.Status, who, resp.Header)
			}
		}
	}
	if _, who := visit(t, a, origin1, "Cookie", cookie("a", "b", "c", value)); who != "user@NEGO.TEST" {
		t.Errorf("the fourth: %q", who)
	}
}

// No cookie with a bit changed, and none that is cut at either end, is a session.
func TestSessionIsWhole(t *testing.T) {
	s := newSessions()
	r := httptest.NewRequest("GET", origin1, nil)
	now := time.Now()
	value, err := s.seal(newSession(&Identity{Info: gssapi.Info{Initiator: gssapi.Principal("user@NEGO.TEST")}}, now.Add(time.Hour)), r)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := s.open(value, r, now); got == nil {
		t.Fatal("the whole one is refused")
	}
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 * len(sealed) {
		b := bytes.Clone(sealed)
		b[i/8] ^= 1 << (i % 8)
		if got, _ := s.open(base64.RawURLEncoding.EncodeToString(b), r, now); got != nil {
			t.Errorf("with bit %d changed: %+v", i, got)
		}
	}
	for i := range 8 * len(value) {
		b := []byte(value)
		b[i/8] ^= 1 << (i % 8)
		if got, _ := s.open(string(b), r, now); got != nil {
			t.Errorf("with bit %d of the text changed: %+v", i, got)
		}
	}
	for i := range value {
		for _, part := range []string{value[:i], value[i+1:], value[:i] + "\n" + value[i:], value[:i] + value[i+1:]} {
			if got, _ := s.open(part, r, now); got != nil {
				t.Errorf("%d: %+v", i, got)
			}
		}
	}
}

// Settings that would give no safe cookie let nobody in.
func TestSessionSettings(t *testing.T) {
	key := sessionKey(1)
	for want, s := range map[string]*Sessions{
		"has no key":                     {},
		"Keys[0] is too short":           {Keys: [][]byte{key[:31]}},
		"Keys[1] is too short: it has 0": {Keys: [][]byte{key, nil}},
		`the name "a b"`:                 {Keys: [][]byte{key}, Name: "a b"},
		`the name "a=b"`:                 {Keys: [][]byte{key}, Name: "a=b"},
		`the path "app"`:                 {Keys: [][]byte{key}, Path: "app"},
		`the path "/;"`:                  {Keys: [][]byte{key}, Path: "/;"},
		`for the path / only`:            {Keys: [][]byte{key}, Path: "/app", Name: "__Host-app"},
		`cookie __HOST-app`:              {Keys: [][]byte{key}, Path: "/app", Name: "__HOST-app"},
	} {
		var got []error
		a := &Authenticator{Sessions: s, Deny: func(w http.ResponseWriter, r *http.Request, err error) {
			got = append(got, err)
			w.WriteHeader(401)
		}}
		for _, optional := range []bool{false, true} {
			a.Optional = optional
			for _, url := range []string{origin1, "http://localhost/"} {
				_, token := initiate(t, web, nil)
				for _, value := range []string{"", fieldValue(token)} {
					if resp, who := visit(t, a, url, replyHeader, value, "Cookie", "a=b"); who != "" || len(resp.Cookies()) > 0 {
						t.Errorf("%s: %s, %q, %v", want, resp.Status, who, resp.Cookies())
					}
				}
			}
		}
		for _, err := range got {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q, want %s", err, want)
			}
		}
		if len(got) != 8 {
			t.Errorf("%d were refused", len(got))
		}
	}
}

// A request that authenticates does so, whatever the cookie says; and a cookie comes before the connection's user.
func TestSessionOrder(t *testing.T) {
	a := &Authenticator{Sessions: newSessions(), ConnectionBound: true}
	former := &Identity{Info: gssapi.Info{Initiator: gssapi.User("former")}}
	w := httptest.NewRecorder()
	a.giveSession(w, httptest.NewRequest("GET", origin1, nil), former)
	cookie := cookieOf(t, w.Result().Cookies())
	if _, who := visit(t, a, origin1, "Cookie", cookie); who != "former" {
		t.Fatal(who)
	}
	for _, value := range []string{"Negotiate", "Negotiate @@@", fieldValue([]byte("noise")), "Basic dTpw", "Bearer x", ""} {
		resp, who := visit(t, a, origin1, "Cookie", cookie, replyHeader, value)
		if who != "" || resp.StatusCode != 401 || len(resp.Cookies()) > 0 {
			t.Errorf("%q: %s, %q, %v", value, resp.Status, who, resp.Cookies())
		}
	}
	_, token := initiate(t, web, nil)
	resp, who := visit(t, a, origin1, "Cookie", cookie, replyHeader, fieldValue(token))
	if who != "user@NEGO.TEST" {
		t.Errorf("with a token: %q", who)
	}
	if _, who := visit(t, a, origin1, "Cookie", cookieOf(t, resp.Cookies())); who != "user@NEGO.TEST" {
		t.Errorf("the session that took its place: %q", who)
	}

	ctx := a.ConnContext(t.Context(), nil)
	a.conn(ctx).belong(&Identity{Info: gssapi.Info{Initiator: gssapi.User("bound")}})
	for _, c := range []struct{ cookie, want string }{{cookie, "former"}, {"a=b", "bound"}, {"__Host-nego=noise", "bound"}} {
		r, w := httptest.NewRequestWithContext(ctx, "GET", origin1, nil), httptest.NewRecorder()
		r.Header.Set("Cookie", c.cookie)
		id, err := a.Authenticate(w, r)
		if err != nil || id.Initiator.String() != c.want || (w.Header().Get("Persistent-Auth") == "true") != (c.want == "bound") {
			t.Errorf("%s: %+v, %v, %v", c.cookie, id, err, w.Header())
		}
	}
}

// Who gets no session ends that of whoever was there before.
func TestSessionIsNotGiven(t *testing.T) {
	s := newSessions()
	if l := login(t, &Authenticator{Sessions: s}, "http://localhost/", nil); len(l) > 0 {
		t.Errorf("over plain http: %v", l)
	}
	s.BehindTLS = true
	behind := cookieOf(t, login(t, &Authenticator{Sessions: s}, "http://localhost/", nil))
	if _, who := visit(t, &Authenticator{Sessions: s}, "http://localhost/", "Cookie", behind); who != "user@NEGO.TEST" {
		t.Errorf("behind a proxy: %q", who)
	}

	a := &Authenticator{Sessions: s}
	delegating := &gssapi.Options{Flags: gssapi.FlagDelegate}
	if l := login(t, a, origin1, delegating); len(l) > 0 {
		t.Errorf("with a delegated credential: %v", l)
	}
	l := login(t, a, origin1, delegating, "Cookie", behind)
	if len(l) != 1 || l[0].Name != "__Host-nego" || l[0].Value != "" || l[0].MaxAge != -1 || !l[0].Secure || l[0].Path != "/" {
		t.Errorf("where there was another: %v", l)
	}
	for _, size := range []int{1000, 5000, 100000} {
		w := httptest.NewRecorder()
		a.giveSession(w, httptest.NewRequest("GET", origin1, nil), &Identity{Info: gssapi.Info{Initiator: gssapi.User(strings.Repeat("x", size))}})
		line := w.Header().Get("Set-Cookie")
		if (line != "") != (size == 1000) || len(line) > maxCookie {
			t.Errorf("a name of %d bytes: Set-Cookie of %d", size, len(line))
		}
	}

	// A cookie is bound to no connection.
	required := &Authenticator{Sessions: s, ChannelBinding: BindRequired}
	if resp, who := visit(t, required, origin1, "Cookie", behind); who != "" || resp.StatusCode != 401 {
		t.Errorf("with BindRequired: %s, %q", resp.Status, who)
	}
	w := httptest.NewRecorder()
	required.giveSession(w, httptest.NewRequest("GET", origin1, nil), &Identity{Info: gssapi.Info{Initiator: gssapi.User("user")}})
	if len(w.Header()) > 0 {
		t.Errorf("with BindRequired: %v", w.Header())
	}
}

// The next handler does not see the cookie, and everything else as it was.
func TestSessionIsHidden(t *testing.T) {
	s := newSessions()
	cookie := cookieOf(t, login(t, &Authenticator{Sessions: s}, origin1, nil))
	var seen *http.Request
	deny := func(_ http.ResponseWriter, r *http.Request, _ error) { seen = r }
	for _, a := range []*Authenticator{{Sessions: s}, {Sessions: s, Optional: true}, {Sessions: s, Deny: deny}} {
		for _, c := range []struct {
			sent []string
			want string
		}{
			{nil, ""},
			{[]string{"a=b; c=d"}, "a=b; c=d"},
			{[]string{cookie}, ""},
			{[]string{"__Host-nego=old"}, ""},
			{[]string{"a=b; " + cookie + ";c=d ;__Host-nego"}, "a=b; c=d"},
			{[]string{"a=__Host-nego", cookie, "__Host-nego2=b; __Host-nego =x"}, "a=__Host-nego; __Host-nego2=b"},
		} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", origin1, nil)
			r.Header["Cookie"] = c.sent
			r.Header.Set("X-Kept", "yes")
			before := r.Header.Clone()
			seen = nil
			h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r })
			a.Handler(h).ServeHTTP(httptest.NewRecorder(), r)
			if seen == nil {
				if a.Optional || a.Deny != nil || strings.Contains(fmt.Sprint(c.sent), cookie) {
					t.Errorf("%q did not get there", c.sent)
				}
				continue
			}
			if got := strings.Join(seen.Header["Cookie"], "|"); got != c.want || seen.Header.Get("X-Kept") != "yes" {
				t.Errorf("%q became %q, want %q", c.sent, got, c.want)
			}
			if !reflect.DeepEqual(r.Header, before) {
				t.Errorf("the request itself was changed: %v", r.Header)
			}
		}
	}
}

// Neither a log nor a trace has the cookie, and no token was made.
func TestSessionTrace(t *testing.T) {
	var log bytes.Buffer
	tr := LogTrace(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	logged := tr.Accept
	var got []AcceptInfo
	tr.Accept = func(ctx context.Context, i AcceptInfo) {
		got = append(got, i)
		logged(ctx, i)
	}
	a := &Authenticator{Sessions: newSessions(), Trace: tr}
	mutual := &gssapi.Options{Flags: gssapi.FlagMutual}
	cookie := cookieOf(t, login(t, a, origin1, mutual))
	visit(t, a, origin1, "Cookie", cookie)
	visit(t, a, origin1, "Cookie", cookie[:len(cookie)-1])
	if len(got) != 2 || got[0].Token == 0 || got[1].Token != 0 || got[1].Identity.Initiator.String() != "user@NEGO.TEST" || got[1].URL != "https://localhost/path" {
		t.Errorf("%+v", got)
	}
	_, value, _ := strings.Cut(cookie, "=")
	if text := log.String() + fmt.Sprintf("%+v", got); strings.Contains(text, value[:20]) || !strings.Contains(text, "request accepted") {
		t.Error(text)
	}
}

// oldCookie was made with the first of these keys at localhost, and is good until 2100: what a cookie looks like is not
// changed without a new version, or all users have to authenticate again.
const oldCookie = "wgLnFQa9LLRR9BrAs84Gmmx1YyATUNHqDiLovvmriwTReW4Zu-3qs4bN2yekORS6U3ZDPhiIlimQI45A0cE0olOEbKW78-MSVjSRi2n9IFbJ_e8aQV7eKAbaiJa8xrKUUyysV9rlLEeAi8qFdcDMFNEPm0BPQH3Kz5ErN0JtrSRxjkunSEnPCTHLU0j5XKdQlNO9jBlyVrSs5pkDVqJUSK7BBkKw2Rrw0cbfXDMUnVRo_RGt23FWFwZe_IvqLeUxBOBxXgCZPLlQOMqGfha_GgMEFw"

func TestSessionFormat(t *testing.T) {
	_, who := visit(t, &Authenticator{Sessions: newSessions()}, origin1, "Cookie", "__Host-nego="+oldCookie)
	if who != "user@NEGO.TEST" {
		t.Errorf("%q", who)
	}
}

func FuzzSession(f *testing.F) {
	f.Add(oldCookie)
	f.Add(oldCookie[1:])
	f.Add("")
	f.Fuzz(func(t *testing.T, value string) {
		a := &Authenticator{Sessions: newSessions()}
		r := httptest.NewRequest("GET", origin1, nil)
		if got, _ := a.Sessions.open(value, r, time.Now()); got != nil && value != oldCookie {
			t.Errorf("%q: %+v", value, got)
		}
		r.Header["Cookie"] = []string{"__Host-nego=" + value}
		if id := a.sessionUser(httptest.NewRecorder(), r); id != nil && !strings.Contains(value, oldCookie) {
			t.Errorf("%q: %+v", value, id)
		}
		if l := a.hideSession(r).CookiesNamed("__Host-nego"); len(l) > 0 {
			t.Errorf("%q: %q is passed on", value, l)
		}
	})
}

package negotiate

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// serve sends one request with these values of Authorization to an Authenticator, and reports who reached the
// handler behind it: "" is none.
func serve(t *testing.T, a *Authenticator, values ...string) (resp *http.Response, who string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/path?query", nil)
	r.Header["Authorization"] = values
	w := httptest.NewRecorder()
	a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who = "nobody"
		if id, ok := FromContext(r.Context()); ok {
			who = id.Initiator.String()
		}
		w.WriteHeader(418)
	})).ServeHTTP(w, r)
	return w.Result(), who
}

var web = gssapi.Service("HTTP", "localhost")

func TestAuthenticatorAccepts(t *testing.T) {
	var a Authenticator
	krb5 := &gssapi.Options{Mech: gssapi.KRB5}
	mutual := &gssapi.Options{Mech: gssapi.KRB5, Flags: gssapi.FlagMutual}
	for _, c := range []struct {
		name string
		o    *gssapi.Options
		form func(token string) string
	}{
		{"SPNEGO", nil, func(s string) string { return "Negotiate " + s }},
		{"odd case, more blanks", nil, func(s string) string { return "  nEGOTIATE \t " + s + " " }},
		{"no padding", nil, func(s string) string { return "Negotiate " + strings.TrimRight(s, "=") }},
		{"krb5", krb5, func(s string) string { return "Negotiate " + s }},
		{"krb5 mutual", mutual, func(s string) string { return "Negotiate " + s }},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc, token := initiate(t, web, c.o)
			resp, who := serve(t, &a, c.form(base64.StdEncoding.EncodeToString(token)))
			if who != "user@NEGO.TEST" || resp.StatusCode != 418 {
				t.Fatalf("%s, %q", resp.Status, who)
			}
			// The token goes with the handler's own status.
			out, found, err := findChallenge(resp.Header[askHeader])
			if err != nil || found == sc.Established() {
				t.Errorf("%v, the client is done: %v", resp.Header, sc.Established())
			}
			if !sc.Established() {
				if _, err := sc.Step(t.Context(), out); err != nil || !sc.Established() {
					t.Errorf("the client does not take the answer: %v", err)
				}
			}
		})
	}
}

func TestAuthenticatorRefuses(t *testing.T) {
	nfs := fmt.Sprintf("nfs/nfs%d.nego.test", serial.Add(1))
	if err := realm.AddService(nfs); err != nil {
		t.Fatal(err)
	}
	_, good := initiate(t, web, nil)
	_, used := initiate(t, web, nil)
	_, usedKRB5 := initiate(t, web, &gssapi.Options{Mech: gssapi.KRB5})
	_, foreign := initiate(t, gssapi.Principal(nfs+"@NEGO.TEST"), nil)
	noMech, err := hex.DecodeString("601b06062b0601050502a011300fa00d300b06092a864886f712010202")
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(good)
	damaged[len(damaged)-20] ^= 1
	token := func(b []byte) []string { return []string{fieldValue(b)} }
	for _, b := range [][]byte{used, usedKRB5} {
		if _, who := serve(t, new(Authenticator), fieldValue(b)); who == "" {
			t.Error("refused a token at its first use")
		}
	}

	for _, a := range []*Authenticator{{}, {Optional: true}, {Credential: acceptorFor(t, gssapi.Service("HTTP", "localhost"))}} {
		for name, values := range map[string][]string{
			"no token":                    {"Negotiate"},
			"empty token":                 {"Negotiate "},
			"only padding":                {"Negotiate =="},
			"not base64":                  {"Negotiate @@@"},
			"blank within":                {"Negotiate QUF BQUFB"},
			"two values":                  {fieldValue(good), fieldValue(good)},
			"with another scheme":         {fieldValue(good), "Basic dTpw"},
			"behind another scheme":       {"Basic dTpw", fieldValue(good)},
			"list":                        {fieldValue(good) + ", Basic dTpw"},
			"one byte":                    token([]byte{0x60}),
			"noise":                       token([]byte("this is no token")),
			"zeros":                       token(make([]byte, 1000)),
			"cut":                         token(good[:len(good)/2]),
			"cut by one":                  token(good[:len(good)-1]),
			"damaged":                     token(damaged),
			"SPNEGO without mechToken":    token(noMech),
			"SPNEGO answer":               {"Negotiate oQcwBaADCgEA"},
			"SPNEGO reject":               {"Negotiate oQcwBaADCgEC"},
			"NTLM":                        {"Negotiate TlRMTVNTUAABAAAAl4II4gAAAAAAAAAAAAAAAAAAAAAKAGFKAAAADw=="},
			"NTLM in SPNEGO":              {"Negotiate YEAGBisGAQUFAqA2MDSgDjAMBgorBgEEAYI3AgIKoiIEIE5UTE1TU1AAAQAAAAcCAAAAAAAAAAAAAAAAAAAAAAAA"},
			"used":                        token(used),
			"used, krb5":                  token(usedKRB5),
			"for another service":         token(foreign),
			"a huge length":               {"Negotiate YISAAAAAAAY="},
			"indefinite length":           {"Negotiate YIAGBisGAQUFAgAA"},
			"raw krb5 header and no more": {"Negotiate YA4GCSqGSIb3EgECAgEA"},
		} {
			t.Run(name, func(t *testing.T) {
				resp, who := serve(t, a, values...)
				if onHeimdal && strings.HasPrefix(name, "used") { // it keeps no replay cache
					if who != "user@NEGO.TEST" {
						t.Errorf("%s, reached the handler as %q", resp.Status, who)
					}
					return
				}
				body, _ := io.ReadAll(resp.Body)
				if who != "" || resp.StatusCode != 401 {
					t.Fatalf("%s, reached the handler as %q", resp.Status, who)
				}
				if _, found, err := findChallenge(resp.Header[askHeader]); !found || err != nil || len(resp.Header[askHeader]) != 1 {
					t.Errorf("no challenge: %v", resp.Header)
				}
				if s := string(body); strings.Contains(s, "gss") || strings.Contains(s, "keytab") || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
					t.Errorf("body %q, %v", s, resp.Header)
				}
			})
		}
	}
	// None of that kept the good one from working.
	if _, who := serve(t, &Authenticator{}, fieldValue(good)); who != "user@NEGO.TEST" {
		t.Errorf("afterwards: %q", who)
	}
}

// What a request authenticates with is not the next handler's, and the request of the caller stays as it was.
func TestAuthorizationIsHidden(t *testing.T) {
	name, password := newUser(t)
	_, token := initiate(t, web, nil)
	for _, value := range []string{fieldValue(token), basicValue(name, password)} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "https://localhost/", nil)
		r.Header.Set(replyHeader, value)
		called := false
		(&Authenticator{Basic: true}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if called = true; len(r.Header[replyHeader]) > 0 {
				t.Error("the next handler sees it")
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
		if !called || r.Header.Get(replyHeader) != value {
			t.Errorf("called: %v, %q", called, r.Header.Get(replyHeader))
		}
	}
	// Where it is not this Authenticator's, it is the next handler's.
	r := httptest.NewRequest("GET", "https://localhost/", nil)
	r.Header.Set(replyHeader, "Bearer of something")
	(&Authenticator{Optional: true}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(replyHeader) != "Bearer of something" {
			t.Error("the next handler does not see it")
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
}

func acceptorFor(t *testing.T, name gssapi.Name) *gssapi.Credential {
	t.Helper()
	c, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Name: name, Usage: gssapi.Accept})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A credential for one service takes no tokens for another, though the keytab has both keys; the default takes
// those of every HTTP service.
func TestAuthenticatorCredential(t *testing.T) {
	other := gssapi.Service("HTTP", newService(t))
	only := &Authenticator{Credential: acceptorFor(t, web)}
	for _, c := range []struct {
		a      *Authenticator
		target gssapi.Name
		ok     bool
	}{{only, web, true}, {only, other, false}, {new(Authenticator), web, true}, {new(Authenticator), other, true}} {
		_, token := initiate(t, c.target, nil)
		if _, who := serve(t, c.a, fieldValue(token)); (who != "") != c.ok {
			t.Errorf("%s reached the handler as %q, want %v", c.target, who, c.ok)
		}
	}
}

func TestAuthenticatorWithoutToken(t *testing.T) {
	for _, values := range [][]string{nil, {""}, {"Basic dTpw"}, {"Bearer abc"}, {"NTLM TlRMTVNTUAABAAAA"}} {
		resp, who := serve(t, new(Authenticator), values...)
		if who != "" || resp.StatusCode != 401 || len(resp.Header[askHeader]) != 1 || resp.Header.Get(askHeader) != "Negotiate" {
			t.Errorf("%q: %s, %q, %v", values, resp.Status, who, resp.Header)
		}
		resp, who = serve(t, &Authenticator{Optional: true}, values...)
		if who != "nobody" || resp.Header.Get(askHeader) != "" {
			t.Errorf("%q, optional: %s, %q, %v", values, resp.Status, who, resp.Header)
		}
	}
	_, token := initiate(t, web, nil)
	if _, who := serve(t, &Authenticator{Optional: true}, fieldValue(token)); who != "user@NEGO.TEST" {
		t.Errorf("optional, with a token: %q", who)
	}
}

func TestAuthenticate(t *testing.T) {
	var a Authenticator
	_, token := initiate(t, web, &gssapi.Options{Flags: gssapi.FlagMutual})
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	w := httptest.NewRecorder()
	w.Header().Set(askHeader, `Basic realm="x"`)
	if id, err := a.Authenticate(w, r); id != nil || !errors.Is(err, ErrNoToken) {
		t.Errorf("%v, %v", id, err)
	}
	if got := fmt.Sprint(w.Header()[askHeader]); got != `[Basic realm="x" Negotiate]` {
		t.Error(got)
	}
	r.Header.Set("Authorization", fieldValue(token))
	w = httptest.NewRecorder()
	id, err := a.Authenticate(w, r)
	if err != nil {
		t.Fatal(err)
	}
	if id.Initiator.String() != "user@NEGO.TEST" || id.Acceptor.String() != "HTTP/localhost@NEGO.TEST" || id.Mech != gssapi.KRB5 ||
		id.Flags&gssapi.FlagMutual == 0 || id.Expires.IsZero() || id.Initiated {
		t.Errorf("%+v", id)
	}
	if w.Body.Len() != 0 || len(w.Header()) != 1 {
		t.Errorf("it wrote %q, %v", w.Body, w.Header())
	}
}

func TestDeny(t *testing.T) {
	var got []error
	a := &Authenticator{Deny: func(w http.ResponseWriter, r *http.Request, err error) {
		got = append(got, err)
		w.WriteHeader(401)
		io.WriteString(w, "log in")
	}}
	for _, values := range [][]string{nil, {fieldValue([]byte("noise"))}, {"Negotiate @@@"}} {
		resp, who := serve(t, a, values...)
		if b, _ := io.ReadAll(resp.Body); who != "" || string(b) != "log in" {
			t.Errorf("%q, %q", who, b)
		}
	}
	var library *gssapi.Error
	if len(got) != 3 || !errors.Is(got[0], ErrNoToken) || !errors.As(got[1], &library) || !errors.Is(got[2], ErrChallenge) {
		t.Error(got)
	}
	var e *Error
	if !errors.As(got[1], &e) || e.URL != "/path" || e.Status != 401 {
		t.Errorf("%+v", e)
	}
}

// Deny has the last word on the challenge: a client that answers it with what cannot succeed need not get it again.
func TestDenySaysLess(t *testing.T) {
	a := &Authenticator{Basic: true, Deny: func(w http.ResponseWriter, r *http.Request, err error) {
		if !errors.Is(err, ErrNoToken) || strings.HasPrefix(r.UserAgent(), "Old") {
			w.Header()[askHeader] = slices.DeleteFunc(w.Header()[askHeader], func(v string) bool { return strings.HasPrefix(v, scheme) })
		}
		w.WriteHeader(401)
	}}
	for _, c := range []struct {
		agent, authorization string
		challenges           int
	}{{"New", "", 2}, {"New", fieldValue([]byte("noise")), 1}, {"Old", "", 1}} {
		fields := []string{"User-Agent", c.agent}
		if c.authorization != "" {
			fields = append(fields, replyHeader, c.authorization)
		}
		resp, who := visit(t, a, origin1, fields...)
		if got := resp.Header[askHeader]; who != "" || resp.StatusCode != 401 || len(got) != c.challenges || got[len(got)-1] != basicChallenge {
			t.Errorf("%+v: %s, %q, %q", c, resp.Status, who, got)
		}
	}
}

// A keytab that is not there yet is looked for again.
func TestKeytabAppearsLater(t *testing.T) {
	const source = "NEGOTIATE_TEST_KEYTAB"
	var env []string
	if realm != nil {
		env = []string{"KRB5_KTNAME=" + filepath.Join(t.TempDir(), "keytab"), source + "=" + realm.KeytabFile}
	}
	if !inChild(t, env...) {
		return
	}
	var a Authenticator
	_, token := initiate(t, web, nil)
	resp, who := serve(t, &a, fieldValue(token))
	if who != "" || resp.StatusCode != 401 || resp.Header.Get(askHeader) != "Negotiate" {
		t.Errorf("%s, %q, %v", resp.Status, who, resp.Header)
	}
	keys, err := os.ReadFile(os.Getenv(source))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("KRB5_KTNAME"), keys, 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		_, token := initiate(t, web, nil)
		wg.Go(func() {
			if _, who := serve(t, &a, fieldValue(token)); who != "user@NEGO.TEST" {
				t.Errorf("with the keytab there: %q", who)
			}
		})
	}
	wg.Wait()
}

func FuzzRequestToken(f *testing.F) {
	f.Add("Negotiate U1JW")
	f.Add("Negotiate ==")
	f.Fuzz(func(t *testing.T, value string) {
		token, err := requestToken(http.Header{"Authorization": {value}})
		if (err == nil) != (len(token) > 0) {
			t.Errorf("%q: %q, %v", value, token, err)
		}
	})
}

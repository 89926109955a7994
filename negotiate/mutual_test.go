package negotiate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// answer is a site that authenticates the client and then answers with status and what token makes of the
// right one.
func answer(t *testing.T, status int, token func(r *http.Request, right []byte) (value string)) *site {
	t.Helper()
	var a Authenticator
	return newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if _, err := a.Authenticate(w, r); err != nil {
			w.WriteHeader(401)
			return
		}
		right, _, err := findChallenge(w.Header()[askHeader])
		if err != nil {
			t.Error(err)
		}
		w.Header().Del(askHeader)
		if value := token(r, right); value != "" {
			w.Header().Set(askHeader, value)
		}
		w.Header().Set("X-Secret", "yes")
		w.Header().Set("Server", "test")
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(status)
		if status >= 200 && status != 304 && status != 204 {
			io.WriteString(w, "body")
		}
	})
}

func noToken(*http.Request, []byte) string               { return "" }
func rightToken(_ *http.Request, right []byte) string    { return fieldValue(right) }
func rejectedToken(_ *http.Request, right []byte) string { return "Negotiate oQcwBaADCgEC" }

func TestMutual(t *testing.T) {
	const (
		returned = iota
		refused  // ErrMutual
		stripped
	)
	for _, c := range []struct {
		mutual                              Mutual
		belowNone, belowRight, belowWrong   int
		statusNone, statusRight, statusFail int
	}{
		{MutualRequired, refused, returned, refused, stripped, returned, refused},
		{MutualOptional, returned, returned, refused, returned, returned, refused},
		{MutualDisabled, returned, returned, returned, returned, returned, returned},
	} {
		for _, k := range []struct {
			name   string
			status []int
			token  func(*http.Request, []byte) string
			want   int
		}{
			{"none", []int{200, 204, 302, 304}, noToken, c.belowNone},
			{"right", []int{200, 204, 302, 304}, rightToken, c.belowRight},
			{"wrong", []int{200, 204, 302, 304}, rejectedToken, c.belowWrong},
			{"none", []int{400, 403, 407, 500, 503}, noToken, c.statusNone},
			{"right", []int{400, 403, 407, 500, 503}, rightToken, c.statusRight},
			{"wrong", []int{400, 403, 407, 500, 503}, rejectedToken, c.statusFail},
			{"none", []int{401}, noToken, returned},
			{"right", []int{401}, rightToken, returned},
			{"wrong", []int{401}, rejectedToken, returned},
		} {
			for _, status := range k.status {
				for _, keep := range []bool{false, true} {
					t.Run(fmt.Sprint(c.mutual, " ", k.name, " ", status, " keep ", keep), func(t *testing.T) {
						s := answer(t, status, k.token)
						var o Outcome
						req := newRequest(t, "GET", s.URL, nil).WithContext(WithOutcome(t.Context(), &o))
						tr := &Transport{Mutual: c.mutual, KeepErrorBody: keep}
						resp, err := tr.RoundTrip(req)
						if k.want == refused {
							if !errors.Is(err, ErrMutual) || !errors.Is(o.Err, ErrMutual) || resp != nil {
								t.Fatalf("%v, %v, %+v", resp, err, o)
							}
							return
						}
						if err != nil {
							t.Fatal(err)
						}
						b, _ := io.ReadAll(resp.Body)
						resp.Body.Close()
						if resp.StatusCode != status || o != OutcomeOf(resp) {
							t.Errorf("%s, %+v", resp.Status, o)
						}
						intact := resp.Header.Get("X-Secret") == "yes" && len(resp.Cookies()) == 1 && (status < 400 || string(b) == "body")
						if wantIntact := k.want == returned || keep; intact != wantIntact {
							t.Errorf("intact: %v, %v %q", intact, resp.Header, b)
						}
						if k.want == stripped && !errors.Is(o.Err, ErrMutual) {
							t.Errorf("outcome %+v", o)
						}
						if o.Mutual != (c.mutual != MutualDisabled && k.name == "right") {
							t.Errorf("outcome %+v", o)
						}
					})
				}
			}
		}
	}
}

func TestStripped(t *testing.T) {
	s := answer(t, 500, noToken)
	client := &http.Client{Transport: &Transport{Mutual: MutualRequired, Strict: true}}
	for range 3 {
		resp, body := get(t, client, s.URL)
		if resp.Header.Get("Date") == "" {
			t.Error("no Date")
		}
		resp.Header.Del("Date")
		want := http.Header{"Content-Length": {"0"}, "Server": {"test"}}
		if body != "" || resp.ContentLength != 0 || !reflect.DeepEqual(resp.Header, want) || resp.Trailer != nil || resp.Status != "500 Internal Server Error" {
			t.Errorf("%s %v %q", resp.Status, resp.Header, body)
		}
	}
	if n := s.opened.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// Nothing but the answer to this very token proves anything.
func TestForgedProof(t *testing.T) {
	mechs := []gssapi.OID{gssapi.SPNEGO, gssapi.KRB5}
	earlier := map[gssapi.OID][]byte{}
	for _, mech := range mechs {
		s := answer(t, 200, func(_ *http.Request, right []byte) string { earlier[mech] = right; return fieldValue(right) })
		get(t, &http.Client{Transport: &Transport{Mutual: MutualRequired, Mech: mech}}, s.URL)
	}

	for name, forge := range map[string]func(r *http.Request, right []byte) string{
		"empty":                   func(*http.Request, []byte) string { return "Negotiate" },
		"malformed":               func(*http.Request, []byte) string { return "Negotiate @@@" },
		"noise":                   func(*http.Request, []byte) string { return fieldValue([]byte("noise")) },
		"accepted, without proof": func(*http.Request, []byte) string { return "Negotiate oQcwBaADCgEA" },
		"accepted, krb5 chosen":   func(*http.Request, []byte) string { return "Negotiate oRQwEqADCgEAoQsGCSqGSIb3EgECAg==" },
		"incomplete":              func(*http.Request, []byte) string { return "Negotiate oQcwBaADCgEB" },
		"reflected":               func(r *http.Request, _ []byte) string { return r.Header.Get("Authorization") },
		"of another context":      noToken,
		"damaged": func(_ *http.Request, right []byte) string {
			b := bytes.Clone(right)
			b[len(b)-5] ^= 1
			return fieldValue(b)
		},
		"cut": func(_ *http.Request, right []byte) string { return fieldValue(right[:len(right)-8]) },
	} {
		for _, mech := range mechs {
			for _, mutual := range []Mutual{MutualOptional, MutualRequired} {
				t.Run(fmt.Sprint(name, mech, mutual), func(t *testing.T) {
					s := answer(t, 200, func(r *http.Request, right []byte) string {
						value := forge(r, right)
						if name == "of another context" {
							value = fieldValue(earlier[mech])
						}
						return value
					})
					var o Outcome
					tr := &Transport{Mutual: mutual, Mech: mech}
					_, err := tr.RoundTrip(newRequest(t, "GET", s.URL, nil).WithContext(WithOutcome(t.Context(), &o)))
					if !errors.Is(err, ErrMutual) || o.Mutual {
						t.Errorf("%v, %+v", err, o)
					}
				})
			}
		}
	}
}

// A client that asked for no proof has none to check: a server without mutual authentication.
func TestProofOfAMechanismWithoutIt(t *testing.T) {
	tr := &Transport{Mutual: MutualRequired}
	x := newExchange(tr, tr.pools(), newRequest(t, "GET", "http://localhost", nil))
	x.pool = x.pools.get(identity{})
	sc, token := initiate(t, gssapi.Service("HTTP", "localhost"), nil) // FlagMutual is not asked for
	acceptor := gssapi.NewAcceptor(nil)
	defer acceptor.Close()
	out, err := acceptor.Step(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	x.origin.sc = sc
	resp := &http.Response{StatusCode: 200, Header: http.Header{askHeader: {fieldValue(out)}}, Body: http.NoBody}
	if _, err := x.verify(resp); !errors.Is(err, ErrMutual) || !sc.Established() || x.out.Mutual {
		t.Errorf("%v, %+v", err, x.out)
	}
}

// Responses that nobody authenticated for.
func TestMutualWithoutChallenge(t *testing.T) {
	for _, c := range []struct {
		status   int
		token    string
		mutual   Mutual
		err      error
		stripped bool
	}{
		{200, "", MutualRequired, ErrMutual, false},
		{500, "", MutualRequired, nil, true},
		{200, "", MutualOptional, nil, false},
		{200, "Negotiate", MutualOptional, nil, false}, // an offer
		{200, "Negotiate", MutualRequired, ErrMutual, false},
		{200, "Negotiate QUFB", MutualOptional, ErrMutual, false},
		{500, "Negotiate QUFB", MutualRequired, ErrMutual, false},
		{200, "Negotiate QUFB", MutualDisabled, nil, false},
	} {
		s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			if c.token != "" {
				w.Header().Set(askHeader, c.token)
			}
			w.WriteHeader(c.status)
			io.WriteString(w, "body")
		})
		for _, foreign := range []string{"", "Bearer abc"} {
			req := newRequest(t, "GET", s.URL, nil)
			if foreign != "" {
				req.Header.Set("Authorization", foreign)
			}
			resp, err := (&Transport{Mutual: c.mutual}).RoundTrip(req)
			if !errors.Is(err, c.err) {
				t.Errorf("%+v: %v", c, err)
			}
			if err != nil {
				continue
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if (string(b) == "") != c.stripped {
				t.Errorf("%+v: %q", c, b)
			}
		}
	}
}

// A response without proof that goes on for ever is not waited for.
func TestEndlessResponseWithoutProof(t *testing.T) {
	for name, h := range map[string]func(w http.ResponseWriter, r *http.Request){
		"stream": func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"upgrade": func(w http.ResponseWriter, r *http.Request) {
			c, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			rw.ReadByte()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) { h(w, r) })
			if _, err := (&Transport{Mutual: MutualRequired}).RoundTrip(newRequest(t, "GET", s.URL, nil)); !errors.Is(err, ErrMutual) {
				t.Error(err)
			}
		})
	}
}

// Without Mutual an upgraded connection is the caller's.
func TestUpgrade(t *testing.T) {
	var a Authenticator
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if _, err := a.Authenticate(w, r); err != nil {
			w.WriteHeader(401)
			return
		}
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := rw.ReadString('\n')
		io.WriteString(c, line)
	})
	req := newRequest(t, "GET", s.URL, nil)
	req.Header["Connection"], req.Header["Upgrade"] = []string{"Upgrade"}, []string{"echo"}
	resp, err := (&Transport{}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	c, ok := resp.Body.(io.ReadWriter)
	if !ok || resp.StatusCode != 101 {
		t.Fatalf("%s, %T", resp.Status, resp.Body)
	}
	io.WriteString(c, "hello\n")
	if b, err := io.ReadAll(c); string(b) != "hello\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// The request's context ends just before the proof is looked at.
func TestCancelledProof(t *testing.T) {
	s := answer(t, 200, rightToken)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	own := http.DefaultTransport.(*http.Transport).Clone()
	defer own.CloseIdleConnections()
	base := &fakeBase{roundTrip: func(r *http.Request) (*http.Response, error) {
		resp, err := own.RoundTrip(r)
		if r.Header.Get(replyHeader) != "" {
			cancel()
		}
		return resp, err
	}}
	var o Outcome
	_, err := (&Transport{Base: base, Mutual: MutualRequired}).RoundTrip(newRequest(t, "GET", s.URL, nil).WithContext(WithOutcome(ctx, &o)))
	if err != context.Canceled || !errors.Is(o.Err, context.Canceled) || errors.Is(o.Err, ErrMutual) {
		t.Errorf("%v, %+v", err, o)
	}
}

func TestMutualString(t *testing.T) {
	if got := fmt.Sprint(MutualDisabled, MutualOptional, MutualRequired, Mutual(7)); got != "disabled optional required Mutual(7)" {
		t.Error(got)
	}
}

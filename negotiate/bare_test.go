package negotiate

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/krbtest"
)

// mustBeBare makes tokens until they have no context behind them: a ticket cache that was written just now has to rest, and
// acceptors that have wanted more get contexts until it has changed. gssapi tells nobody that, as it is to make no difference.
func mustBeBare(t testing.TB, target gssapi.Name, o gssapi.Options) {
	t.Helper()
	if onHeimdal { // each has
		return
	}
	o.AuthOnly = true
	touched := false
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		sc := gssapi.NewInitiator(target, &o)
		_, err := sc.Step(t.Context(), nil)
		bare := !reflect.ValueOf(sc).Elem().FieldByName("by").IsNil()
		sc.Close()
		if err != nil {
			t.Fatal(err)
		}
		if bare {
			return
		}
		if !touched {
			touched = true
			if err := os.Chtimes(strings.TrimPrefix(os.Getenv("KRB5CCNAME"), "FILE:"), time.Time{}, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatal("each token has a context")
}

// answers to a token, by what is wrong with them. What is empty is a challenge without a token.
var bareAnswers = map[string]string{
	"nothing":                   "",
	"garbage":                   "garbage",
	"no base64":                 "\x00",
	"accept-completed":          "\xa1\x07\x30\x05\xa0\x03\x0a\x01\x00",
	"accept-completed, krb5":    "\xa1\x14\x30\x12\xa0\x03\x0a\x01\x00\xa1\x0b\x06\x09" + string(gssapi.KRB5),
	"accept-incomplete":         "\xa1\x07\x30\x05\xa0\x03\x0a\x01\x01",
	"accept-incomplete, krb5":   "\xa1\x14\x30\x12\xa0\x03\x0a\x01\x01\xa1\x0b\x06\x09" + string(gssapi.KRB5),
	"accept-incomplete, NTLM":   "\xa1\x15\x30\x13\xa0\x03\x0a\x01\x01\xa1\x0c\x06\x0a" + string(gssapi.NTLMSSP),
	"accept-incomplete, IAKERB": "\xa1\x11\x30\x0f\xa0\x03\x0a\x01\x01\xa1\x08\x06\x06" + string(gssapi.IAKERB),
	"reject":                    "\xa1\x07\x30\x05\xa0\x03\x0a\x01\x02",
	"request-mic":               "\xa1\x07\x30\x05\xa0\x03\x0a\x01\x03",
	"request-mic, krb5":         "\xa1\x14\x30\x12\xa0\x03\x0a\x01\x03\xa1\x0b\x06\x09" + string(gssapi.KRB5),
	"request-mic, NTLM":         "\xa1\x15\x30\x13\xa0\x03\x0a\x01\x03\xa1\x0c\x06\x0a" + string(gssapi.NTLMSSP),
	"response token":            "\xa1\x0e\x30\x0c\xa0\x03\x0a\x01\x00\xa2\x05\x04\x03abc",
	"krb5's error":              "\x60\x0f\x06\x09" + string(gssapi.KRB5) + "\x03\x00\x6e\x00",
	"raw NTLM":                  "NTLMSSP\x00\x02\x00\x00\x00",
}

// bareResult is everything that a client can tell of some requests.
type bareResult struct {
	outcomes []string
	events   []string
}

// A token without a context is answered as one with it is: whatever the server says, and whatever way the request goes, outcome,
// errors, events and what the server gets are the same as with a credential that somebody has acquired, for which the library makes each context.
func TestBareTokenIsAnswered(t *testing.T) {
	if onHeimdal || !inChild(t, localFiles()...) {
		return
	}
	setenv(krbtest.Start(t, nil).Env()...)
	cred, err := gssapi.Acquire(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	localhost := gssapi.Service("HTTP", "localhost")

	type way struct {
		name    string
		tls     bool
		http2   bool
		proxy   bool
		lanes   bool
		once    bool // the body
		mech    gssapi.OID
		preempt Preemption
		strict  bool
	}
	ways := []way{
		{name: "on challenge"},
		{name: "strict", strict: true},
		{name: "krb5", mech: gssapi.KRB5},
		{name: "early", preempt: PreemptAlways},
		{name: "remembered", preempt: PreemptRemember},
		{name: "a body that can be sent once", once: true},
		{name: "a body that can be sent once, early", once: true, preempt: PreemptAlways},
		{name: "lane", lanes: true},
		{name: "lane, a body that can be sent once", lanes: true, once: true, preempt: PreemptAlways},
		{name: "https", tls: true},
		{name: "https lane, early", tls: true, lanes: true, preempt: PreemptAlways},
		{name: "HTTP/2", tls: true, http2: true},
		{name: "HTTP/2, early, a body that can be sent once", tls: true, http2: true, preempt: PreemptAlways, once: true},
		{name: "proxy", proxy: true},
		{name: "proxy, a body that can be sent once", proxy: true, once: true},
		{name: "proxy, krb5", proxy: true, mech: gssapi.KRB5},
	}
	run := func(t *testing.T, w way, status int, value string, cred *gssapi.Credential) (r bareResult) {
		if cred == nil {
			mustBeBare(t, localhost, gssapi.Options{Mech: w.mech})
		}
		ask, reply, challenge := askHeader, "Authorization", http.StatusUnauthorized
		if w.proxy {
			ask, reply, challenge = proxyAskHeader, proxyReplyHeader, http.StatusProxyAuthRequired
		}
		if status == 401 {
			status = challenge
		}
		s := newUnstartedSite(func(rw http.ResponseWriter, req *http.Request, _ int) {
			if req.Header.Get(reply) == "" {
				rw.Header().Set(ask, "Negotiate")
				rw.WriteHeader(challenge)
				return
			}
			io.Copy(io.Discard, req.Body)
			rw.Header().Set(ask, value)
			rw.WriteHeader(status)
		})
		s.EnableHTTP2 = w.http2
		base, scheme := new(http.Transport), "http"
		if w.tls {
			s.StartTLS()
			scheme, base = "https", trusting(s)
			base.ForceAttemptHTTP2 = w.http2
		} else {
			s.Start()
		}
		defer s.Close()
		s.URL = scheme + "://localhost:" + s.port()
		target := s.URL
		if w.proxy {
			u, _ := url.Parse(s.URL)
			base.Proxy, target = http.ProxyURL(u), "http://origin.nego.test/"
		}
		tr := &Transport{Base: base, Credential: cred, Mech: w.mech, Preemptive: w.preempt, Strict: w.strict, ProxyAuth: w.proxy}
		tr.Trace = &Trace{
			Challenge: func(_ context.Context, i ChallengeInfo) {
				r.events = append(r.events, fmt.Sprint("challenge ", i.Legs, i.Token))
			},
			GSS: func(_ context.Context, i GSSInfo) {
				// Whose the default credential is the library says before the peer has answered (Info.Initiator).
				if who := i.Info.Initiator; i.Err == nil && (who.String() == "user@NEGO.TEST") != (cred == nil || i.Established) {
					t.Errorf("a token of %q", who)
				}
				i.Info.Initiator = gssapi.Name{}
				expires := !i.Info.Expires.IsZero()
				i.Info.Expires = time.Time{}
				r.events = append(r.events, fmt.Sprintf("%s %+v expires %t established %t in %d out %d00 %v", i.Op, i.Info, expires, i.Established, i.In, (i.Out+50)/100, i.Err))
			},
			Response: func(_ context.Context, i ResponseInfo) { r.events = append(r.events, i.Proto+" "+i.Status) },
			Done: func(_ context.Context, i DoneInfo) {
				r.events = append(r.events, fmt.Sprintf("done %d %+v %v", i.Status, i.Outcome, i.Err))
			},
		}
		defer tr.CloseIdleConnections()
		u, _ := url.Parse(s.URL)
		if w.lanes {
			tr.pools().origins.learn(originKey(u), func(o *origin) { o.lanes = true })
		}
		for range 2 { // the second one knows what the first one has met
			var body io.Reader = strings.NewReader("text")
			if w.once {
				body = io.MultiReader(body)
			}
			req := newRequest(t, "POST", target, body)
			if w.once {
				req.ContentLength = 4
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				r.outcomes = append(r.outcomes, fmt.Sprintf("%v, refused %t, legs %t, body %t", err, errors.Is(err, ErrRefused), errors.Is(err, ErrLegs), errors.Is(err, ErrBody)))
				continue
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			o := OutcomeOf(resp)
			r.outcomes = append(r.outcomes, fmt.Sprintf("%s %+v refused %t, legs %t, body %t", resp.Status, o, errors.Is(o.Err, ErrRefused), errors.Is(o.Err, ErrLegs), errors.Is(o.Err, ErrBody)))
		}
		var got []string
		for _, req := range s.seen() {
			got = append(got, fmt.Sprintf("%s %s token %t", req.Method, req.Proto, req.Header.Get(reply) != ""))
		}
		r.events = append(r.events, got...)
		port := strings.NewReplacer(":"+s.port(), ":port")
		for i := range r.events {
			r.events[i] = port.Replace(r.events[i])
		}
		for i := range r.outcomes {
			r.outcomes[i] = port.Replace(r.outcomes[i])
		}
		return r
	}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			for name, answer := range bareAnswers {
				value := strings.TrimSpace("Negotiate " + base64.StdEncoding.EncodeToString([]byte(answer)))
				if name == "no base64" {
					value = "Negotiate ?"
				}
				for _, status := range []int{200, 401} {
					want, got := run(t, w, status, value, cred), run(t, w, status, value, nil)
					if !reflect.DeepEqual(got, want) {
						t.Errorf("%d, %s:\n%s\nwith a credential:\n%s", status, name, strings.Join(append(got.outcomes, got.events...), "\n"), strings.Join(append(want.outcomes, want.events...), "\n"))
					}
				}
			}
		})
	}
}

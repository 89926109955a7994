package negotiate

import (
	"bufio"
	"bytes"
	"encoding/asn1"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// Mechanisms that these tests name in tokens of their own making.
const (
	msKRB5  gssapi.OID = "\x2a\x86\x48\x82\xf7\x12\x01\x02\x02"         // 1.2.840.48018.1.2.2, Windows' krb5
	negoEx  gssapi.OID = "\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x1e"     // 1.3.6.1.4.1.311.2.2.30
	unknown gssapi.OID = "\x2b\x06\x01\x04\x01\x87\x67\x83\x01\x84\x57" // nobody's
)

// der is an element of DER.
func der(tag byte, content ...[]byte) []byte {
	body := slices.Concat(content...)
	b, err := asn1.Marshal(asn1.RawValue{Class: int(tag >> 6), IsCompound: tag&0x20 != 0, Tag: int(tag & 0x1f), Bytes: body})
	if err != nil {
		panic(err)
	}
	return b
}

// framed is a token behind the name of its mechanism (RFC 2743 section 3.1).
func framed(mech gssapi.OID, token ...[]byte) []byte {
	return der(0x60, append([][]byte{der(0x06, []byte(mech))}, token...)...)
}

// mechTypes is what a client offers: the part of negTokenInit that a MIC is of.
func mechTypes(mechs ...gssapi.OID) []byte {
	var list [][]byte
	for _, m := range mechs {
		list = append(list, der(0x06, []byte(m)))
	}
	return der(0x30, list...)
}

// negTokenInit is SPNEGO's first token (RFC 4178 section 4.2.1); a nil token is none.
func negTokenInit(types, token []byte) []byte {
	fields := [][]byte{der(0xa0, types)}
	if token != nil {
		fields = append(fields, der(0xa2, der(0x04, token)))
	}
	return framed(gssapi.SPNEGO, der(0xa0, der(0x30, fields...)))
}

// negTokenResp is SPNEGO's further ones (RFC 4178 section 4.2.2); what is nil is left out.
func negTokenResp(state []byte, token, mic []byte) []byte {
	var fields [][]byte
	if state != nil {
		fields = append(fields, der(0xa0, der(0x0a, state)))
	}
	if token != nil {
		fields = append(fields, der(0xa2, der(0x04, token)))
	}
	if mic != nil {
		fields = append(fields, der(0xa3, der(0x04, mic)))
	}
	return der(0xa1, der(0x30, fields...))
}

// badTokens are those that complete no context, each with a name.
func badTokens(t *testing.T) (names, values []string) {
	t.Helper()
	add := func(name, value string) { names, values = append(names, name), append(values, value) }
	token := func(name string, b []byte) { add(name, fieldValue(b)) }
	rawKRB5 := &gssapi.Options{Mech: gssapi.KRB5}
	mutual := func(mech gssapi.OID) []byte { // a server's answer
		_, first := initiate(t, web, &gssapi.Options{Mech: mech, Flags: gssapi.FlagMutual})
		sc := gssapi.NewAcceptor(nil)
		defer sc.Close()
		out, err := sc.Step(t.Context(), first)
		if err != nil || len(out) == 0 {
			t.Fatal(err)
		}
		return out
	}
	_, whole := initiate(t, web, nil)
	_, apReq := initiate(t, web, rawKRB5)
	_, used := initiate(t, web, nil)
	_, usedKRB5 := initiate(t, web, rawKRB5)
	for _, b := range [][]byte{used, usedKRB5} {
		if _, who := serve(t, new(Authenticator), fieldValue(b)); who != "user@NEGO.TEST" {
			t.Fatal("the first use of a token is refused")
		}
	}
	nfs := fmt.Sprintf("nfs/nfs%d.nego.test", serial.Add(1))
	if err := realm.AddService(nfs); err != nil {
		t.Fatal(err)
	}
	_, foreign := initiate(t, gssapi.Principal(nfs+"@NEGO.TEST"), nil)
	_, foreignKRB5 := initiate(t, gssapi.Principal(nfs+"@NEGO.TEST"), rawKRB5)
	ntlm1 := []byte("NTLMSSP\x00\x01\x00\x00\x00\x97\x82\x08\xe2" + strings.Repeat("\x00", 16))
	ntlm3 := []byte("NTLMSSP\x00\x03\x00\x00\x00" + strings.Repeat("\x00\x00\x00\x00\x48\x00\x00\x00", 6) + "\x05\x82\x08\xa2" + strings.Repeat("\x00", 8))
	krbError := framed(gssapi.KRB5, []byte{3, 0}, der(0x7e, der(0x30, der(0xa0, der(2, []byte{5})), der(0xa1, der(2, []byte{30})),
		der(0xa4, der(0x18, []byte("20260101000000Z"))), der(0xa5, der(2, []byte{1})), der(0xa6, der(2, []byte{41})), der(0xa9, der(0x1b, []byte("NEGO.TEST"))),
		der(0xaa, der(0x30, der(0xa0, der(2, []byte{1})), der(0xa1, der(0x30, der(0x1b, []byte("user")))))))))

	add("no token", "Negotiate")
	add("empty token", "Negotiate ")
	add("only padding", "Negotiate ==")
	add("not base64", "Negotiate @@@")
	add("too long", fieldValue(make([]byte, maxToken+1)))
	token("noise", []byte("noise"))
	token("half", negTokenInit(mechTypes(gssapi.KRB5), nil))
	token("half again", negTokenInit(mechTypes(gssapi.KRB5), nil))
	token("second leg of noise", negTokenResp(nil, []byte("noise"), nil))
	token("second leg without the first", negTokenResp(nil, apReq, nil)) // with the half gone
	token("completed", negTokenResp([]byte{0}, nil, nil))
	token("half, once more", negTokenInit(mechTypes(gssapi.KRB5), nil))
	token("completed behind a half", negTokenResp([]byte{0}, nil, nil))
	token("half for a second leg that is empty", negTokenInit(mechTypes(gssapi.KRB5), nil))
	token("nothing behind a half", negTokenResp(nil, nil, nil))
	token("no mechTypes", negTokenInit(mechTypes(), nil))
	token("no mechTypes and a token", negTokenInit(mechTypes(), apReq))
	token("unknown mechanism alone", negTokenInit(mechTypes(unknown), []byte("noise")))
	token("unknown mechanism first", negTokenInit(mechTypes(unknown, gssapi.KRB5), []byte("noise")))
	token("a used token as its second leg", negTokenResp(nil, usedKRB5, nil))
	token("NegoEx first", negTokenInit(mechTypes(negoEx, gssapi.KRB5), []byte("NEGOEXTS")))
	token("NegoEx alone", negTokenInit(mechTypes(negoEx), []byte("NEGOEXTS")))
	token("krb5 with noise", negTokenInit(mechTypes(gssapi.KRB5), []byte("noise")))
	token("SPNEGO in SPNEGO", negTokenInit(mechTypes(gssapi.SPNEGO), whole))
	token("NTLM 1", ntlm1)
	token("NTLM 3", ntlm3)
	token("NTLM 1 in SPNEGO", negTokenInit(mechTypes(gssapi.NTLMSSP), ntlm1))
	token("NTLM 3 in SPNEGO", negTokenResp(nil, ntlm3, nil))
	token("KRB-ERROR", krbError)
	token("KRB-ERROR in SPNEGO", negTokenInit(mechTypes(gssapi.KRB5), krbError))
	token("AP-REP", mutual(gssapi.KRB5))
	token("AP-REP in SPNEGO", mutual(gssapi.SPNEGO))
	token("AP-REP as the first token", negTokenInit(mechTypes(gssapi.KRB5), mutual(gssapi.KRB5)))
	token("used", used)
	token("used, krb5", usedKRB5)
	token("used, in other words", negTokenInit(mechTypes(gssapi.KRB5), usedKRB5))
	token("for another service", foreign)
	token("for another service, krb5", foreignKRB5)
	for n := 1; n < len(whole); n += 16 {
		token(fmt.Sprintf("SPNEGO, %d bytes of it", n), whole[:n])
	}
	for n := 1; n < len(apReq); n += 16 {
		token(fmt.Sprintf("krb5, %d bytes of it", n), apReq[:n])
		token(fmt.Sprintf("krb5 in SPNEGO, %d bytes of it", n), negTokenInit(mechTypes(gssapi.KRB5), apReq[:n]))
	}
	return names, values
}

// goodToken makes tokens that complete a context, of one kind after the other.
func goodToken(t *testing.T, n int) string {
	t.Helper()
	_, spnego := initiate(t, web, nil)
	_, krb5 := initiate(t, web, &gssapi.Options{Mech: gssapi.KRB5})
	return fieldValue([][]byte{spnego, krb5, negTokenInit(mechTypes(gssapi.KRB5), krb5), negTokenInit(mechTypes(msKRB5, gssapi.KRB5, negoEx, gssapi.NTLMSSP), krb5),
		negTokenInit(mechTypes(gssapi.KRB5, unknown), krb5)}[n%5])
}

// reached are the requests that came to the handler, by their paths.
type reached struct {
	mu  sync.Mutex
	who map[string][]string
}

func (h *reached) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who := "nobody"
	if id, ok := FromContext(r.Context()); ok {
		who = "<" + id.Initiator.String() + ">"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.who[r.URL.Path] = append(h.who[r.URL.Path], who)
}

type attempt struct {
	name, value, cookie string
	want                string // who reaches the handler; "" is nobody, and status 401
}

// pipeline writes all requests on one connection at once, and reads the answers in their order.
func pipeline(t *testing.T, addr, prefix string, all []attempt) []*http.Response {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var b bytes.Buffer
	for i, a := range all {
		fmt.Fprintf(&b, "GET /%s/%d HTTP/1.1\r\nHost: localhost\r\n", prefix, i)
		if a.value != "" {
			fmt.Fprintf(&b, "Authorization: %s\r\n", a.value)
		}
		if a.cookie != "" {
			fmt.Fprintf(&b, "Cookie: %s\r\n", a.cookie)
		}
		b.WriteString("\r\n")
	}
	written := make(chan error, 1)
	go func() {
		_, err := c.Write(b.Bytes())
		written <- err
	}()
	var answers []*http.Response
	br := bufio.NewReader(c)
	for i, a := range all {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("the answer to %d, %s: %v", i, a.name, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, resp)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	return answers
}

// takenAgain reports whether an attempt is a good token that was there before.
func takenAgain(name string) bool {
	name = strings.TrimSuffix(name, " and a cookie")
	return name == "good again" || name == "used" || name == "used, krb5" || name == "used, in other words"
}

// No context that is not complete, and no empty name, reaches the next handler; and what is complete reaches it once, as
// who it is, whatever is before and behind it on the connection.
func TestOnlyCompleteContexts(t *testing.T) {
	names, values := badTokens(t)
	for _, c := range []struct{ kept, bound, optional, sessions bool }{
		{}, {kept: true}, {kept: true, bound: true}, {optional: true}, {kept: true, optional: true}, {sessions: true}, {kept: true, bound: true, optional: true},
		{kept: true, bound: true, sessions: true}, {kept: true, bound: true, optional: true, sessions: true},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			a := &Authenticator{ConnectionBound: c.bound, Optional: c.optional}
			if c.sessions {
				a.Sessions = &Sessions{Keys: [][]byte{sessionKey(1)}, BehindTLS: true}
			}
			h := &reached{who: map[string][]string{}}
			protected := a.Handler(h)
			s := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { protected.ServeHTTP(w, r) })
			if c.kept {
				s.Config.ConnContext = a.ConnContext
			}
			s.Start()
			t.Cleanup(s.Close)
			addr := s.Listener.Addr().String()
			nobody, user := "", "<user@NEGO.TEST>"
			if c.optional {
				nobody = "nobody"
			}

			check := func(prefix string, all []attempt) {
				t.Helper()
				for i := range all {
					// What Heimdal, which keeps no replay cache, takes again
					if a := &all[i]; onHeimdal && a.value != "" && a.want == "" &&
						(takenAgain(a.name) || c.kept && prefix == "pipelined" && a.name == "a used token as its second leg") {
						a.want = user
						if c.bound && i+1 < len(all) && all[i+1].value == "" {
							all[i+1].want = user
						}
					}
				}
				for i, resp := range pipeline(t, addr, prefix, all) {
					h.mu.Lock()
					got := h.who[fmt.Sprintf("/%s/%d", prefix, i)]
					h.mu.Unlock()
					want, status := []string{all[i].want}, 200
					if all[i].want == "" {
						want, status = nil, 401
					}
					if resp.StatusCode != status || !slices.Equal(got, want) {
						t.Errorf("%s %d, %s: %s, %q, want %q", prefix, i, all[i].name, resp.Status, got, want)
					}
					if _, found, err := findChallenge(resp.Header[askHeader]); status == 401 && (!found || err != nil) {
						t.Errorf("%s, %s: no challenge: %q", prefix, all[i].name, resp.Header[askHeader])
					}
					if set := len(resp.Cookies()) > 0; set != (c.sessions && all[i].value != "" && status == 200) {
						t.Errorf("%s, %s: %v", prefix, all[i].name, resp.Cookies())
					}
				}
			}
			for i, value := range values {
				check(fmt.Sprint("alone", i), []attempt{{name: names[i], value: value}, {name: "behind " + names[i], want: nobody}})
			}
			var all []attempt
			for i, value := range values {
				all = append(all, attempt{name: names[i], value: value})
				if i%4 == 0 {
					all = append(all, attempt{name: "without a token", want: nobody})
				}
				if i%8 == 0 {
					good := attempt{name: "good", value: goodToken(t, i/8), want: user}
					all = append(all, good, attempt{name: "good again", value: good.value})
				}
				if i%8 == 4 {
					next := attempt{name: "behind a good one", want: nobody}
					if c.bound {
						next.want = user
					}
					all = append(all, attempt{name: "good", value: goodToken(t, i/8), want: user}, next)
				}
				if i%4 == 2 {
					with := attempt{name: "with a cookie", cookie: "__Host-nego=" + oldCookie, want: nobody}
					bad := attempt{name: names[i] + " and a cookie", value: value, cookie: with.cookie}
					if c.sessions {
						with.want = user
					}
					all = append(all, with, bad)
				}
			}
			check("pipelined", all)
		})
	}
}

// A client may guess another mechanism than the server takes: the server's answer names its own, and the token that the
// client then sends completes the context, together with a MIC of what was offered (RFC 4178 section 5).
func TestServerUnknownMechFirst(t *testing.T) {
	for _, first := range []gssapi.OID{unknown, negoEx} {
		types := mechTypes(first, gssapi.KRB5)
		guess := negTokenInit(types, []byte("what only that mechanism knows"))
		legs := func(offered []byte) (second []byte) {
			sc, token := initiate(t, web, &gssapi.Options{Mech: gssapi.KRB5, Flags: gssapi.FlagIntegrity})
			mic, err := sc.MIC(offered)
			if err != nil {
				t.Fatal(err)
			}
			return negTokenResp(nil, token, mic)
		}
		s := keepUser(t, new(Authenticator), http.HandlerFunc(whoami))
		c := &http.Client{Transport: &http.Transport{}}
		defer c.CloseIdleConnections()
		resp, _ := send(t, c, s.URL, guess)
		if resp.StatusCode != 401 || len(answered(t, resp)) == 0 {
			t.Fatalf("%s, %v", resp.Status, resp.Header)
		}
		if resp, body := send(t, c, s.URL, legs(types)); resp.StatusCode != 200 || body != "user@NEGO.TEST" {
			t.Errorf("%s, %q", resp.Status, body)
		}
		// Who was in between and changed what is offered has no MIC of it.
		send(t, c, s.URL, guess)
		if resp, body := send(t, c, s.URL, legs(mechTypes(gssapi.KRB5))); resp.StatusCode != 401 {
			t.Errorf("with a MIC of something else: %s, %q", resp.Status, body)
		}
		// Without ConnContext there is no second leg, and no answer that asks for one.
		plain := protect(t, new(Authenticator))
		if resp, _ := send(t, c, plain.URL, guess); resp.StatusCode != 401 || len(answered(t, resp)) > 0 {
			t.Errorf("%s, %v", resp.Status, resp.Header)
		}
		if resp, _ := send(t, c, plain.URL, legs(types)); resp.StatusCode != 401 {
			t.Error(resp.Status)
		}
	}
}

func TestNamed(t *testing.T) {
	for _, c := range []struct {
		info gssapi.Info
		want bool
	}{
		{gssapi.Info{Initiator: gssapi.Principal("user@NEGO.TEST")}, true},
		{gssapi.Info{}, false},
		{gssapi.Info{Initiator: gssapi.Principal("")}, false},
		{gssapi.Info{Initiator: gssapi.NewName("WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS", gssapi.NTAnonymous)}, false},
		{gssapi.Info{Initiator: gssapi.Principal("WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS")}, false},
		{gssapi.Info{Initiator: gssapi.Principal("WELLKNOWN/ANONYMOUS@NEGO.TEST")}, false},
		{gssapi.Info{Initiator: gssapi.Principal("WELLKNOWN/ORG.H5L.FAST@NEGO.TEST")}, true},
		{gssapi.Info{Initiator: gssapi.Principal("user@NEGO.TEST"), Flags: gssapi.FlagMutual | gssapi.FlagAnonymous}, false},
	} {
		if got := named(c.info); got != c.want {
			t.Errorf("%+v: %v", c.info, got)
		}
	}
}

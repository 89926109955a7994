package negotiate

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// A faulty server does what it likes with a connection, until it is healed; then it is a good one.
type faulty struct {
	URL    string
	addr   string
	fault  atomic.Pointer[func(c net.Conn, r *http.Request)]
	tokens atomic.Int64
}

// newFaulty starts one at http://localhost. A fault gets each request; the connection is closed when it returns.
func newFaulty(t *testing.T) *faulty {
	t.Helper()
	f := new(faulty)
	h := new(Authenticator).Handler(http.HandlerFunc(whoami))
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if strings.HasPrefix(r.Header.Get(replyHeader), "Negotiate ") {
			f.tokens.Add(1)
		}
		if fault := f.fault.Load(); fault != nil {
			c, buf, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for f.fault.Load() == fault {
				(*fault)(c, r)
				if r, err = http.ReadRequest(buf.Reader); err != nil {
					return
				}
				if strings.HasPrefix(r.Header.Get(replyHeader), "Negotiate ") {
					f.tokens.Add(1)
				}
			}
			return
		}
		h.ServeHTTP(w, r)
	})
	f.URL, f.addr = s.URL, s.Listener.Addr().String()
	return f
}

func (f *faulty) set(fault func(c net.Conn, r *http.Request)) {
	f.fault.Store(&fault)
	f.tokens.Store(0)
}

func (f *faulty) heal() { f.fault.Store(nil) }

// says answers with a head, and after it a body of two bytes.
func says(c net.Conn, status string, fields ...string) {
	fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: 2\r\n%s\r\nno", status, strings.Join(append(fields, ""), "\r\n"))
}

const bare = "WWW-Authenticate: Negotiate"

// Servers that do what none should: each request ends in time as it is documented, with few tokens, and the next one is fine when
// the server is.
func TestFaultyServer(t *testing.T) {
	f := newFaulty(t)
	noise := bare + " " + base64.StdEncoding.EncodeToString([]byte("noise"))
	hasToken := func(r *http.Request) bool { return r.Header.Get(replyHeader) != "" }
	asks := func(then func(c net.Conn, r *http.Request)) func(c net.Conn, r *http.Request) {
		return func(c net.Conn, r *http.Request) {
			if hasToken(r) {
				then(c, r)
				return
			}
			says(c, "401 Unauthorized", bare)
		}
	}
	for _, c := range []struct {
		name   string
		fault  func(c net.Conn, r *http.Request)
		status int   // 0: an error of the connection
		why    error // the outcome's; with status
		tokens int64 // at the most
	}{
		{"closes between the legs", asks(func(c net.Conn, _ *http.Request) { c.Close() }), 0, nil, 4},
		{"closes in its first answer", func(c net.Conn, _ *http.Request) { c.Close() }, 0, nil, 0},
		{"half a header", func(c net.Conn, _ *http.Request) {
			io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Auth")
			c.Close()
		}, 0, nil, 0},
		{"half a header to the token", asks(func(c net.Conn, _ *http.Request) { io.WriteString(c, "HTTP/1.1 200 OK\r\nWWW-Auth"); c.Close() }), 0, nil, 4},
		{"half a header, and silence", func(c net.Conn, _ *http.Request) {
			io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Auth")
			io.Copy(io.Discard, c)
		}, 0, context.DeadlineExceeded, 0},
		{"no HTTP", func(c net.Conn, _ *http.Request) { io.WriteString(c, "220 mail.example ESMTP\r\n") }, 0, nil, 0},
		{"401 for ever", func(c net.Conn, _ *http.Request) { says(c, "401 Unauthorized", bare) }, 401, ErrRefused, 2},
		{"401 for ever, with a token", func(c net.Conn, _ *http.Request) { says(c, "401 Unauthorized", noise) }, 401, ErrRefused, 2},
		{"401 for ever, with the client's token", func(c net.Conn, r *http.Request) {
			says(c, "401 Unauthorized", "WWW-Authenticate: "+or(r.Header.Get(replyHeader), "Negotiate"))
		}, 401, ErrRefused, 2},
		{"100 challenges", func(c net.Conn, _ *http.Request) {
			says(c, "401 Unauthorized", strings.Split(strings.Repeat(bare+"\n", 100), "\n")[:100]...)
		}, 401, ErrRefused, 2},
		{"100 challenges with tokens", func(c net.Conn, _ *http.Request) {
			says(c, "401 Unauthorized", strings.Split(strings.Repeat(noise+"\n", 100), "\n")[:100]...)
		}, 401, ErrRefused, 2},
		{"100 challenges in one line", func(c net.Conn, _ *http.Request) {
			says(c, "401 Unauthorized", bare+strings.Repeat(", Negotiate", 99))
		}, 401, ErrRefused, 2},
		{"1 MiB of challenges", func(c net.Conn, _ *http.Request) {
			says(c, "401 Unauthorized", `WWW-Authenticate: `+strings.Repeat(`Basic realm="a, Negotiate QUFB", `, 1<<15)+"Negotiate")
		}, 401, ErrRefused, 2},
		{"1 MiB of an open quote", func(c net.Conn, _ *http.Request) {
			says(c, "401 Unauthorized", `WWW-Authenticate: Basic realm="`+strings.Repeat(`\"`, 1<<19), bare)
		}, 401, ErrRefused, 2},
		{"1 MiB of a token", func(c net.Conn, _ *http.Request) {
			says(c, "401 Unauthorized", bare+" "+strings.Repeat("QUFB", 1<<18))
		}, 401, ErrRefused, 2},
		{"1 MiB of a broken token", func(c net.Conn, _ *http.Request) {
			says(c, "401 Unauthorized", bare+" "+strings.Repeat("@", 1<<20))
		}, 401, ErrChallenge, 0},
		{"20 MiB of a header", func(c net.Conn, _ *http.Request) {
			says(c, "401 Unauthorized", strings.Split(strings.Repeat("X-Much: "+strings.Repeat("a", 1<<16)+"\n", 320), "\n")...)
		}, 0, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := new(Transport)
			defer tr.CloseIdleConnections()
			f.set(c.fault)
			patience := 20 * time.Second
			if c.why == context.DeadlineExceeded {
				patience = time.Second
			}
			resp, _, err := within(t, tr, patience, f.URL)
			if n := f.tokens.Load(); n > c.tokens {
				t.Errorf("%d tokens were sent", n)
			}
			switch {
			case c.status == 0:
				if err == nil {
					t.Errorf("%s", resp.Status)
				} else if c.why != nil && !errors.Is(err, c.why) || c.why == nil && errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			case err != nil:
				t.Error(err)
			case resp.StatusCode != c.status || !errors.Is(OutcomeOf(resp).Err, c.why):
				t.Errorf("%s, %v", resp.Status, OutcomeOf(resp).Err)
			}
			f.heal()
			if resp, body, err := within(t, tr, 20*time.Second, f.URL); err != nil || body != "user@NEGO.TEST" {
				t.Errorf("and then %v, %q, %v", resp, body, err)
			}
		})
	}
}

func or(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

// A token with an answer of any status, good, false or the client's own, changes nothing about the status; and a Transport that
// wants proof takes only the good one for it.
func TestTokenOnEveryStatus(t *testing.T) {
	f := newFaulty(t)
	for _, status := range []int{200, 201, 204, 206, 301, 302, 304, 307, 400, 403, 404, 405, 429, 500, 502, 503, 599, 999} {
		for what, answer := range map[string]func(r *http.Request) (token []byte){
			"good":  accept,
			"noise": func(*http.Request) []byte { return []byte("noise") },
			"own":   func(r *http.Request) []byte { b, _ := requestToken(r.Header); return b },
			"error": func(*http.Request) []byte { return []byte("\xa1\x070\x05\xa0\x03\n\x01\x02") },
		} {
			for _, mutual := range []Mutual{MutualDisabled, MutualRequired} {
				tr := &Transport{Mutual: mutual, Preemptive: PreemptAlways}
				f.set(func(c net.Conn, r *http.Request) {
					fmt.Fprintf(c, "HTTP/1.1 %d Text\r\nWWW-Authenticate: %s\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", status, fieldValue(answer(r)))
				})
				resp, _, err := within(t, tr, 20*time.Second, f.URL)
				switch {
				case mutual == MutualRequired && what != "good":
					if !errors.Is(err, ErrMutual) {
						t.Errorf("%d, %s: %v, %v", status, what, resp, err)
					}
				case err != nil || resp.StatusCode != status:
					t.Errorf("%d, %s, %v: %v, %v", status, what, mutual, resp, err)
				case mutual == MutualRequired && !OutcomeOf(resp).Mutual:
					t.Errorf("%d, %s: %+v", status, what, OutcomeOf(resp))
				}
				if n := f.tokens.Load(); n != 1 {
					t.Errorf("%d, %s, %v: %d tokens", status, what, mutual, n)
				}
				tr.CloseIdleConnections()
			}
		}
	}
}

// accept is a server's good answer.
func accept(r *http.Request) []byte {
	token, err := requestToken(r.Header)
	if err != nil {
		return nil
	}
	sc := gssapi.NewAcceptor(nil)
	defer sc.Close()
	if out, err := sc.Step(r.Context(), token); err == nil {
		return out
	}
	return nil
}

// A proxy dies at any point, on the way to http and to https: the request ends, and the next one is fine when the proxy is.
func TestProxyDies(t *testing.T) {
	plain := new(Authenticator).Handler(http.HandlerFunc(whoami))
	secure := newSecureKeeper(t, false)
	secure.show(&certificates(t)[0].cert, 0)
	var dead, served atomic.Int64 // dead from that request on
	proxy := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		die := served.Add(1) >= dead.Load()
		token := accept(&http.Request{Header: http.Header{replyHeader: r.Header["Proxy-Authorization"]}})
		switch {
		case die && (r.Method != http.MethodConnect || token == nil || dead.Load() < 3):
			panic(http.ErrAbortHandler)
		case token == nil:
			w.Header().Set("Proxy-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusProxyAuthRequired)
		case r.Method != http.MethodConnect:
			plain.ServeHTTP(w, r)
		default:
			c, buf, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			if dead.Load() == 3 { // in the midst of TLS
				buf.ReadByte()
				return
			}
			to, err := net.Dial("tcp", secure.Listener.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer to.Close()
			go io.Copy(to, buf)
			io.Copy(c, to)
		}
	})
	through, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	for target, points := range map[string][]int64{"http://localhost/": {1, 2, 3}, secure.URL: {1, 3}} { // CONNECT has its token at once
		for _, at := range points {
			tr := &Transport{Base: &http.Transport{Proxy: http.ProxyURL(through), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, ProxyAuth: true}
			served.Store(0)
			dead.Store(at)
			resp, body, err := within(t, tr, 20*time.Second, target)
			if err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, at %d: %v, %q, %v", target, at, resp, body, err)
			}
			dead.Store(math.MaxInt64)
			if resp, body, err := within(t, tr, 20*time.Second, target); err != nil || body != "user@NEGO.TEST" {
				t.Errorf("%s, after %d: %v, %q, %v", target, at, resp, body, err)
			}
			tr.CloseIdleConnections()
		}
	}
}

// A proxy gets a token, and never the user's ticket, whatever origins get.
func TestProxyGetsNoTicket(t *testing.T) {
	var flags []gssapi.Flags
	proxy := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		token, err := requestToken(http.Header{replyHeader: r.Header["Proxy-Authorization"]})
		if err != nil {
			w.Header().Set("Proxy-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		sc := gssapi.NewAcceptor(nil)
		defer sc.Close()
		if _, err := sc.Step(r.Context(), token); err != nil {
			t.Error(err)
		}
		flags = append(flags, sc.Info().Flags)
	})
	through, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	tr := &Transport{Base: &http.Transport{Proxy: http.ProxyURL(through)}, ProxyAuth: true, Delegate: DelegateAlways}
	defer tr.CloseIdleConnections()
	get(t, &http.Client{Transport: tr}, "http://localhost:1/")
	tr.RoundTrip(newRequest(t, "GET", "https://localhost:1/", nil)) // ends with the tunnel, which is none
	if len(flags) != 2 {
		t.Errorf("%d tokens", len(flags))
	}
	for _, f := range flags {
		if f&(gssapi.FlagDelegate|gssapi.FlagDelegatePolicy) != 0 {
			t.Errorf("flags %v", f)
		}
	}
}

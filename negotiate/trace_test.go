package negotiate

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// recorder is a Trace that writes down what it is told, in short.
func recorder() (*Trace, func() []string) {
	var mu sync.Mutex
	var got []string
	note := func(format string, a ...any) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprintf(format, a...))
	}
	return &Trace{
			Challenge: func(_ context.Context, i ChallengeInfo) { note("challenge %d %d", i.Legs, i.Token) },
			GSS:       func(_ context.Context, i GSSInfo) { note("%s %v %v", i.Op, i.Established, i.Err == nil) },
			Done:      func(_ context.Context, i DoneInfo) { note("done %d %d %v", i.Status, i.Outcome.Legs, i.Err == nil) },
			Accept:    func(_ context.Context, i AcceptInfo) { note("accept %s %s", i.URL, i.Identity.Initiator) },
			Deny:      func(_ context.Context, i DenyInfo) { note("deny %s %v", i.URL, i.Err == ErrNoToken) },
		}, func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(got)
		}
}

func TestTrace(t *testing.T) {
	server, served := recorder()
	client, seen := recorder()
	s := protect(t, &Authenticator{Trace: server})
	tr := &Transport{Trace: client, Mutual: MutualRequired}
	get(t, &http.Client{Transport: tr}, s.URL+"/p?secret")
	if want := []string{"challenge 0 0", "initiate false true", "initiate true true", "done 200 1 true"}; !reflect.DeepEqual(seen(), want) {
		t.Errorf("client: %q", seen())
	}
	if want := []string{"deny /p true", "acquire false true", "accept true true", "accept /p user@NEGO.TEST"}; !reflect.DeepEqual(served(), want) {
		t.Errorf("server: %q", served())
	}
	tr.RoundTrip(newRequest(t, "GET", "http://127.0.0.1:1", nil))
	if got := seen(); got[len(got)-1] != "done 0 0 false" {
		t.Errorf("client: %q", got)
	}
	// Every function may be missing.
	s = protect(t, &Authenticator{Trace: &Trace{}})
	if _, body := get(t, &http.Client{Transport: &Transport{Trace: &Trace{}}}, s.URL); body != "user@NEGO.TEST" {
		t.Error(body)
	}
}

func TestLogTrace(t *testing.T) {
	var log bytes.Buffer
	tr := LogTrace(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	s := protect(t, &Authenticator{Trace: tr})
	get(t, &http.Client{Transport: &Transport{Trace: tr, Mutual: MutualRequired}}, s.URL)
	if strings.Contains(log.String(), "level=WARN") {
		t.Errorf("a warning, and nothing failed:\n%s", log.String())
	}
	for _, want := range []string{"component=negotiate", "component=gssapi", "acceptor=HTTP@localhost", "initiator=user@NEGO.TEST", "mutual=true",
		" answer_bytes="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, log.String())
		}
	}
	log.Reset()
	for _, tr := range []*Transport{{Trace: tr, Mech: "\x2a\x03\x04"}, {Trace: tr, Mech: "\x2a\x03\x05", Strict: true}} {
		if resp, err := tr.RoundTrip(newRequest(t, "GET", s.URL, nil)); err == nil {
			resp.Body.Close()
		}
	}
	serve(t, &Authenticator{Trace: tr}, fieldValue([]byte("noise")))
	for line := range strings.Lines(log.String()) {
		refused := strings.Contains(line, "request denied") && !strings.Contains(line, ErrNoToken.Error())
		if strings.Contains(line, "level=WARN") != (refused || strings.Contains(line, "initiate failed")) {
			t.Errorf("wrong level: %s", line)
		}
		if refused && strings.Contains(line, "token_bytes") {
			t.Errorf("this reads as the length of the client's token: %s", line)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 3 {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}

	// Above debug, nothing of the normal flow is heard.
	log.Reset()
	quiet := LogTrace(slog.New(slog.NewTextHandler(&log, nil)))
	get(t, &http.Client{Transport: &Transport{Trace: quiet}}, protect(t, &Authenticator{Trace: quiet}).URL)
	if log.Len() > 0 {
		t.Errorf("at level info:\n%s", log.String())
	}
	if LogTrace(nil) == nil {
		t.Error("LogTrace(nil) is nil")
	}
}

// No token and no part of one is in any log, trace, error or dump.
func TestPoint16NoTokenAnywhere(t *testing.T) {
	const level = slog.LevelDebug - 100
	var log bytes.Buffer
	logged := LogTrace(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level, AddSource: true})))
	all := &Trace{} // prints everything there is
	all.Challenge = func(ctx context.Context, i ChallengeInfo) { fmt.Fprintf(&log, "%#v\n", i); logged.Challenge(ctx, i) }
	all.GSS = func(ctx context.Context, i GSSInfo) { fmt.Fprintf(&log, "%#v %v\n", i, i.Err); logged.GSS(ctx, i) }
	all.Done = func(ctx context.Context, i DoneInfo) {
		fmt.Fprintf(&log, "%#v %v %v\n", i, i.Outcome.Err, i.Err)
		logged.Done(ctx, i)
	}
	all.Accept = func(ctx context.Context, i AcceptInfo) {
		fmt.Fprintf(&log, "%#v %+v\n", i, i.Identity)
		logged.Accept(ctx, i)
	}
	all.Deny = func(ctx context.Context, i DenyInfo) { fmt.Fprintf(&log, "%#v %v\n", i, i.Err); logged.Deny(ctx, i) }

	var tokens [][]byte
	collect := func(h http.Header, name string) {
		for _, v := range h[name] {
			_, data, _ := cutScheme(v)
			if b, err := decodeToken(data); err == nil {
				tokens = append(tokens, b)
			}
		}
	}
	a := &Authenticator{Trace: all}
	// One handler at a time, and none while the client is at work: the log has no lock.
	front := func(next http.Handler, damage bool) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			collect(r.Header, replyHeader)
			if v := r.Header.Get(replyHeader); damage && v != "" {
				r.Header.Set(replyHeader, v[:len(v)/2])
			}
			next.ServeHTTP(w, r)
			collect(w.Header(), askHeader)
		}))
	}
	h := a.Handler(http.HandlerFunc(whoami))
	replay := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(askHeader, "Negotiate")
		if v := r.Header.Get(replyHeader); v != "" {
			w.Header().Set(askHeader, v)
		}
		w.WriteHeader(http.StatusUnauthorized)
	})
	forge := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(askHeader, "Negotiate")
		if v := r.Header.Get(replyHeader); v != "" {
			w.Header().Set(askHeader, v+"A@")
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	})
	for _, next := range []http.Handler{h, replay, forge} {
		for _, damage := range []bool{false, true} {
			s := front(next, damage)
			for _, mech := range []gssapi.OID{gssapi.SPNEGO, gssapi.KRB5} {
				tr := &Transport{Trace: all, Mutual: MutualRequired, Mech: mech, Strict: damage,
					Target: func(*url.URL) gssapi.Name { return web }}
				resp, err := tr.RoundTrip(newRequest(t, "GET", s.URL, nil))
				fmt.Fprintf(&log, "%v %#v\n", err, err)
				if err == nil {
					dump, err := httputil.DumpRequest(resp.Request, true)
					if err != nil {
						t.Error(err)
					}
					log.Write(dump)
					fmt.Fprintf(&log, "%+v\n%+v\n", resp.Request, OutcomeOf(resp))
					resp.Body.Close()
				}
				tr.CloseIdleConnections()
			}
			s.Close()
		}
	}
	if len(tokens) < 12 {
		t.Errorf("only %d tokens were exchanged", len(tokens))
	}
	text := log.String()
	for _, token := range tokens {
		// Tokens begin alike; that much may not be there either.
		for _, form := range []string{base64.StdEncoding.EncodeToString(token), hex.EncodeToString(token), string(token),
			fmt.Sprint(token), fmt.Sprintf("%q", token), fmt.Sprintf("%#v", token)} {
			for _, part := range []string{form[:len(form)/4], form[len(form)/3 : len(form)/2]} {
				if len(part) >= 6 && strings.Contains(text, part) {
					t.Fatalf("%q is in the output:\n%s", part, text)
				}
			}
		}
	}
}

// No field of a response that is traced has a token, also where the server sends back what it got.
func TestPoint16TraceResponse(t *testing.T) {
	var a Authenticator
	var sent []string
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		w.Header().Set("X-Public", "negotiate this")
		if v := r.Header.Get("Authorization"); v != "" {
			_, token, _ := strings.Cut(v, " ")
			sent = append(sent, token)
			w.Header().Set("X-Echo", "you sent "+v)
			w.Header().Set("X-Bare", token)
			w.Header().Set("Authentication-Info", "nEGOTIATE\t"+token)
		}
		if _, err := a.Authenticate(w, r); err != nil {
			w.WriteHeader(401)
			return
		}
		_, token, _ := strings.Cut(w.Header().Get("WWW-Authenticate"), " ")
		sent = append(sent, token)
	})
	var got []ResponseInfo
	tr := &Transport{Mutual: MutualRequired, Trace: &Trace{Response: func(_ context.Context, i ResponseInfo) { got = append(got, i) }}}
	resp, _ := get(t, &http.Client{Transport: tr}, s.URL)
	if len(got) != 2 || got[0].Status != "401 Unauthorized" || got[1].Status != "200 OK" || got[0].Proto != "HTTP/1.1" || len(sent) != 2 {
		t.Fatalf("%+v, %d tokens", got, len(sent))
	}
	text := fmt.Sprint(got)
	for _, token := range sent {
		if len(token) < 100 || strings.Contains(text, token[:40]) {
			t.Errorf("a token of %d is in %s", len(token), text)
		}
	}
	if got[1].Header.Get("X-Public") != "negotiate this" || !strings.Contains(got[1].Header.Get("X-Bare"), " bytes]") || resp.Header.Get("X-Bare") != sent[0] {
		t.Errorf("%v", got[1].Header)
	}
}

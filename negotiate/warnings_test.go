package negotiate

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// Under a flood of bad tokens a server's log has ten lines, and then one a second that says how many are not there.
func TestLogTraceFlood(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	noise := []string{fieldValue([]byte("noise")), "Negotiate @@@"} // the library says no, and we do
	for _, debug := range []bool{false, true} {
		var log bytes.Buffer
		clock := start
		o := &slog.HandlerOptions{}
		if debug {
			o.Level = slog.LevelDebug
		}
		tr := logTrace(slog.New(slog.NewTextHandler(&log, o)), func() time.Time { return clock })
		a := &Authenticator{Trace: tr, Credential: acceptorFor(t, web)}
		// flood returns the warnings that come of n requests.
		flood := func(n int) (lines []string) {
			log.Reset()
			for i := range n {
				serve(t, a, noise[i%2])
			}
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, "level=WARN") {
					lines = append(lines, line)
				}
			}
			if all := strings.Count(log.String(), "\n"); !debug && all != len(lines) || debug && all < n {
				t.Errorf("%d lines for %d requests", all, n)
			}
			return lines
		}
		if got := flood(100); len(got) != 10 || strings.Contains(strings.Join(got, ""), "left_out") ||
			strings.Count(strings.Join(got, ""), `msg="request denied"`) != 10 ||
			strings.Count(strings.Join(got, ""), "client=192.0.2.1:1234") != 10 {
			t.Errorf("at first: %q", got)
		}
		clock = clock.Add(time.Second / 2)
		if got := flood(100); len(got) != 0 {
			t.Errorf("within a second: %q", got)
		}
		clock = clock.Add(time.Second / 2)
		if got := flood(100); len(got) != 1 || !strings.Contains(got[0], "left_out=190 ") {
			t.Errorf("after a second: %q", got)
		}
		clock = clock.Add(time.Second)
		if got := flood(2); len(got) != 1 || !strings.Contains(got[0], "left_out=99 ") {
			t.Errorf("after another one: %q", got)
		}
		clock = clock.Add(time.Hour)
		if got := flood(100); len(got) != 10 || !strings.Contains(got[0], "left_out=1 ") || strings.Contains(got[1], "left_out") {
			t.Errorf("after an hour: %q", got)
		}

		// A client's lines are about itself.
		log.Reset()
		for range 20 {
			tr := &Transport{Trace: tr, Mech: "\x2a\x03\x04", Preemptive: PreemptAlways, Base: roundTripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
			})}
			if resp, err := tr.RoundTrip(newRequest(t, "GET", "http://localhost/", nil)); err == nil {
				resp.Body.Close()
			}
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 20 {
			t.Errorf("%d of a client's 20 warnings", n)
		}
	}
}

// Nor is a line as long as a client likes.
func TestLogTraceLongURL(t *testing.T) {
	var log bytes.Buffer
	a := &Authenticator{Trace: LogTrace(slog.New(slog.NewTextHandler(&log, nil)))}
	if _, who := visit(t, a, "https://localhost/"+strings.Repeat("long", 100_000), replyHeader, "Negotiate @@@"); who != "" {
		t.Error(who)
	}
	if n := log.Len(); n > 5000 || !strings.Contains(log.String(), "/longlong") {
		t.Errorf("%d bytes: %.200s", n, log.String())
	}
}

// What each client does is no warning, and neither is what nobody waits for.
func TestLogTraceDenied(t *testing.T) {
	for err, want := range map[error]bool{ErrNoToken: false, ErrContinue: false, &gssapi.Error{}: true,
		ErrLegs: true, ErrBinding: true, errTooLong: true} {
		var log bytes.Buffer
		LogTrace(slog.New(slog.NewTextHandler(&log, nil))).Deny(t.Context(), DenyInfo{URL: "/", Err: err})
		if got := strings.Contains(log.String(), "level=WARN"); got != want {
			t.Errorf("%v: %s", err, log.String())
		}
	}
}

func TestWarningsAreCounted(t *testing.T) {
	w := &warnings{now: func() time.Time { return time.Unix(0, 0) }}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				w.next()
			}
		})
	}
	all.Wait()
	if w.left != 8000-burst {
		t.Errorf("%d of 8000 were left out", w.left)
	}
}

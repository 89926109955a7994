package negotiate

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// A ticket cache is damaged, replaced or gone between two requests: the request is answered as that of somebody without a ticket,
// and the reason names the cache. The next one is fine when the cache is.
func TestFaultyCache(t *testing.T) {
	u, child := inChildOfUsers(t)
	if !child {
		return
	}
	u.prepare(t)
	s := protect(t, new(Authenticator))
	cut := func(part float64) func(t *testing.T, b []byte) {
		return func(t *testing.T, b []byte) { write(t, u.cache, b[:int(part*float64(len(b)))]) }
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, whole []byte)
		maybe  bool // what is needed may still be there
	}{
		{"removed", func(t *testing.T, _ []byte) { remove(t, u.cache) }, false},
		{"empty", cut(0), false},
		{"cut in its header", func(t *testing.T, b []byte) { write(t, u.cache, b[:7]) }, false},
		{"cut in its owner", func(t *testing.T, b []byte) { write(t, u.cache, b[:30]) }, false},
		{"cut in its ticket", cut(0.2), false},
		{"cut in its last ticket", cut(0.99), true},
		{"noise", func(t *testing.T, b []byte) { write(t, u.cache, []byte("this is no ticket cache")) }, false},
		{"zeros", func(t *testing.T, b []byte) { write(t, u.cache, make([]byte, len(b))) }, false},
		{"names without end", func(t *testing.T, b []byte) {
			at := 4 + int(b[2])<<8 + int(b[3]) + 4 // the number of parts of the owner's name
			write(t, u.cache, bytes.Join([][]byte{b[:at], b[at+4:]}, []byte("\x7f\xff\xff\xff")))
		}, false},
		{"a directory", func(t *testing.T, _ []byte) {
			remove(t, u.cache)
			if err := os.Mkdir(u.cache, 0o700); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"a link to itself", func(t *testing.T, _ []byte) {
			remove(t, u.cache)
			if err := os.Symlink(u.cache, u.cache); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"no end", func(t *testing.T, _ []byte) {
			remove(t, u.cache)
			if err := os.Symlink("/dev/zero", u.cache); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := &Transport{Base: sendTo(s.Listener.Addr().String())}
			defer tr.CloseIdleConnections()
			u.become(t, u.alice)
			request := func(want string) {
				t.Helper()
				resp, body, err := within(t, tr, 20*time.Second, "http://"+freshHost(t))
				if err != nil {
					t.Fatal(err)
				}
				why := OutcomeOf(resp).Err
				switch {
				case body == want && resp.StatusCode == 200:
				case c.maybe && want == "" && body == u.alice:
				case want != "" || resp.StatusCode != 401 || why == nil || !strings.Contains(why.Error(), u.cache):
					t.Errorf("%s, %q instead of %q, %v", resp.Status, body, want, why)
				}
			}
			request(u.alice)
			whole, err := os.ReadFile(u.cache)
			if err != nil {
				t.Fatal(err)
			}
			c.damage(t, whole)
			request("")
			if err := os.RemoveAll(u.cache); err != nil {
				t.Fatal(err)
			}
			u.become(t, u.bob)
			request(u.bob)
		})
	}
}

func write(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

// A ticket ends while its token is at the server, and the request is finished all the same: what was agreed on stays so. The
// next one is told that the ticket has expired, until there is a new one.
func TestTicketEnds(t *testing.T) {
	u, child := inChildOfUsers(t)
	if !child {
		return
	}
	command(t, "kinit", "-l", "4s", "-c", "FILE:"+u.cache, "-k", "-t", u.keytab, u.alice)
	host := freshHost(t)
	hold := func() {}
	h := new(Authenticator).Handler(http.HandlerFunc(whoami))
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.Header.Get(replyHeader) != "" {
			hold()
		}
		h.ServeHTTP(w, r)
	})
	tr := &Transport{Base: sendTo(s.Listener.Addr().String()), Mutual: MutualRequired}
	defer tr.CloseIdleConnections()
	for _, held := range []bool{false, true} {
		if held {
			// The library asks time(2), which turns to the next second a tick of the kernel late, up to 10 ms.
			hold = func() { <-time.After(time.Until(endOf(t, u.cache).Add(time.Second + 50*time.Millisecond))) }
		}
		resp, body, err := within(t, tr, 20*time.Second, "http://"+host)
		if err != nil || body != u.alice || !OutcomeOf(resp).Mutual {
			t.Errorf("held %v: %v, %q, %v", held, resp, body, err)
		}
		hold = func() {}
	}
	if time.Now().Before(endOf(t, u.cache)) {
		t.Fatal("the ticket is still good")
	}
	resp, body, err := within(t, tr, 20*time.Second, "http://"+host)
	if err != nil || resp.StatusCode != 401 {
		t.Fatalf("%v, %q, %v", resp, body, err)
	}
	// In the first second behind the end Heimdal still takes the ticket, for a context that has expired.
	why := OutcomeOf(resp).Err
	if !(errors.Is(why, gssapi.ErrCredentialsExpired) && strings.Contains(why.Error(), "kinit")) && !(onHeimdal && errors.Is(why, gssapi.ErrContextExpired)) {
		t.Error(why)
	}
	u.kinit(t, u.alice)
	if resp, body, err := within(t, tr, 20*time.Second, "http://"+host); err != nil || body != u.alice {
		t.Errorf("with a new ticket: %v, %q, %v", resp, body, err)
	}
}

// endOf is when the tickets of a cache are over.
func endOf(t *testing.T, file string) time.Time {
	t.Helper()
	c, err := gssapi.ReadCache(t.Context(), "FILE:"+file)
	if err != nil {
		t.Fatal(err)
	}
	return c.Tickets[0].End
}

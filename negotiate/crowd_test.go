package negotiate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// crowdSize is how many requests TestCrowd sends; make soak has it send more.
func crowdSize(t *testing.T) int {
	v := os.Getenv("NEGO_CROWD")
	if v == "" {
		return 1000
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// member is a Transport of one identity, whose tickets go to servers with the requests that say so.
type member struct {
	*Transport
	name string
}

// Four identities send requests to three origins, with their tickets and without, and give up at any point. Two of the
// origins keep the user with the connection. No request is answered as another's, nor with a ticket that it was not to give.
func TestCrowd(t *testing.T) {
	const workers = 16
	requests := crowdSize(t)
	plain, secure := newKeeper(t), newSecureKeeper(t, true)
	secure.show(&certificates(t)[0].cert, 0)
	h := new(Authenticator).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := FromContext(r.Context())
		w.Header().Set("X-Delegated", fmt.Sprint(id.Flags&gssapi.FlagDelegate != 0))
		whoami(w, r)
		io.Copy(w, r.Body)
	}))
	each := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) { h.ServeHTTP(w, r) })
	plainHost, secureHost, eachHost := newService(t), newService(t), newService(t)
	addrs := map[string]string{plainHost: plain.Listener.Addr().String(), secureHost: secure.Listener.Addr().String(), eachHost: each.Listener.Addr().String()}
	origins := []string{"http://" + plainHost, "https://" + secureHost, "http://" + eachHost}

	base := sendTo("")
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, addrs[host])
	}
	var members []*member
	add := func(name string, cred *gssapi.Credential) {
		members = append(members, &member{name: name, Transport: &Transport{Base: base, Credential: cred, Mutual: MutualOptional, Preemptive: Preemption(len(members) % 3),
			Delegate: DelegateAlways, AllowDelegate: func(u *url.URL) bool { return u.RawQuery == "give" }}})
	}
	add("user@NEGO.TEST", nil)
	for range 3 {
		name := fmt.Sprintf("crowd%d", serial.Add(1))
		if err := realm.AddUser(name, "secret"); err != nil {
			t.Fatal(err)
		}
		cache := "FILE:" + filepath.Join(t.TempDir(), "ccache")
		if err := realm.Kinit(t.Context(), name, cache); err != nil {
			t.Fatal(err)
		}
		add(name+"@NEGO.TEST", ticketsOf(t, cache))
	}

	before := runtime.NumGoroutine()
	stop := errors.New("stop")
	var next, answered, cancelled atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for next.Add(1) <= int64(requests) {
				m, origin := members[rand.IntN(len(members))], origins[rand.IntN(len(origins))]
				target, give := origin+[]string{"/", "/always"}[rand.IntN(2)], rand.IntN(2) == 0
				if give {
					target += "?give"
				}
				text := fmt.Sprint(" text ", rand.Uint64())
				ctx, cancel := context.WithCancelCause(t.Context())
				timer := time.NewTimer(time.Hour)
				if rand.IntN(3) == 0 {
					timer = time.AfterFunc(rand.N(8*time.Millisecond), func() { cancel(stop) })
				}
				status, body, delegated, err := m.send(ctx, target, text)
				timer.Stop()
				cancel(nil)
				switch {
				case errors.Is(err, stop):
					cancelled.Add(1)
				case err != nil:
					t.Errorf("%s to %s: %v", m.name, target, err)
				case status != 200 || body != m.name+text || delegated != fmt.Sprint(give):
					t.Errorf("%s to %s: %d, %q, delegated %s", m.name, target, status, body, delegated)
				default:
					answered.Add(1)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d answered, %d cancelled", answered.Load(), cancelled.Load())
	if answered.Load() < int64(requests/2) || cancelled.Load() == 0 {
		t.Error("that says too little")
	}
	for _, m := range members {
		m.CloseIdleConnections()
	}
	waitFor(t, func() bool { return runtime.NumGoroutine() <= before+2 }, "the requests' goroutines have ended")
}

// send sends a request and reads the answer, which may break off where the context ends.
func (m *member) send(ctx context.Context, target, text string) (status int, body, delegated string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(text))
	if err != nil {
		return 0, "", "", err
	}
	resp, err := m.RoundTrip(req)
	if err == nil {
		defer resp.Body.Close()
		var b []byte
		b, err = io.ReadAll(resp.Body)
		status, body, delegated = resp.StatusCode, string(b), resp.Header.Get("X-Delegated")
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // net/http tells of a body that it was cancelled, and not why
	}
	return status, body, delegated, err
}

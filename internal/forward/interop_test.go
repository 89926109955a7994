//go:build interop

package forward

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nego-sso/nego/internal/peers"
	"github.com/nego-sso/nego/internal/smuggle"
)

// Squid, which wants a token on each connection and takes none twice, in front of origins of every kind.
func TestInteropSquid(t *testing.T) {
	squid := peers.Squid(t, peers.SquidOptions{Env: realm.Env()})
	wants := protected(t)
	open := origin(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	// By its address: to a body for localhost, which has two, Squid answers 503 by itself.
	open.URL = strings.Replace(open.URL, "localhost", "127.0.0.1", 1)
	r := serve(t, &Proxy{Upstream: squid.URL, Allow: allow("localhost")})
	// The first request is one whose body can be sent only once.
	const size = 1 << 20
	for range 3 {
		resp, err := r.client(t).Post(open.URL, "", io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || string(body) != fmt.Sprint(size, nil) {
			t.Errorf("%s %s", resp.Status, body)
		}
		if status, body := get(t, r.client(t), wants.URL); status != 200 || body != realUser {
			t.Errorf("%d %s", status, body)
		}
		c, read, resp := r.open(t, echoes(t), "early ")
		if resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
		io.WriteString(c, "and late\n")
		if line, err := read.ReadString('\n'); line != "early and late\n" {
			t.Errorf("%q, %v", line, err)
		}
	}
	// Refused by Squid's own rules, which have origins on loopback alone.
	if _, _, resp := r.open(t, "192.0.2.1:443", ""); resp.StatusCode != http.StatusForbidden {
		t.Error(resp.Status)
	}
	if log := squid.Log(); strings.Count(log, "TCP_DENIED/407") != 1 {
		t.Errorf("it asked more than once, or never:\n%s", log)
	}
}

// A Squid that takes somebody else's tokens.
func TestInteropSquidRefuses(t *testing.T) {
	squid := peers.Squid(t, peers.SquidOptions{Env: append(realm.Env(), "KRB5_KTNAME=/nonexistent")})
	r := serve(t, &Proxy{Upstream: squid.URL})
	if status, body := get(t, r.client(t), "http://localhost:1/"); status != 502 || !strings.Contains(body, "cannot authenticate to the proxy "+squid.URL.String()) {
		t.Errorf("%d %s", status, body)
	}
	if _, _, resp := r.open(t, "localhost:1", ""); resp.StatusCode != 502 {
		t.Error(resp.Status)
	}
}

// What nego makes of a client's requests, an origin that has another server behind it takes for nothing else and for no more of them;
// nor does that server.
func TestInteropSmuggling(t *testing.T) {
	for name, relay := range peers.Relays(peers.RelayOptions{Lax: true}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			back := smuggle.NewBackend(t, "")
			behind := relay(t, back.Addr)
			r := serve(t, &Proxy{Allow: allow("localhost")})
			target := func(path string) string { return behind.URL + path }
			chain := smuggle.Chain{Back: back, Front: r.url.Host, Target: target, Fields: func() string { return "Host: x\r\n" }, End: r.stop}
			chain.Check(t)
			var lines []string
			for _, e := range r.entries {
				lines = append(lines, e.Method+" "+e.Target)
			}
			chain.Follow(t, func() []string { return lines }, func() []string { return behind.Access(t) })
		})
	}
}

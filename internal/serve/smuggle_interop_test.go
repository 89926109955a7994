//go:build interop

package serve

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nego-sso/nego/internal/peers"
	"github.com/nego-sso/nego/internal/smuggle"
)

// addr is where a server is.
func addr(s *peers.Server) string { return strings.TrimPrefix(s.URL, "http://") }

// elsewhere is a request's target where another server is meant.
func elsewhere(p string) string { return "http://other.example" + p }

// What a server in front makes of a client's requests, on connections that all clients share, nego takes for nothing else and for no
// more of them; nor does the upstream.
func TestInteropSmugglingBehind(t *testing.T) {
	for _, lax := range []bool{false, true} {
		target := path
		if lax {
			target = elsewhere
		}
		for name, relay := range peers.Relays(peers.RelayOptions{Lax: lax, Keep: true}) {
			if lax {
				name += ", lax"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				back := smuggle.NewBackend(t, realUser)
				s := start(t, &Server{Upstream: &url.URL{Scheme: "http", Host: back.Addr}})
				front := relay(t, s.addr)
				var lines []string
				chain := smuggle.Chain{Back: back, Front: addr(front), Target: target, Fields: sent(t), End: func() { lines = s.lines() }, Mends: true}
				chain.Check(t)
				chain.Follow(t, func() []string { return front.Access(t) }, func() []string { return lines })
			})
		}
	}
}

// before has nego in front of a server.
func before(t *testing.T, behind *peers.Server, back *smuggle.Backend) {
	s := start(t, &Server{Upstream: &url.URL{Scheme: "http", Host: addr(behind)}})
	var lines []string
	chain := smuggle.Chain{Back: back, Front: s.addr, Target: path, Fields: sent(t), End: func() { lines = s.lines() }}
	chain.Check(t)
	chain.Follow(t, func() []string { return lines }, func() []string { return behind.Access(t) })
}

// The same with nego in front of a server that has another behind it.
func TestInteropSmugglingBefore(t *testing.T) {
	for name, relay := range peers.Relays(peers.RelayOptions{Lax: true}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			back := smuggle.NewBackend(t, realUser)
			before(t, relay(t, back.Addr), back)
		})
	}
}

// And in front of one that answers before it has all of a request, whose rest is still on its way then.
func TestInteropSmugglingEarly(t *testing.T) {
	t.Run("nginx", func(t *testing.T) {
		t.Parallel()
		before(t, peers.Nginx(t, peers.NginxOptions{Config: `location / { return 200 $request_uri; }`}), nil)
	})
	t.Run("Apache", func(t *testing.T) {
		t.Parallel()
		early := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) })
		before(t, peers.Apache(t, peers.ApacheOptions{Backend: early, Config: "HttpProtocolOptions Unsafe"}), nil)
	})
}

// Where nginx asks nego, as docs/ingress.md has it, neither nego nor the application gets anything else.
func TestInteropSmugglingPast(t *testing.T) {
	back := smuggle.NewBackend(t, realUser)
	s := start(t, new(Server))
	app := &url.URL{Scheme: "http", Host: back.Addr}
	nginx := peers.Nginx(t, peers.NginxOptions{Config: "proxy_http_version 1.1;" + nginxConfig(t, s.addr, app)})
	var lines []string
	chain := smuggle.Chain{Back: back, Front: addr(nginx), Target: path, Fields: sent(t), End: func() { lines = s.lines() }, Mends: true}
	chain.Check(t)
	for _, line := range lines {
		if !strings.Contains(line, ` /_nego HTTP/1.1" `) {
			t.Errorf("nego was asked: %s", line)
		}
	}
}

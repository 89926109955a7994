package serve

import (
	"net/url"
	"testing"

	"github.com/nego-sso/nego/internal/smuggle"
)

// Whatever a client sends, its requests arrive at the upstream as they can be read in one way alone, and no more of them than it
// has signed on for.
func TestSmuggling(t *testing.T) {
	back := smuggle.NewBackend(t, realUser)
	s := start(t, &Server{Upstream: &url.URL{Scheme: "http", Host: back.Addr}})
	chain := smuggle.Chain{Back: back, Front: s.addr, Target: path, Fields: sent(t), End: func() { s.lines() }}
	chain.Check(t)
}

// path is a request's target where the server that it is sent to serves it.
func path(p string) string { return p }

// sent is what a client sends with each request: whom it means, and who it is.
func sent(t *testing.T) func() string {
	return func() string { return "Host: localhost\r\nAuthorization: " + token(t) + "\r\n" }
}

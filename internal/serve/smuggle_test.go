package serve

import (
	"net/url"
	"testing"

	"github.com/nego-sso/nego/internal/smuggle"
)

// Whatever a client sends, its requests arrive at the upstream as they can be read in one way alone, and no more of them than it
// has signed on for.
func TestSmuggling(t *testing.T) {
	back := smuggle.NewBackend(t, false)
	s := start(t, &Server{Upstream: &url.URL{Scheme: "http", Host: back.Addr}})
	smuggle.Check(t, back, s.addr, func(path string) string { return path }, func() string { return "Host: localhost\r\nAuthorization: " + token(t) + "\r\n" }, func() { s.lines() })
}

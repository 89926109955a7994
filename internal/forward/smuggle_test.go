package forward

import (
	"testing"

	"github.com/nego-sso/nego/internal/smuggle"
)

// Whatever a client sends, its requests arrive at the origin as they can be read in one way alone, and no more of them than it has
// begun.
func TestSmuggling(t *testing.T) {
	back := smuggle.NewBackend(t, true)
	r := serve(t, &Proxy{Allow: allow("localhost")})
	smuggle.Check(t, back, r.url.Host, func(path string) string { return "http://" + back.Addr + path }, func() string { return "Host: x\r\n" }, r.stop)
}

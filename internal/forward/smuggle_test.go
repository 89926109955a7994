package forward

import (
	"testing"

	"github.com/nego-sso/nego/internal/smuggle"
)

// Whatever a client sends, its requests arrive at the origin as they can be read in one way alone, and no more of them than it has
// begun.
func TestSmuggling(t *testing.T) {
	back := smuggle.NewBackend(t, "")
	r := serve(t, &Proxy{Allow: allow("localhost")})
	chain := smuggle.Chain{Back: back, Front: r.url.Host, Target: func(path string) string { return "http://" + back.Addr + path }, Fields: func() string { return "Host: x\r\n" }, End: r.stop}
	chain.Check(t)
}

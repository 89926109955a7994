package main

import (
	"net"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// A client that comes by another name than a key's gets no ticket.
func TestHostToCall(t *testing.T) {
	keys := func(hosts ...string) (all []gssapi.Key) {
		for _, h := range hosts {
			all = append(all, gssapi.Key{Principal: gssapi.Principal("HTTP/" + h + "@NEGO.TEST")})
		}
		return all
	}
	for _, c := range []struct {
		typed, ip string
		keys      []gssapi.Key
		host      string
		fits      bool
	}{
		{"127.0.0.1", "127.0.0.1", keys("localhost"), "localhost", true},
		{"localhost", "127.0.0.1", keys("localhost"), "localhost", true},
		{"::1", "::1", keys("web.example", "localhost"), "localhost", true},
		{"127.0.0.1", "127.0.0.1", keys("web.example"), "127.0.0.1", false},
		{"localhost", "127.0.0.1", keys("web.example"), "localhost", false},
		{"WEB.example", "192.0.2.1", keys("other.example", "web.example"), "web.example", true},
		{"web.example", "127.0.1.1", keys("web.example"), "web.example", true}, // as Debian's /etc/hosts has it
		{"web", "192.0.2.1", keys("web.example"), "web", false},
		{"192.0.2.1", "192.0.2.1", keys("localhost", "web.example"), "web.example", true},
		{"192.0.2.1", "192.0.2.1", keys("localhost"), "192.0.2.1", false},
		{"", "::", keys("web.example", "other.example"), "web.example", true},
		{"0.0.0.0", "0.0.0.0", keys("localhost"), "localhost", true},
		{"", "::", nil, "::", false},
	} {
		host, fits := hostToCall(c.typed, net.ParseIP(c.ip), c.keys)
		if host != c.host || fits != c.fits {
			t.Errorf("%q on %s: %s, %t; want %s, %t", c.typed, c.ip, host, fits, c.host, c.fits)
		}
	}
}

//go:build interop

package peers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

// SquidOptions are the choices of a Squid.
type SquidOptions struct {
	// Env is the environment, as in [ApacheOptions]. Any key of its keytab will do: the client decides whether the
	// proxy is HTTP/localhost or another.
	Env []string

	// Open lets everybody through, without authentication.
	Open bool

	// Config has further directives, which stand before the others.
	Config string
}

// A Proxy is a running Squid.
type Proxy struct {
	URL *url.URL // http://localhost:port

	p *process
}

// Log returns the ends of the logs, for a message. The helpers of the authentication write there, too.
func (p *Proxy) Log() string { return p.p.tails() }

const negotiateHelper = "/usr/lib/squid/negotiate_kerberos_auth"

// Squid starts a Squid for a test and stops it when the test has ended. It goes to origins on loopback only, any port.
func Squid(tb testing.TB, o SquidOptions) *Proxy {
	tb.Helper()
	need(tb, "squid", "/usr/sbin/squid", negotiateHelper)
	p := start(tb, spec{
		name:   "squid",
		user:   "proxy",
		signal: "KILL", // it has nothing to save, and would take two seconds
		env:    o.Env,
		command: func(dir string) []string {
			return []string{"/usr/sbin/squid", "-N", "-n", suffix(dir), "-f", dir + "/squid.conf"}
		},
		files: func(p *process) (map[string][]byte, error) {
			return map[string][]byte{"squid.conf": squidConf(p, &o)}, nil
		},
		logs: []string{"cache.log", "access.log"},
		probe: func(ctx context.Context, p *process) error {
			// Its error has the header Via, with the name that only this Squid has.
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+p.ports[0]+"/", nil)
			if err != nil {
				return err
			}
			return probeHTTP(req, func(resp *http.Response) bool { return strings.Contains(resp.Header.Get("Via"), suffix(p.dir)) })
		},
	})
	return &Proxy{URL: &url.URL{Scheme: "http", Host: "localhost:" + p.ports[0]}, p: p}
}

func squidConf(p *process, o *SquidOptions) []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s", o.Config)
	line(`http_port 127.0.0.1:%s
visible_hostname %s
pid_filename none
cache_log {dir}/cache.log
access_log stdio:{dir}/access.log
logfile_rotate 0
coredump_dir {dir}
cache deny all
cache_mem 0
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
acl loopback src 127.0.0.0/8
acl origins dst 127.0.0.0/8
http_access deny !loopback`, p.ports[0], suffix(p.dir))
	if os.Getuid() == 0 {
		line("cache_effective_user %s", p.user)
	}
	if !o.Open {
		// A token for any key of the keytab.
		line(`auth_param negotiate program %s -i -s GSS_C_NO_NAME
auth_param negotiate children 8 startup=1 idle=1
auth_param negotiate keep_alive on
acl users proxy_auth REQUIRED
http_access deny !users`, negotiateHelper)
	}
	line("http_access allow origins\nhttp_access deny all")
	return []byte(strings.ReplaceAll(b.String(), "{dir}", p.dir))
}

//go:build interop

package peers

import "testing"

// RelayOptions are the choices of a server that stands before another.
type RelayOptions struct {
	// Lax lets through what it can: names and lines that it would refuse or leave out, and bodies as they come.
	Lax bool

	// Keep keeps connections to the other server, for the requests of all clients.
	Keep bool
}

// Relays are servers that pass on to an address whatever they are asked, without a look at who asks. By name.
func Relays(o RelayOptions) map[string]func(tb testing.TB, addr string) *Server {
	return map[string]func(tb testing.TB, addr string) *Server{
		"nginx": func(tb testing.TB, addr string) *Server {
			tb.Helper()
			n := NginxOptions{
				HTTP:   "upstream behind { server " + addr + "; }",
				Config: "location / { proxy_pass http://behind; }\nproxy_http_version 1.1;",
			}
			if o.Lax {
				n.Config += "underscores_in_headers on; ignore_invalid_headers off; proxy_request_buffering off;"
			}
			if o.Keep {
				n.HTTP = "upstream behind { server " + addr + "; keepalive 4; }"
				n.Config += `proxy_set_header Connection "";`
			}
			return Nginx(tb, n)
		},
		"Apache": func(tb testing.TB, addr string) *Server {
			tb.Helper()
			a := ApacheOptions{Upstream: "http://" + addr + "/"}
			if o.Lax {
				a.Config = "HttpProtocolOptions Unsafe"
			}
			if !o.Keep {
				a.Upstream += " disablereuse=on"
			}
			return Apache(tb, a)
		},
	}
}

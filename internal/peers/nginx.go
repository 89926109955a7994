//go:build interop

package peers

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// NginxOptions are the choices of an nginx.
type NginxOptions struct {
	// Config has the directives of its only server.
	Config string

	// HTTP has further directives of http, such as an upstream.
	HTTP string
}

// Nginx starts nginx for a test, serving http, and stops it when the test has ended.
func Nginx(tb testing.TB, o NginxOptions) *Server {
	tb.Helper()
	need(tb, "nginx-light", "/usr/sbin/nginx")
	ready := "/" + rand.Text() // proves that the server which answers is this one
	p := start(tb, spec{
		name:   "nginx",
		user:   "www-data",
		signal: "TERM",
		env:    []string{},
		command: func(dir string) []string {
			return []string{"/usr/sbin/nginx", "-p", dir, "-e", dir + "/error.log", "-c", dir + "/nginx.conf"}
		},
		files: func(p *process) (map[string][]byte, error) {
			return map[string][]byte{"nginx.conf": nginxConf(p, &o, ready)}, nil
		},
		logs: []string{"error.log", "access.log"},
		probe: func(ctx context.Context, p *process) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+p.ports[0]+ready, nil)
			if err != nil {
				return err
			}
			return probeHTTP(req, func(resp *http.Response) bool { return resp.StatusCode == http.StatusNoContent })
		},
	})
	return &Server{URL: "http://localhost:" + p.ports[0], p: p, ready: ready}
}

func nginxConf(p *process, o *NginxOptions, ready string) []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if os.Getuid() == 0 {
		line("user %s;", p.user)
	}
	line(`daemon off;
worker_processes 1;
pid {dir}/pid;
error_log {dir}/error.log info;
events {}
http {
access_log {dir}/access.log;`)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		line("%s_temp_path {dir}/%s;", kind, kind)
	}
	line("%s", o.HTTP)
	line("server {\nlisten 127.0.0.1:%s;\nserver_name localhost;\nlocation = %s { return 204; }\n%s\n}\n}", p.ports[0], ready, o.Config)
	return []byte(strings.ReplaceAll(b.String(), "{dir}", p.dir))
}

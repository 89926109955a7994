//go:build interop

package peers

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Directives of mod_auth_gssapi for a [Location].
const (
	// AuthKrb5 asks for Kerberos, in SPNEGO or raw, in each request.
	AuthKrb5 = `AuthType GSSAPI
AuthName nego
GssapiAllowedMech krb5
GssapiPublishMech On
Require valid-user
`
	// AuthBound is AuthKrb5 where the connection keeps the identity: later requests on it need no token.
	AuthBound = AuthKrb5 + `GssapiConnectionBound On
GssapiSignalPersistentAuth On
`
	// AuthNTLM takes NTLM as well, in SPNEGO or raw, which needs the environment of [NTLM].
	AuthNTLM = AuthBound + `GssapiAllowedMech ntlmssp
`
)

// Location returns directives for a path and what is below it. What no Location asks for is open to all.
func Location(path, directives string) string {
	return fmt.Sprintf("<Location %q>\n%s\n</Location>\n", path, directives)
}

// ApacheOptions are the choices of an Apache. The zero value serves http, with everything open.
type ApacheOptions struct {
	// Env is the environment: the realm's Env, and [NTLM]'s after it. Files named there are copied when the server
	// starts, for the sake of its own user; it does not see keys that are added to a keytab later.
	Env []string

	// Config has further directives, such as [Location] makes, for http and https.
	Config string

	// Certificate is for https, with HTTP/2 and HTTP/1.1. Nil means http only.
	Certificate *tls.Certificate

	// Backend answers the requests that Apache lets through, as a reverse proxy. Nil means [Echo]. It is told who
	// Apache saw, in the headers X-Remote-User, X-Auth-Mech and X-Remote-Port.
	Backend http.Handler

	// Upstream is the URL of a server that gets the requests in place of Backend, and parameters as ProxyPass has them. It is
	// told nothing about who Apache saw: the fields are the client's.
	Upstream string

	// Workers is how many requests, and connections, are served at once. 0 means 128.
	Workers int
}

// A Server is a running Apache, or nginx. The responses of an Apache, the 401 too, have the headers X-Remote-User, X-Auth-Mech, and
// X-Remote-Port with the client's port, which tells connections apart. X-Auth-Mech is such as Negotiate/krb5.
type Server struct {
	URL    string // http://localhost:port
	TLSURL string // https://localhost:port; "" without a certificate

	p     *process
	ready string
}

// Log returns the ends of the error log and of the access log, for a message.
func (s *Server) Log() string { return s.p.tails() }

// Access returns the lines of the access log, without those of what looked whether the server is ready. A line may come later than
// the answer that it tells of.
func (s *Server) Access(tb testing.TB) (lines []string) {
	tb.Helper()
	text, err := os.ReadFile(s.p.path("access.log"))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, s.ready) {
			lines = append(lines, line)
		}
	}
	return lines
}

// modules are those of Debian's apache2 that are not built in.
var modules = []string{
	"mpm_event", "alias", "authn_core", "authz_core", "authz_user", "headers",
	"proxy", "proxy_http", "ssl", "socache_shmcb", "http2", "auth_gssapi",
}

const modulesDir = "/usr/lib/apache2/modules/"

// Apache starts Apache for a test and stops it when the test has ended.
func Apache(tb testing.TB, o ApacheOptions) *Server {
	tb.Helper()
	need(tb, "apache2", "/usr/sbin/apache2", modulesDir+"mod_mpm_event.so")
	need(tb, "libapache2-mod-auth-gssapi", modulesDir+"mod_auth_gssapi.so")
	if o.Backend == nil {
		o.Backend = Echo()
	}
	if o.Workers == 0 {
		o.Workers = 128
	}
	// A path that nobody can guess proves that the server which answers is this one, and its way to the backend.
	ready := "/" + rand.Text()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == ready {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		o.Backend.ServeHTTP(w, r)
	}))
	tb.Cleanup(backend.Close) // after Apache has ended
	p := start(tb, spec{
		name:   "apache",
		user:   "www-data",
		signal: "TERM",
		env:    o.Env,
		command: func(dir string) []string {
			return []string{"/usr/sbin/apache2", "-d", dir, "-f", dir + "/apache.conf", "-D", "FOREGROUND"}
		},
		files: func(p *process) (map[string][]byte, error) {
			files := map[string][]byte{"apache.conf": apacheConf(p, &o, backend.URL, ready)}
			if o.Certificate == nil {
				return files, nil
			}
			pem, err := encodeCertificate(o.Certificate)
			files["tls.pem"] = pem
			return files, err
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
	s := &Server{URL: "http://localhost:" + p.ports[0], p: p, ready: ready}
	if o.Certificate != nil {
		s.TLSURL = "https://localhost:" + p.ports[1]
	}
	return s
}

func apacheConf(p *process, o *ApacheOptions, backend, ready string) []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, m := range modules {
		line("LoadModule %s_module %smod_%s.so", m, modulesDir, m)
	}
	if os.Getuid() == 0 {
		line("User #%d\nGroup #%d", p.uid, p.gid)
	}
	line(`ServerName localhost
PidFile {dir}/pid
DefaultRuntimeDir {dir}
DocumentRoot {dir}
LogLevel info auth_gssapi:debug
ErrorLog {dir}/error.log
LogFormat "%%t %%{remote}p %%H %%>s %%u %%m %%U" peers
CustomLog {dir}/access.log peers
KeepAliveTimeout 60
MaxKeepAliveRequests 0
Header always set X-Remote-User expr=%%{REMOTE_USER}
Header always set X-Auth-Mech expr=%%{reqenv:GSS_MECH}
Header always set X-Remote-Port expr=%%{REMOTE_PORT}
ProxyPreserveHost On`)
	if o.Upstream != "" {
		line("ProxyPass %[1]s %[2]s%[1]s retry=0\nProxyPass / %[3]s", ready, backend, o.Upstream)
	} else {
		line("RequestHeader set X-Remote-User expr=%%{REMOTE_USER}\nRequestHeader set X-Auth-Mech expr=%%{reqenv:GSS_MECH}")
		line("RequestHeader set X-Remote-Port expr=%%{REMOTE_PORT}\nProxyPass / %s/ retry=0", backend)
	}
	// One child with all threads: a connection is as good as any other.
	line("ServerLimit 1\nStartServers 1\nThreadLimit %[1]d\nThreadsPerChild %[1]d\nMaxRequestWorkers %[1]d", o.Workers)
	line("MinSpareThreads 1\nMaxSpareThreads %[1]d\nH2MinWorkers 4\nH2MaxWorkers %[1]d", o.Workers)
	line("Listen 127.0.0.1:%s", p.ports[0])
	line("%s", o.Config)
	if o.Certificate != nil {
		line("Listen 127.0.0.1:%[1]s https\n<VirtualHost 127.0.0.1:%[1]s>", p.ports[1])
		line("SSLEngine On\nSSLCertificateFile {dir}/tls.pem\nProtocols h2 http/1.1\n</VirtualHost>")
	}
	return []byte(strings.ReplaceAll(b.String(), "{dir}", p.dir))
}

// probeHTTP makes one request on a connection of its own and checks the response.
func probeHTTP(req *http.Request, ok func(*http.Response) bool) error {
	t := &http.Transport{DisableKeepAlives: true}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if !ok(resp) {
		return fmt.Errorf("somebody else answers at %s: %s", req.URL.Host, resp.Status)
	}
	return nil
}

// A Request is what [Echo] saw.
type Request struct {
	Method        string
	Path          string
	User          string // who the server saw; "" is nobody
	Mech          string // such as Negotiate/krb5
	RemotePort    string // of the client's connection to the server
	Authorization string // the scheme only
	Body          int64  // length of the body
	SHA256        string // of the body, in hexadecimal
}

// Echo returns a handler that reads all of a request, and answers with it as JSON, a [Request].
func Echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		n, err := io.Copy(hash, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		data, err := json.Marshal(Request{
			Method:        r.Method,
			Path:          r.URL.Path,
			User:          r.Header.Get("X-Remote-User"),
			Mech:          r.Header.Get("X-Auth-Mech"),
			RemotePort:    r.Header.Get("X-Remote-Port"),
			Authorization: scheme,
			Body:          n,
			SHA256:        hex.EncodeToString(hash.Sum(nil)),
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data)
	})
}

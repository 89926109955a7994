//go:build interop

package negotiate

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/internal/peers"
)

// foreignBody is what each client sends with its POST.
const foreignBody = "name=nego&text=a <b> & c"

// A door is where clients find a server.
type door struct {
	url  string
	ca   string            // the file with its certificate; "" is http
	leaf *x509.Certificate // the same; nil is http
}

// A foreignSite is a server, behind an Authenticator, for clients of other people.
type foreignSite struct {
	*site
	door
	unproven bool   // its own proof does not reach the client
	content  string // that it has; "" is the user

	mu     sync.Mutex
	visits []errand
}

// A errand is what the handler saw of a request.
type errand struct {
	Method, User, Body string
	Bound, Mutual      bool
	Conn               string // tells connections apart
	Major              int    // version of HTTP
}

func newForeignSite(t *testing.T, a *Authenticator, protocols ...string) *foreignSite {
	return new(foreignSite).start(t, a, protocols...)
}

// start starts a site. Protocols are those of TLS's ALPN; none means http.
func (s *foreignSite) start(t *testing.T, a *Authenticator, protocols ...string) *foreignSite {
	h := a.Handler(http.HandlerFunc(s.serve))
	s.site = newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { h.ServeHTTP(w, r) })
	s.Config.ConnContext = a.ConnContext
	scheme := "http"
	if len(protocols) == 0 {
		s.Start()
	} else {
		scheme = "https"
		cert, file := peers.Certificate(t)
		s.ca, s.leaf = file, cert.Leaf
		s.EnableHTTP2 = true
		s.TLS = a.TLSConfig(&tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: protocols})
		s.StartTLS()
	}
	s.url = scheme + "://localhost:" + s.port() + "/"
	t.Cleanup(s.Close)
	return s
}

// serve says to whom it talks.
func (s *foreignSite) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	id, ok := FromContext(r.Context())
	if err != nil || !ok {
		http.Error(w, fmt.Sprint(ok, err), http.StatusInternalServerError)
		return
	}
	user := id.Initiator.String()
	s.mu.Lock()
	s.visits = append(s.visits, errand{r.Method, user, string(body),
		id.Flags&gssapi.FlagChannelBound != 0, id.Flags&gssapi.FlagMutual != 0, r.RemoteAddr, r.ProtoMajor})
	s.mu.Unlock()
	if s.unproven {
		w.Header().Del(askHeader)
	}
	w.Header().Set("Cache-Control", "no-store")
	if s.content != "" {
		user = s.content
	}
	if r.Header.Get("Sec-Fetch-Dest") == "document" { // a browser
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		user = peers.ChromiumPage(user, foreignBody)
	}
	_, _ = io.WriteString(w, user)
}

// visited returns what the handler saw.
func (s *foreignSite) visited() []errand {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.visits)
}

// outers are the mechanisms of all tokens, each once.
func (s *foreignSite) outers(t *testing.T) (outers []string) {
	for _, r := range s.seen() {
		if token, err := requestToken(r.Header); err == nil {
			outer, _ := readToken(t, token)
			outers = append(outers, outer)
		}
	}
	slices.Sort(outers)
	return slices.Compact(outers)
}

// A foreignClient is one of other people, and what is known of it: docs/clients.md is for those who use it.
type foreignClient struct {
	// run makes two GETs and a POST, and reports whether all were answered as the user's; if not, why.
	run func(t *testing.T, d door) (ok bool, printed string)

	outer  gssapi.OID // the mechanism of its tokens
	alpn   bool       // it can do HTTP/2
	http2  bool       // and Negotiate over it; without, it may go back to HTTP/1.1 for that
	ahead  bool       // it sends tokens without having been asked
	always bool       // also on a connection that has the user
	mutual bool       // it asks the server for a proof
	binds  bool       // its tokens are bound to the server's certificate
	conns  int        // its connections for the three requests, where each of them has a token; 0 is not to be foretold
	doubt  string     // what it says of an answer without a proof; "" is that it takes it
}

// foreignClients are all of them.
var foreignClients = map[string]foreignClient{
	"transport": {run: runTransport(nil), outer: gssapi.SPNEGO, alpn: true, http2: true, binds: true, conns: 1},
	"transport mutual": {run: runTransport(&Transport{Mutual: MutualRequired, Preemptive: PreemptAlways}), outer: gssapi.SPNEGO,
		alpn: true, http2: true, ahead: true, always: true, mutual: true, binds: true, conns: 1, doubt: "the server did not prove who it is"},
	"curl":                 {run: runCurl, outer: gssapi.SPNEGO, alpn: true, http2: true, ahead: true, mutual: true, conns: 1},
	"requests-kerberos":    {run: runPython, outer: gssapi.KRB5, mutual: true, conns: 1, doubt: "MutualAuthenticationError"},
	"java":                 {run: runJava(), outer: gssapi.SPNEGO, mutual: true, conns: 3},
	"java channel binding": {run: runJava(javaBinds), outer: gssapi.SPNEGO, mutual: true, binds: true, conns: 3},
	"chromium":             {run: runChromium(peers.UsedProfile, chromiumAllow), outer: gssapi.SPNEGO, alpn: true},
}

const (
	javaBinds     = "-Djdk.https.negotiate.cbt=always"
	chromiumAllow = "--auth-server-allowlist=localhost"
)

// allAnswered reports whether answers are those of three requests of the user.
func allAnswered(answers []peers.Answer) bool {
	return slices.Equal(answers, slices.Repeat([]peers.Answer{{Status: 200, Body: realUser}}, 3))
}

func runTransport(settings *Transport) func(t *testing.T, d door) (bool, string) {
	return func(t *testing.T, d door) (bool, string) {
		tr := &Transport{Base: newCounted(t, d.leaf).Transport, ChannelBinding: BindIfTLS}
		if settings != nil {
			tr.Mutual, tr.Preemptive = settings.Mutual, settings.Preemptive
		}
		c := newClient(t, tr)
		var answers []peers.Answer
		for _, method := range []string{"GET", "GET", "POST"} {
			var body io.Reader
			if method == "POST" {
				body = strings.NewReader(foreignBody)
			}
			resp, err := c.Do(newRequest(t, method, d.url, body))
			if err != nil {
				return false, err.Error()
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				return false, err.Error()
			}
			answers = append(answers, peers.Answer{Status: resp.StatusCode, Body: string(b)})
		}
		return allAnswered(answers), fmt.Sprint(answers)
	}
}

func runCurl(t *testing.T, d door) (bool, string) {
	args := []string{"--fail", "--negotiate", "--user", ":"}
	if d.ca != "" {
		args = append(args, "--cacert", d.ca)
	}
	get := append(slices.Clone(args), d.url, d.url)
	post := append(slices.Clone(args), "--data-binary", foreignBody, d.url)
	r := peers.Curl(t, realm.Env(), slices.Concat([]string{"--fail-early"}, get, []string{"--next"}, post)...)
	return r.Exit == 0 && r.Status == 200, fmt.Sprintf("exit %d: %s", r.Exit, r.Stderr)
}

func runPython(t *testing.T, d door) (bool, string) {
	answers, failure := peers.Python(t, realm.Env(), d.url, d.ca, foreignBody)
	return failure == "" && allAnswered(answers), fmt.Sprint(answers, failure)
}

func runJava(options ...string) func(t *testing.T, d door) (bool, string) {
	return func(t *testing.T, d door) (bool, string) { return runJavaIn(t, d, realm.Env(), options...) }
}

func runJavaIn(t *testing.T, d door, env []string, options ...string) (bool, string) {
	answers, failure := peers.Java(t, env, d.url, d.ca, foreignBody, options...)
	return failure == "" && allAnswered(answers), fmt.Sprint(answers, failure)
}

func runChromium(profile func(testing.TB) peers.Profile, options ...string) func(t *testing.T, d door) (bool, string) {
	return func(t *testing.T, d door) (bool, string) {
		answers, printed := peers.Chromium(t, realm.Env(), profile(t), d.url, d.leaf, options...)
		return allAnswered(answers), printed
	}
}

// Each client logs in over each protocol, where each request is to have a token and where the connection has the user;
// the server knows of each request whose it is.
func TestInteropForeign(t *testing.T) {
	for name, c := range foreignClients {
		for version, protocols := range map[string][]string{"http": nil, "https": {"http/1.1"}, "https http2": {"h2", "http/1.1"}} {
			if len(protocols) == 2 && !c.alpn {
				continue
			}
			for _, bound := range []bool{false, true} {
				t.Run(fmt.Sprint(name, " ", version, " connection ", bound), func(t *testing.T) {
					s := newForeignSite(t, &Authenticator{ChannelBinding: BindIfTLS, ConnectionBound: bound}, protocols...)
					if ok, printed := c.run(t, s.door); !ok {
						t.Fatalf("%+v, %s", s.visited(), printed)
					}
					visits := s.visited()
					conns := map[string]bool{}
					want := errand{User: realUser, Mutual: c.mutual, Bound: c.binds && protocols != nil}
					tokens := 0
					for i, got := range visits {
						if !bound || c.always || got.Major == 2 || !conns[got.Conn] {
							tokens++ // HTTP/2 keeps no user with a connection
						}
						conns[got.Conn] = true
						want.Conn = got.Conn
						if want.Major = 1; len(protocols) == 2 {
							want.Major = 2
							if !c.http2 {
								want.Major = got.Major
							}
						}
						if want.Method = "GET"; i == 2 {
							want.Method, want.Body = "POST", foreignBody
						}
						if got != want {
							t.Errorf("request %d: %+v, want %+v", i, got, want)
						}
					}
					challenges := len(s.seen()) - len(visits)
					if len(visits) != 3 || s.tokens() != tokens || !c.ahead && challenges < tokens {
						t.Errorf("%d visits, %d tokens of %d, %d challenges", len(visits), s.tokens(), tokens, challenges)
					}
					if c.ahead && challenges > 0 || c.conns != 0 && challenges > tokens {
						t.Errorf("%d challenges for %d tokens", challenges, tokens)
					}
					if !bound && c.conns != 0 && len(conns) != c.conns {
						t.Errorf("%d connections, want %d", len(conns), c.conns)
					}
					if first := s.seen()[0].ProtoMajor; first != 1 && protocols == nil || first != len(protocols) && protocols != nil {
						t.Errorf("it begins with HTTP/%d", first)
					}
					if outers := s.outers(t); !slices.Equal(outers, []string{c.outer.String()}) {
						t.Errorf("tokens of %s, want %s", outers, c.outer)
					}
				})
			}
		}
	}
}

// Where tokens must be bound, only those clients get in that bind theirs.
func TestInteropForeignMustBind(t *testing.T) {
	for name, c := range foreignClients {
		t.Run(name, func(t *testing.T) {
			s := newForeignSite(t, &Authenticator{ChannelBinding: BindRequired}, "http/1.1")
			ok, printed := c.run(t, s.door)
			if visits := s.visited(); ok != c.binds || ok != (len(visits) == 3) || !ok && len(visits) > 0 {
				t.Errorf("%v, %+v: %s", ok, visits, printed)
			}
			if s.tokens() == 0 {
				t.Error("it has not tried")
			}
		})
	}
}

// Somebody in between, whose certificate the client believes in, sends a token on: that of a client that binds is
// refused, even though the server does not insist.
func TestInteropForeignRelay(t *testing.T) {
	for name, c := range foreignClients {
		t.Run(name, func(t *testing.T) {
			s := newForeignSite(t, &Authenticator{ChannelBinding: BindIfTLS}, "http/1.1")
			ok, printed := c.run(t, elsewhere(t, s.door))
			if visits := s.visited(); ok == c.binds || ok != (len(visits) == 3) || !ok && len(visits) > 0 {
				t.Errorf("%v, %+v: %s", ok, visits, printed)
			}
			if s.tokens() == 0 {
				t.Error("it has not tried")
			}
		})
	}
}

// Clients that look at the server's proof do not take an answer without it.
func TestInteropForeignMutual(t *testing.T) {
	for name, c := range foreignClients {
		t.Run(name, func(t *testing.T) {
			s := (&foreignSite{unproven: true}).start(t, new(Authenticator))
			ok, printed := c.run(t, s.door)
			if ok != (c.doubt == "") || !strings.Contains(printed, c.doubt) || len(s.visited()) == 0 {
				t.Errorf("%v, %+v: %s", ok, s.visited(), printed)
			}
		})
	}
}

// Without the option that says where to, Chromium sends no token.
func TestInteropChromiumAllowlist(t *testing.T) {
	for name, options := range map[string][]string{"none": nil, "another host": {"--auth-server-allowlist=*.nego.test"}} {
		t.Run(name, func(t *testing.T) {
			s := newForeignSite(t, new(Authenticator))
			ok, printed := runChromium(peers.UsedProfile, options...)(t, s.door)
			if ok || !strings.Contains(printed, "Unauthorized") || s.tokens() != 0 {
				t.Errorf("%v, %d tokens: %s", ok, s.tokens(), printed)
			}
		})
	}
}

// Chromium does not answer the first challenge that a profile ever gets, and does from the next start on.
func TestInteropChromiumNewProfile(t *testing.T) {
	s := newForeignSite(t, new(Authenticator))
	profile := peers.NewProfile(t)
	run := runChromium(func(testing.TB) peers.Profile { return profile }, chromiumAllow)
	if ok, printed := run(t, s.door); ok || !strings.Contains(printed, "Unauthorized") {
		t.Errorf("the first start: %v, %+v: %s", ok, s.visited(), printed)
	}
	if ok, printed := run(t, s.door); !ok {
		t.Errorf("the second start: %v, %+v: %s", ok, s.visited(), printed)
	}
}

// Java finds the tickets by the environment, or by a login.conf, which goes before it.
func TestInteropJavaCache(t *testing.T) {
	s := newForeignSite(t, new(Authenticator))
	env := append(realm.Env(), "KRB5CCNAME=FILE:"+filepath.Join(t.TempDir(), "none"))
	if ok, printed := runJavaIn(t, s.door, env); ok || s.tokens() != 0 || len(s.seen()) == 0 {
		t.Errorf("%v, %d tokens of %d requests: %s", ok, s.tokens(), len(s.seen()), printed)
	}
	if ok, printed := runJavaIn(t, s.door, env, peers.JavaCache(t, realm.CCache)); !ok {
		t.Errorf("%+v: %s", s.visited(), printed)
	}
}

// Git logs in where it is told that there is no name and password to ask for.
func TestInteropGit(t *testing.T) {
	const ref = "0123456789012345678901234567890123456789\trefs/heads/main\n"
	for _, protocols := range [][]string{nil, {"h2", "http/1.1"}} {
		// The file info/refs, as a plain server of files has it.
		s := (&foreignSite{content: ref}).start(t, new(Authenticator), protocols...)
		list := func(options ...string) (string, error) {
			args := append([]string{"-c", "http.proxy="}, options...)
			cmd := exec.CommandContext(t.Context(), "git", append(args, "ls-remote", s.url+"repository")...)
			cmd.Env = append(append(os.Environ(), realm.Env()...), "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=",
				"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_SSL_CAINFO="+s.ca)
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		if out, err := list(); err == nil || s.tokens() != 0 {
			t.Errorf("without the option: %s", out)
		}
		out, err := list("-c", "http.emptyAuth=true")
		if visits := s.visited(); err != nil || out != ref || len(visits) == 0 || visits[0].User != realUser || visits[0].Major != max(1, len(protocols)) {
			t.Errorf("%v, %+v: %s", err, visits, out)
		}
	}
}

// elsewhere opens a door with a certificate of its own, behind which is the given one.
func elsewhere(t *testing.T, d door) door {
	cert, file := peers.Certificate(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*cert}})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(d.leaf)
	var all sync.WaitGroup
	t.Cleanup(func() { // once the clients are gone, and their connections with them
		l.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := tls.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(d.url, "https://"), "/"), &tls.Config{RootCAs: roots})
			if err != nil {
				in.Close()
				continue
			}
			for _, pipe := range [][2]net.Conn{{in, out}, {out, in}} {
				all.Go(func() {
					_, _ = io.Copy(pipe[0], pipe[1])
					pipe[0].Close()
				})
			}
		}
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return door{"https://localhost:" + port + "/", file, cert.Leaf}
}

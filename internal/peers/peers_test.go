//go:build interop

package peers

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/krbtest"
)

// helperVar tells the test binary to be a helper process, and which.
const helperVar = "PEERS_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperVar) == "get" {
		if err := get(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// get is a client by GSSAPI, in a process whose environment says where the tickets are: all requests go over one
// connection, the last one without a token. It prints what Echo answered to the last two.
func get(target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	do := func(token []byte) (*http.Response, error) {
		req, err := http.NewRequest(http.MethodGet, target, nil)
		if err != nil {
			return nil, err
		}
		if token != nil {
			req.Header.Set("Authorization", "Negotiate "+base64.StdEncoding.EncodeToString(token))
		}
		if err := req.Write(conn); err != nil {
			return nil, err
		}
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode == http.StatusOK {
			fmt.Printf("%s\n", body)
		}
		return resp, err
	}
	sec := gssapi.NewInitiator(gssapi.Service("HTTP", u.Hostname()), nil)
	defer sec.Close()
	var in []byte
	for legs := 1; legs < 5; legs++ {
		out, err := sec.Step(context.Background(), in)
		if err != nil {
			return err
		}
		resp, err := do(out)
		if err != nil {
			return err
		}
		scheme, token, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), " ")
		if scheme != "Negotiate" || token == "" {
			return fmt.Errorf("leg %d: %s without a token", legs, resp.Status)
		}
		if in, err = base64.StdEncoding.DecodeString(token); err != nil {
			return err
		}
		if resp.StatusCode == http.StatusOK {
			resp, err = do(nil)
			if err == nil && resp.StatusCode != http.StatusOK {
				err = errors.New("without a token: " + resp.Status)
			}
			return err
		}
	}
	return errors.New("too many legs")
}

// runGet runs get in a process of its own.
func runGet(t *testing.T, env []string, target string) []Request {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testBinary(t), target)
	cmd.Env = slices.Concat(os.Environ(), env, []string{helperVar + "=get"})
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	var all []Request
	for line := range bytes.Lines(out) {
		all = append(all, parse(t, line))
	}
	return all
}

func testBinary(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func parse(t *testing.T, data []byte) (r Request) {
	t.Helper()
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatalf("%v in %q", err, data)
	}
	return r
}

// noTicket is for a client without tickets.
const noTicket = "KRB5CCNAME=FILE:/nonexistent/ccache"

var negotiate = []string{"--negotiate", "--user", ":"}

func curl(t *testing.T, env []string, args ...string) *Reply {
	t.Helper()
	return Curl(t, env, append(slices.Clone(negotiate), args...)...)
}

func (r *Reply) check(t *testing.T, statuses ...int) {
	t.Helper()
	if r.Exit != 0 || !slices.Equal(r.Statuses, statuses) {
		t.Fatalf("exit %d, statuses %v, want %v\n%s\n%s", r.Exit, r.Statuses, statuses, r.Stderr, r.Body)
	}
}

func TestInteropApache(t *testing.T) {
	t.Parallel()
	realm := krbtest.Start(t, nil)
	cert, ca := Certificate(t)
	s := Apache(t, ApacheOptions{
		Env:         realm.Env(),
		Certificate: cert,
		Config:      Location("/krb5", AuthKrb5) + Location("/bound", AuthBound),
	})

	t.Run("open", func(t *testing.T) {
		r := Curl(t, realm.Env(), s.URL+"/")
		r.check(t, 200)
		if got := parse(t, r.Body); got.User != "" || got.Mech != "" || got.RemotePort == "" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("krb5", func(t *testing.T) {
		r := curl(t, realm.Env(), s.URL+"/krb5/page")
		r.check(t, 200)
		got := parse(t, r.Body)
		if got.User != "user@NEGO.TEST" || got.Mech != "Negotiate/krb5" || got.Path != "/krb5/page" || got.Authorization != "Negotiate" {
			t.Errorf("%+v", got)
		}
		h := r.Header
		if h.Get("X-Remote-User") != got.User || h.Get("X-Auth-Mech") != got.Mech || h.Get("X-Remote-Port") != got.RemotePort {
			t.Errorf("%v, %+v", h, got)
		}
	})
	t.Run("no ticket", func(t *testing.T) {
		r := curl(t, append(realm.Env(), noTicket), s.URL+"/krb5")
		r.check(t, 401)
		if r.Header.Get("WWW-Authenticate") != "Negotiate" || r.Header.Get("X-Remote-User") != "" {
			t.Error(r.Header)
		}
	})
	t.Run("bound", func(t *testing.T) {
		checkBound(t, runGet(t, realm.Env(), s.URL+"/bound"), "user@NEGO.TEST", "Negotiate/krb5")
	})
	t.Run("http2", func(t *testing.T) {
		for version, option := range map[string]string{"2": "--http2", "1.1": "--http1.1"} {
			r := curl(t, realm.Env(), "--cacert", ca, option, s.TLSURL+"/krb5")
			r.check(t, 200)
			if got := parse(t, r.Body); got.User != "user@NEGO.TEST" || r.Version != version {
				t.Errorf("HTTP/%s, want %s: %+v", r.Version, version, got)
			}
		}
	})
	t.Run("upload", func(t *testing.T) {
		body := make([]byte, 1<<20)
		_, _ = rand.Read(body)
		file := filepath.Join(t.TempDir(), "body")
		if err := os.WriteFile(file, body, 0o600); err != nil {
			t.Fatal(err)
		}
		r := curl(t, realm.Env(), "--header", "Expect: 100-continue", "--data-binary", "@"+file, s.URL+"/krb5")
		r.check(t, 100, 200)
		sum := sha256.Sum256(body)
		if got := parse(t, r.Body); got.Body != 1<<20 || got.SHA256 != hex.EncodeToString(sum[:]) || got.Method != "POST" {
			t.Errorf("%+v", got)
		}
	})
}

// checkBound checks that a server kept an identity for the second request on a connection, which had no token.
func checkBound(t *testing.T, got []Request, user, mech string) {
	t.Helper()
	if len(got) != 2 || got[0].User != user || got[1].User != user || got[0].RemotePort != got[1].RemotePort {
		t.Fatalf("%+v", got)
	}
	if got[0].Mech != mech || got[0].Authorization != "Negotiate" || got[1].Authorization != "" {
		t.Errorf("%+v", got)
	}
}

func TestInteropNTLM(t *testing.T) {
	t.Parallel()
	realm := krbtest.Start(t, nil)
	ntlm := NTLM(t, t.TempDir(), "DOM:alice:secret", "DOM:bob:hidden")
	bob := NTLM(t, t.TempDir(), "DOM:bob:hidden")
	wrong := NTLM(t, t.TempDir(), "DOM:bob:wrong")
	s := Apache(t, ApacheOptions{
		Env:    append(realm.Env(), ntlm...),
		Config: Location("/ntlm", AuthNTLM),
	})
	client := func(env []string) []string { return slices.Concat(realm.Env(), env, []string{noTicket}) }
	for user, env := range map[string][]string{`DOM\alice`: client(ntlm), `DOM\bob`: client(bob)} {
		r := curl(t, env, s.URL+"/ntlm")
		r.check(t, 401, 200)
		if got := parse(t, r.Body); got.User != user || got.Mech != "Negotiate/NTLM" || r.Connections != 1 {
			t.Errorf("%+v, %d connections", got, r.Connections)
		}
		checkBound(t, runGet(t, env, s.URL+"/ntlm"), user, "Negotiate/NTLM")
	}
	if r := curl(t, client(wrong), s.URL+"/ntlm"); r.Status != 401 {
		t.Errorf("wrong password: %v", r.Statuses)
	}
	// With a ticket, Kerberos comes first. In the realm's own environment there is no NTLM at all.
	checkBound(t, runGet(t, append(realm.Env(), ntlm...), s.URL+"/ntlm"), "user@NEGO.TEST", "Negotiate/krb5")
	curl(t, append(realm.Env(), noTicket), s.URL+"/ntlm").check(t, 401)
}

// Apache serves 100 requests at the same time, on as many connections.
func TestInteropParallel(t *testing.T) {
	t.Parallel()
	const n = 100
	var here sync.WaitGroup
	here.Add(n)
	s := Apache(t, ApacheOptions{Backend: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		here.Done()
		here.Wait()
	})})
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Error(resp.Status)
			}
		})
	}
	all.Wait()
}

func TestInteropSquid(t *testing.T) {
	t.Parallel()
	realm := krbtest.Start(t, nil)
	cert, ca := Certificate(t)
	s := Apache(t, ApacheOptions{Env: realm.Env(), Certificate: cert, Config: Location("/krb5", AuthKrb5)})
	p := Squid(t, SquidOptions{Env: realm.Env()})
	via := []string{"--noproxy", "", "--proxy", p.URL.String(), "--cacert", ca}
	auth := append(slices.Clone(via), "--proxy-negotiate", "--proxy-user", ":")

	r := Curl(t, realm.Env(), append(via, s.URL)...)
	r.check(t, 407)
	if r.Header.Get("Proxy-Authenticate") != "Negotiate" {
		t.Error(r.Header)
	}
	if r = Curl(t, realm.Env(), append(via, s.TLSURL)...); r.Exit != 56 || r.Status != 407 {
		t.Errorf("CONNECT: exit %d, %v", r.Exit, r.Statuses)
	}
	curl(t, append(realm.Env(), noTicket), append(auth, s.URL)...).check(t, 407)
	Curl(t, realm.Env(), append(auth, s.URL)...).check(t, 200)
	Curl(t, realm.Env(), append(auth, s.TLSURL)...).check(t, 200, 200)
	// Proxy and origin each ask.
	for _, u := range []string{s.URL, s.TLSURL} {
		r := curl(t, realm.Env(), append(auth, u+"/krb5")...)
		if got := parse(t, r.Body); r.Status != 200 || got.User != "user@NEGO.TEST" {
			t.Errorf("%v %+v", r.Statuses, got)
		}
	}
	if text := p.Log(); !strings.Contains(text, "user@NEGO.TEST") {
		t.Error(text)
	}

	open := Squid(t, SquidOptions{Open: true})
	Curl(t, nil, "--noproxy", "", "--proxy", open.URL.String(), s.URL).check(t, 200)
	Curl(t, nil, "--noproxy", "", "--proxy", open.URL.String(), "http://192.0.2.1/").check(t, 403)
}

func TestInteropKCM(t *testing.T) {
	t.Parallel()
	realm := krbtest.Start(t, &krbtest.Options{Users: []string{"alice", "bob"}, ExtraConfig: KCM(t)})
	s := Apache(t, ApacheOptions{Env: realm.Env(), Config: Location("/krb5", AuthKrb5)})
	env := append(realm.Env(), "KRB5CCNAME=KCM:")
	curl(t, env, s.URL+"/krb5").check(t, 401)
	if err := realm.Kinit(t.Context(), "bob", "KCM:"); err != nil {
		t.Fatal(err)
	}
	r := curl(t, env, s.URL+"/krb5")
	r.check(t, 200)
	if got := parse(t, r.Body); got.User != "bob@NEGO.TEST" {
		t.Errorf("%+v", got)
	}
	// Another daemon has other tickets.
	other := krbtest.Start(t, &krbtest.Options{ExtraConfig: KCM(t)})
	cmd := exec.CommandContext(t.Context(), "klist", "-s", "KCM:")
	cmd.Env = append(os.Environ(), other.Env()...)
	if err := cmd.Run(); err == nil {
		t.Error("another daemon has the ticket of this one")
	}
}

// The database has moved with all that was in it, is written where it is now, and lets services delegate as it says.
func TestInteropLDAPRealm(t *testing.T) {
	t.Parallel()
	d := LDAPRealm(t, &krbtest.Options{Users: []string{"alice"}, Services: []string{"HTTP/front.nego.test", "HTTP/back.nego.test", "HTTP/other.nego.test"}})
	kvno := func(args ...string) error {
		return d.run(t.Context(), "", "/usr/bin/kvno", append([]string{"-q"}, args...)...)
	}
	if err := d.Kinit(t.Context(), "alice", ""); err != nil { // whose password the first database had
		t.Error(err)
	}
	if err := kvno("HTTP/back.nego.test"); err != nil {
		t.Error(err)
	}
	if err := d.AddUser("carol", "carol's"); err != nil {
		t.Error(err)
	}
	if err := d.Kinit(t.Context(), "carol", "FILE:"+filepath.Join(t.TempDir(), "cc")); err != nil {
		t.Error(err)
	}
	if err := d.Kinit(t.Context(), "HTTP/front.nego.test", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Kadmin("modify_principal", "+ok_to_auth_as_delegate", "HTTP/front.nego.test"); err != nil {
		t.Error(err)
	}
	as := []string{"-k", d.KeytabFile, "-P", "-U", "alice"} // S4U2Self, then S4U2Proxy
	if err := kvno(append(as, "HTTP/back.nego.test")...); err == nil {
		t.Error("nobody has allowed that")
	}
	d.AllowDelegation(t, "HTTP/front.nego.test", "HTTP/back.nego.test")
	if err := kvno(append(as, "HTTP/back.nego.test")...); err != nil {
		t.Error(err)
	}
	if err := kvno(append(as, "HTTP/other.nego.test")...); err == nil {
		t.Error("nobody has allowed that")
	}
}

// A fakeTB is a test of which only the failure counts.
type fakeTB struct {
	testing.TB
	text string
}

func (f *fakeTB) Helper()        {}
func (f *fakeTB) Fatal(a ...any) { f.Fatalf("%s", fmt.Sprint(a...)) }
func (f *fakeTB) Fatalf(format string, a ...any) {
	f.text = fmt.Sprintf(format, a...)
	panic(f)
}

// failure returns what a test says that fails.
func failure(t *testing.T, run func(tb testing.TB)) (text string) {
	t.Helper()
	f := &fakeTB{TB: t}
	defer func() {
		if r := recover(); r != nil && r != any(f) {
			panic(r)
		}
		text = f.text
		if text == "" {
			t.Error("no failure")
		}
	}()
	run(f)
	return ""
}

func TestInteropFailures(t *testing.T) {
	t.Parallel()
	text := failure(t, func(tb testing.TB) { need(tb, "some-package", "/usr/sbin/no-such-program") })
	if !strings.Contains(text, "/usr/sbin/no-such-program") || !strings.Contains(text, "Debian package some-package") {
		t.Error(text)
	}
	for what, run := range map[string]func(tb testing.TB){
		"apache": func(tb testing.TB) { Apache(tb, ApacheOptions{Config: "NoSuchDirective 1"}) },
		"squid":  func(tb testing.TB) { Squid(tb, SquidOptions{Config: "acl NoSuchDirective nonsense 1"}) },
	} {
		text := failure(t, run)
		if !strings.Contains(text, "peers: start "+what) || !strings.Contains(text, "NoSuchDirective") {
			t.Errorf("%s: %s", what, text)
		}
		if dir := dirIn(text); dir == "" || !isGone(dir) {
			t.Errorf("left behind: %q in %s", dir, text)
		}
	}
}

// dirIn returns the directory of a server that a text names.
func dirIn(text string) string {
	i := strings.Index(text, os.TempDir()+"/peers-")
	if i < 0 {
		return ""
	}
	return filepath.Dir(strings.FieldsFunc(text[i:], func(r rune) bool { return strings.ContainsRune(" :\n", r) })[0])
}

// A server that ends before its test is an error of the test.
func TestInteropEnded(t *testing.T) {
	t.Parallel()
	for _, kill := range []string{"server", "watchdog"} {
		p, err := startOnce(t.Context(), spec{
			name:    "sleep",
			signal:  "TERM",
			command: func(dir string) []string { return []string{"/bin/sh", "-c", `sleep 1000 & >"$0/ready"; wait`, dir} },
			files:   func(*process) (map[string][]byte, error) { return nil, nil },
			probe: func(_ context.Context, p *process) error {
				_, err := os.Stat(p.path("ready"))
				return err
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		switch kill {
		case "server":
			_ = syscall.Kill(-p.pid, syscall.SIGKILL)
			<-p.running.Done()
			if err := p.close(); !errors.Is(err, errEnded) {
				t.Error(err)
			}
		case "watchdog":
			_ = p.watchdog.Process.Kill()
			if err := p.close(); err == nil {
				t.Error("no error")
			}
		}
		if !isGone(p.dir) || len(processes(p.dir)) > 0 {
			t.Errorf("%s: left behind", kill)
		}
	}
}

// TestInteropHelper is the process that TestInteropKilled kills. It does nothing by itself.
func TestInteropHelper(t *testing.T) {
	if os.Getenv(helperVar) != "serve" {
		return
	}
	realm := krbtest.Start(t, nil)
	s := Apache(t, ApacheOptions{Env: realm.Env()})
	q := Squid(t, SquidOptions{Env: realm.Env()})
	KCM(t)
	fmt.Printf("PEERS %s %s\n", strings.TrimPrefix(s.URL, "http://"), q.URL.Host)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// A test process that is killed leaves no process, no port in use and no file behind; one that ends does not either.
func TestInteropKilled(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"killed", "ended"} {
		tmp, err := os.MkdirTemp("", "peerstest-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(tmp)
		if err := os.Chmod(tmp, 0o777|os.ModeSticky); err != nil { // for the users of the servers
			t.Fatal(err)
		}
		cmd := exec.Command(testBinary(t), "-test.run=^TestInteropHelper$")
		cmd.Env = append(os.Environ(), helperVar+"=serve", "TMPDIR="+tmp)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var addrs []string
		lines := bufio.NewScanner(stdout)
		for addrs == nil && lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), "PEERS "); ok {
				addrs = strings.Fields(rest)
			} else {
				t.Log(lines.Text())
			}
		}
		if len(addrs) != 2 {
			t.Fatal("the helper did not start")
		}
		dirs, err := filepath.Glob(tmp + "/peers-*")
		if err != nil || len(dirs) != 3 {
			t.Errorf("directories %v", dirs)
		}
		before := processes(tmp)
		if len(before) < 6 { // apache2 and its child, squid and its helper, sssd_kcm, krb5kdc; and the shells
			t.Errorf("processes %v", before)
		}
		if how == "killed" {
			_ = cmd.Process.Kill()
		} else {
			stdin.Close()
			_, _ = io.Copy(io.Discard, stdout)
		}
		if err := cmd.Wait(); err != nil && how == "ended" {
			t.Error(err)
		}
		stdin.Close()
		eventually(t, "directories removed", func() bool {
			files, err := os.ReadDir(tmp)
			return err == nil && len(files) == 0
		})
		for _, dir := range dirs {
			eventually(t, "shared memory removed", func() bool {
				files, err := filepath.Glob("/dev/shm/" + suffix(dir) + "-*")
				return err == nil && len(files) == 0
			})
		}
		eventually(t, "processes ended", func() bool { return len(processes(tmp)) == 0 })
		for _, addr := range addrs {
			_, port, _ := net.SplitHostPort(addr)
			eventually(t, "port free", func() bool {
				l, err := net.Listen("tcp4", "127.0.0.1:"+port)
				return err == nil && l.Close() == nil
			})
		}
	}
}

// processes returns the processes that have text in their command line or environment.
func processes(text string) (pids []string) {
	for _, file := range []string{"cmdline", "environ"} {
		names, _ := filepath.Glob("/proc/[0-9]*/" + file)
		for _, name := range names {
			b, err := os.ReadFile(name)
			if pid := filepath.Dir(name); err == nil && bytes.Contains(b, []byte(text)) && !slices.Contains(pids, pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func isGone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// eventually waits for a condition that another process brings about.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(20 * time.Second)
	for !cond() {
		select {
		case <-ticker.C:
		case <-timeout:
			t.Fatal("timeout: ", what)
		}
	}
}

//go:build interop

package peers

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 30 * time.Second // half a second is usual; the rest is for machines that are busy with other tests
	stopTimeout  = 10 * time.Second // after which a server is killed, and its test fails
	maxPorts     = 4                // how many ports are tried
	tailLines    = 40               // of each log, in a failure
)

var errEnded = errors.New("it ended by itself")

// watchdogScript runs a server in a session of its own. Each line of the input is an order; its end means that the
// test is done or its process gone, however it ended: kill the server with all its children, and remove the
// directory. The kill is for the session and for the process, as the server may be so new that it has no session yet.
// Removing is tried again, as the process of the test can create a file while it dies. Squid has its shared memory by
// the name that we give it, the end of that of the directory.
const watchdogScript = `
dir=$1 log=$2 signal=$3
shift 3
PATH=$PATH:/usr/bin:/bin
child=
while read -r order; do
	case $order in
	start)
		setsid "$@" </dev/null 2>>"$log" &
		child=$!
		echo "$child"
		exec >/dev/null # now only the server has the other pipe, whose end tells that it ended
		;;
	stop) kill -s "$signal" "$child" 2>/dev/null ;;
	esac
done
[ -z "$child" ] || { kill -s KILL -- "-$child"; kill -s KILL "$child"; wait "$child"; } 2>/dev/null
n=0
until rm -rf -- "$dir" /dev/shm/"${dir##*-}"-* || [ $n -ge 100 ]; do
	n=$((n + 1))
	sleep 0.1
done
`

// A spec is what the kinds of servers differ in.
type spec struct {
	name    string
	user    string                                      // of its package, for when this process is root; "" is root itself
	signal  string                                      // what it is told to stop with, as kill names it
	env     []string                                    // of the test: the realm's Env, and more
	command func(dir string) []string                   // runs the server in the foreground
	files   func(p *process) (map[string][]byte, error) // written into the directory, before each start
	logs    []string                                    // file names in the directory, beside stderr
	probe   func(ctx context.Context, p *process) error // nil once the server, and no other, answers
}

// A process is a running server with its directory.
type process struct {
	spec
	dir      string
	uid, gid int
	ports    [2]string // free ports of 127.0.0.1

	watchdog *exec.Cmd
	input    io.WriteCloser
	output   *os.File
	running  context.Context // done when the server and its children have ended; nil if it never started
	pid      int             // of the server, which is its session, too
}

// start starts a server for a test, at whose end it is stopped.
func start(tb testing.TB, s spec) *process {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	for try := 1; ; try++ {
		p, err := startOnce(ctx, s)
		if err == nil {
			tb.Cleanup(func() {
				tb.Helper()
				if tb.Failed() {
					tb.Logf("peers: %s", p.tails())
				}
				if err := p.close(); err != nil {
					tb.Error(err)
				}
			})
			return p
		}
		// Somebody else may have taken a port meanwhile. Any other reason comes back with the next ports.
		if try == maxPorts || !errors.Is(err, errEnded) {
			tb.Fatal(err)
		}
	}
}

func startOnce(ctx context.Context, s spec) (_ *process, err error) {
	p := &process{spec: s, uid: os.Getuid(), gid: os.Getgid()}
	defer func() {
		if err != nil {
			err = fmt.Errorf("peers: start %s: %w; %s", s.name, err, p.tails())
			if errClose := p.close(); errClose != nil && !errors.Is(err, errEnded) {
				err = errors.Join(err, errClose)
			}
		}
	}()
	if s.user != "" && p.uid == 0 {
		if p.uid, p.gid, err = ids(s.user); err != nil {
			return p, err
		}
	}
	if p.ports, err = freePorts(); err != nil {
		return p, err
	}
	// Named here, and not by os.MkdirTemp, so that the watchdog is there before the directory.
	p.dir, err = filepath.Abs(filepath.Join(os.TempDir(), "peers-"+s.name+"-"+strings.ToLower(rand.Text()[:12])))
	if err != nil {
		return p, err
	}
	env, copies := serverEnv(p.dir, s.env)
	if err := p.watch(env); err != nil {
		return p, err
	}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return p, err
	}
	files, err := s.files(p)
	if err != nil {
		return p, err
	}
	maps.Copy(copies, files)
	for name, data := range copies {
		if err := p.write(name, data); err != nil {
			return p, err
		}
	}
	if err := os.Chown(p.dir, p.uid, p.gid); err != nil {
		return p, err
	}
	if err := p.launch(); err != nil {
		return p, err
	}
	return p, p.wait(ctx)
}

// watch starts the watchdog.
func (p *process) watch(env []string) error {
	args := []string{"-c", watchdogScript, "peers", p.dir, p.path("stderr"), p.signal}
	cmd := exec.Command("/bin/sh", append(args, p.command(p.dir)...)...)
	cmd.Env = env
	cmd.Dir = "/"                                         // so that no other directory is kept busy
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches the test, which needs its server until the end
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	// Not StdoutPipe, which Wait closes: the pipe is to outlive the shell.
	r, w, err := os.Pipe()
	if err != nil {
		return errors.Join(err, input.Close())
	}
	cmd.Stdout = w
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return errors.Join(err, input.Close(), r.Close())
	}
	p.watchdog, p.input, p.output = cmd, input, r
	return nil
}

// launch lets the watchdog start the server.
func (p *process) launch() error {
	if _, err := io.WriteString(p.input, "start\n"); err != nil {
		return err
	}
	r := bufio.NewReader(p.output)
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if p.pid, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		return err
	}
	running, ended := context.WithCancel(context.Background())
	p.running = running
	go func() {
		_, _ = io.Copy(io.Discard, r)
		ended()
	}()
	return nil
}

// wait returns when the server answers.
func (p *process) wait(ctx context.Context) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := p.probe(once, p)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-p.running.Done():
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("no answer in time: %w", err)
		}
	}
}

// close stops the server and removes its directory. It is an error if the server had ended before, or has to be killed.
func (p *process) close() error {
	if p.watchdog == nil {
		return nil
	}
	var errs []error
	exited := make(chan error, 1)
	go func() { exited <- p.watchdog.Wait() }()
	if p.running != nil {
		if p.running.Err() != nil {
			errs = append(errs, errEnded)
		}
		_, _ = io.WriteString(p.input, "stop\n")
		timer := time.NewTimer(stopTimeout)
		defer timer.Stop()
		select {
		case <-p.running.Done():
		case <-timer.C:
			errs = append(errs, fmt.Errorf("it had to be killed after %v", stopTimeout))
		case err := <-exited: // somebody has killed the watchdog
			exited <- err
		}
	}
	_ = p.input.Close()
	if err := <-exited; err != nil {
		errs = append(errs, fmt.Errorf("watchdog: %w", err))
		if p.running != nil && p.running.Err() == nil {
			_ = syscall.Kill(-p.pid, syscall.SIGKILL) // it exists, or the pipe would have ended
		}
		errs = append(errs, os.RemoveAll(p.dir))
	}
	if p.running != nil {
		<-p.running.Done()
	}
	errs = append(errs, p.output.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("peers: stop %s: %w", p.name, err)
	}
	return nil
}

// suffix is what no other server has in the name of its directory.
func suffix(dir string) string { return dir[strings.LastIndex(dir, "-")+1:] }

func (p *process) path(name string) string { return filepath.Join(p.dir, name) }

// write makes a file that only the user of the server can read.
func (p *process) write(name string, data []byte) error {
	if err := os.WriteFile(p.path(name), data, 0o600); err != nil {
		return err
	}
	return os.Chown(p.path(name), p.uid, p.gid)
}

// tails returns the ends of all logs.
func (p *process) tails() string {
	var out strings.Builder
	for _, name := range append([]string{"stderr"}, p.logs...) {
		b, err := os.ReadFile(p.path(name))
		b = bytes.TrimSpace(b)
		if err != nil || len(b) == 0 {
			continue
		}
		lines := bytes.Split(b, []byte("\n"))
		lines = lines[max(0, len(lines)-tailLines):]
		fmt.Fprintf(&out, "end of %s:\n%s\n", p.path(name), bytes.Join(lines, []byte("\n")))
	}
	if out.Len() == 0 {
		return "nothing in the logs of " + p.name
	}
	return out.String()
}

// serverEnv returns the environment of a server, and the files for its directory. Its own user could not read those of
// the realm, so it gets copies; it never sees the tickets of the client.
func serverEnv(dir string, env []string) (own []string, files map[string][]byte) {
	vars := map[string]string{}
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		vars[name] = value
	}
	files = map[string][]byte{}
	for _, name := range []string{"KRB5_CONFIG", "KRB5_KTNAME", "KRB5_CLIENT_KTNAME", "GSS_MECH_CONFIG", "NTLM_USER_FILE"} {
		if vars[name] == "" {
			continue
		}
		file := strings.ToLower(name)
		// One that is not there, such as the keytab of a realm without services, becomes an empty one.
		files[file], _ = os.ReadFile(strings.TrimPrefix(vars[name], "FILE:"))
		vars[name] = filepath.Join(dir, file)
	}
	vars["KRB5CCNAME"] = "FILE:" + filepath.Join(dir, "ccache")
	vars["KRB5RCACHENAME"] = "file2:" + filepath.Join(dir, "rcache")
	vars["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
	vars["LC_ALL"] = "C"
	delete(vars, "KRB5_KDC_PROFILE")
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		own = append(own, name+"="+vars[name])
	}
	return own, files
}

func ids(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}

// freePorts asks the system for ports of 127.0.0.1 that nobody has. Apache and Squid cannot take one from the system
// and tell which it was.
func freePorts() (ports [2]string, err error) {
	for i := range ports {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return ports, err
		}
		defer l.Close() // after the loop, so that the ports differ
		ports[i] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// need fails the test if a file of a Debian package is not there.
func need(tb testing.TB, pkg string, files ...string) {
	tb.Helper()
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			tb.Fatalf("peers: %v; install the Debian package %s (scripts/deps interop)", err, pkg)
		}
	}
}

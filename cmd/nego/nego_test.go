package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nego-sso/nego/krbtest"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"nego":    main,
		"protect": protect,
	})
}

// TestScript runs testdata/script, which is the specification of the command. The scripts share a realm, and
// each has a ticket cache of its own.
func TestScript(t *testing.T) {
	// In the background of a script SIGINT is ignored, and children inherit that. One that this process
	// handles has its default action in them.
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
			t.Cleanup(func() { signal.Ignore(sig) })
		}
	}
	realm := krbtest.Start(t, nil)
	ccache, err := os.ReadFile(strings.TrimPrefix(realm.CCache, "FILE:"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			file := filepath.Join(env.WorkDir, ".ccache")
			env.Vars = append(env.Vars, realm.Env()...)
			env.Setenv("KRB5CCNAME", "FILE:"+file)
			env.Setenv("REALM", realm.Name)
			env.Setenv("no_proxy", "*")
			// The race detector has each process sleep a second at its end.
			env.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
			env.Values[varsKey] = slices.Clone(env.Vars)
			env.Values[startedKey] = map[string]*background{}
			return os.WriteFile(file, ccache, 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status,
			"start":  start,
			"signal": signalStarted,
			"match":  match,
		},
	})
}

// status N CMD [ARG...] runs a command whose exit status must be N.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N CMD [ARG...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	if got := exitStatus(ts, err); strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

func exitStatus(ts *testscript.TestScript, err error) int {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && !ok {
		ts.Fatalf("%v", err)
	}
	if !ok {
		return 0
	}
	return exit.ExitCode()
}

// What a script keeps for the commands below.
const (
	varsKey    = "vars"    // []string: the environment to start commands in
	startedKey = "started" // map[string]*background, by variable
)

type background struct {
	cmd    *exec.Cmd
	stdout *os.File
}

// start VAR CMD [ARG...] starts a command, waits for the first line that it writes, and puts that into VAR.
// Its standard error goes to the file VAR.stderr.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start VAR CMD [ARG...]")
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = ts.Value(varsKey).([]string)
	stderr, err := os.Create(ts.MkAbs(args[0] + ".stderr"))
	ts.Check(err)
	defer stderr.Close()
	r, w, err := os.Pipe()
	ts.Check(err)
	cmd.Stdout, cmd.Stderr = w, stderr
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		ts.Fatalf("start: %v", err)
	}
	ts.Value(startedKey).(map[string]*background)[args[0]] = &background{cmd, r}
	ts.Defer(func() {
		_ = cmd.Process.Kill() // fails where signal has ended it
		_ = cmd.Wait()
		r.Close()
	})
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		ts.Fatalf("start: %s wrote no line: %v", args[1], err)
	}
	ts.Setenv(args[0], strings.TrimSuffix(line, "\n"))
}

// signal VAR SIGNAL N sends a signal to what was started with VAR, which must end with exit status N.
func signalStarted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: signal VAR SIGNAL N")
	}
	b := ts.Value(startedKey).(map[string]*background)[args[0]]
	if b == nil {
		ts.Fatalf("signal: %s was not started", args[0])
	}
	sig, ok := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP}[args[1]]
	if !ok {
		ts.Fatalf("signal: %s is not known", args[1])
	}
	ts.Check(b.cmd.Process.Signal(sig))
	if _, err := io.Copy(ts.Stdout(), b.stdout); err != nil {
		ts.Fatalf("signal: %v", err)
	}
	if got := exitStatus(ts, b.cmd.Wait()); strconv.Itoa(got) != args[2] {
		ts.Fatalf("signal: exit status %d, want %s", got, args[2])
	}
}

// match GOT WANT compares two files line by line; the lines of WANT are regular expressions. As with cmp,
// GOT may be stdout or stderr.
func match(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: match GOT WANT")
	}
	got, want := strings.Split(ts.ReadFile(args[0]), "\n"), strings.Split(ts.ReadFile(args[1]), "\n")
	for i, line := range got {
		if i >= len(want) {
			ts.Fatalf("%s: line %d is not expected: %q", args[0], i+1, line)
		}
		re, err := regexp.Compile("^(?:" + want[i] + ")$")
		ts.Check(err)
		if !re.MatchString(line) {
			ts.Fatalf("%s: line %d\n got: %q\nwant: %q", args[0], i+1, line, want[i])
		}
	}
	if len(got) < len(want) {
		ts.Fatalf("%s: ends before the line %q", args[0], want[len(got)])
	}
}

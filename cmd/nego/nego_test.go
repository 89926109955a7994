package main

import (
	"bufio"
	"errors"
	"fmt"
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
	"time"

	"github.com/nego-sso/nego/krbtest"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"nego":    nego,
		"protect": protect,
		"relay":   relay,
		"certify": certify,
		"balance": balance,
		"socks":   socks,
	})
}

// TestScript runs testdata/script, which is the specification of the command. The scripts share a realm, and
// each has a ticket cache of its own.
func TestScript(t *testing.T) {
	testScripts(t, false)
}

func testScripts(t *testing.T, onTerminal bool) {
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
	shifted, err := filepath.Abs(filepath.Join("testdata", "shifted"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE") != "" && !onTerminal,
		Setup: func(env *testscript.Env) error {
			file := filepath.Join(env.WorkDir, ".ccache")
			env.Vars = append(env.Vars, realm.Env()...)
			env.Setenv("KRB5CCNAME", "FILE:"+file)
			env.Setenv("REALM", realm.Name)
			env.Setenv("KDC", realm.Addr)
			env.Setenv("no_proxy", "*")
			env.Setenv("SHIFTED", shifted)
			if onTerminal {
				env.Setenv(terminalKey, "1")
				env.Setenv("TERM", "xterm")
			}
			// The race detector has each process sleep a second at its end.
			env.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
			env.Values[varsKey] = slices.Clone(env.Vars)
			env.Values[startedKey] = map[string]*background{}
			env.Values[seenKey] = map[string]bool{}
			env.Values[documentedKey] = map[string]bool{}
			return os.WriteFile(file, ccache, 0o600)
		},
		Condition: func(c string) (bool, error) {
			switch c {
			case "heimdal":
				return onHeimdal, nil
			case "terminal":
				return onTerminal, nil
			}
			return false, fmt.Errorf("the condition %q is not known", c)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":     status,
			"start":      start,
			"signal":     signalStarted,
			"match":      match,
			"expire":     expire,
			"await":      await,
			"send":       send,
			"symptom":    symptom,
			"documented": documented,
			"build":      buildDocumented,
			"port":       freePort,
			"listening":  listening,
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
	cmd  *exec.Cmd
	rest io.Reader // of what it writes
}

// start [-stderr] VAR CMD [ARG...] starts a command, waits for the first line that it writes, and puts that into VAR.
// Its standard error goes to the file VAR.stderr. With -stderr the line is of that, VAR is its last word, and the file
// is complete when signal has ended the command.
func start(ts *testscript.TestScript, neg bool, args []string) {
	onStderr := len(args) > 0 && args[0] == "-stderr"
	if onStderr {
		args = args[1:]
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start [-stderr] VAR CMD [ARG...]")
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = ts.Value(varsKey).([]string)
	stderr, err := os.Create(ts.MkAbs(args[0] + ".stderr"))
	ts.Check(err)
	ts.Defer(func() { stderr.Close() })
	r, w, err := os.Pipe()
	ts.Check(err)
	rest := bufio.NewReader(r)
	cmd.Stdout, cmd.Stderr = w, stderr
	if onStderr {
		rest = bufio.NewReader(io.TeeReader(r, stderr))
		cmd.Stdout, cmd.Stderr = nil, w
	}
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		ts.Fatalf("start: %v", err)
	}
	ts.Value(startedKey).(map[string]*background)[args[0]] = &background{cmd, rest}
	ts.Defer(func() {
		_ = cmd.Process.Kill() // fails where signal has ended it
		_ = cmd.Wait()
		r.Close()
	})
	line, err := rest.ReadString('\n')
	if err != nil {
		ts.Fatalf("start: %s wrote no line: %v", args[1], err)
	}
	line = strings.TrimSuffix(line, "\n")
	if onStderr {
		line = line[strings.LastIndex(line, " ")+1:]
	}
	ts.Setenv(args[0], line)
}

// signal VAR SIGNAL N sends a signal to what was started with VAR, which must end with exit status N.
func signalStarted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: signal VAR SIGNAL N")
	}
	b := signalTo(ts, args[0], args[1])
	if _, err := io.Copy(ts.Stdout(), b.rest); err != nil {
		ts.Fatalf("signal: %v", err)
	}
	if got := exitStatus(ts, b.cmd.Wait()); strconv.Itoa(got) != args[2] {
		ts.Fatalf("signal: exit status %d, want %s", got, args[2])
	}
}

// send VAR SIGNAL sends a signal to what was started with VAR, and does not wait for its end.
func send(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: send VAR SIGNAL")
	}
	signalTo(ts, args[0], args[1])
}

// signalTo sends a signal to what was started with a variable.
func signalTo(ts *testscript.TestScript, name, signal string) *background {
	b := ts.Value(startedKey).(map[string]*background)[name]
	if b == nil {
		ts.Fatalf("%s was not started", name)
	}
	sig, ok := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP}[signal]
	if !ok {
		ts.Fatalf("the signal %s is not known", signal)
	}
	ts.Check(b.cmd.Process.Signal(sig))
	return b
}

// await FILE REGEXP waits until a file that a command writes has a line.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE REGEXP")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-ticker.C {
		if text, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && re.Match(text) {
			return
		}
	}
	ts.Fatalf("await: %s has no %s:\n%s", args[0], args[1], ts.ReadFile(args[0]))
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

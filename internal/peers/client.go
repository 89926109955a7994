//go:build interop

package peers

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// clientTimeout is for a client that hangs: minutes, as a browser and a Java start slowly on a busy machine.
const clientTimeout = 3 * time.Minute

// An Answer is what a client tells of one response.
type Answer struct {
	Status int
	Body   string // its words, with a space between them
}

// runClient runs a program, with the environment of a client, that prints a line for each response: its status, and its
// body behind a space. The failure is what it wrote to stderr if it has failed; "" is success.
func runClient(tb testing.TB, env []string, args ...string) (answers []Answer, failure string) {
	tb.Helper()
	stdout, stderr, err := output(tb, env, args...)
	for line := range strings.Lines(stdout) {
		status, body, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		n, err := strconv.Atoi(status)
		if err != nil {
			tb.Fatalf("peers: %s: a line without a status: %q\n%s", args[0], line, stderr)
		}
		answers = append(answers, Answer{n, body})
	}
	if err != nil {
		return answers, err.Error() + ": " + stderr
	}
	return answers, ""
}

// output runs a program, and returns when it and its children, who write to the same pipes, have ended. They end in any
// case: timeout(1) gives them a group of their own.
func output(tb testing.TB, env []string, args ...string) (stdout, stderr string, err error) {
	tb.Helper()
	seconds := strconv.Itoa(int(clientTimeout.Seconds()))
	cmd := exec.CommandContext(tb.Context(), "timeout", append([]string{"--kill-after=5", seconds}, args...)...)
	cmd.Env = clientEnv(env)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	cmd.WaitDelay = clientTimeout
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.Is(err, exec.ErrWaitDelay):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the children are there, or the pipes would have ended
		tb.Fatalf("peers: %s: its children did not end\n%s%s", args[0], &out, &log)
	case !errors.As(err, &exit):
		tb.Fatalf("peers: %s: %v", args[0], err)
	case exit.ExitCode() == 124 || exit.ExitCode() == 137:
		tb.Fatalf("peers: %s: not done after %v\n%s%s", args[0], clientTimeout, &out, &log)
	}
	return out.String(), log.String(), err
}

// clientEnv is the environment of this process, without its proxies, which are not for these servers, and the given one.
func clientEnv(env []string) (all []string) {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); !strings.HasSuffix(strings.ToLower(name), "_proxy") {
			all = append(all, kv)
		}
	}
	return append(all, env...)
}

// variable is the value of a variable in an environment; the last one counts.
func variable(env []string, name string) (value string) {
	for _, kv := range env {
		if n, v, _ := strings.Cut(kv, "="); n == name {
			value = v
		}
	}
	return value
}

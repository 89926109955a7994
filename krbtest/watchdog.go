package krbtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// endTimeout is how long a KDC may take to end before it is killed.
const endTimeout = 5 * time.Second

// watchdogScript runs a command, if there is one, until its standard input
// tells it to stop. A line means: end the command. The end of the input means
// that the process of the test is gone, however it ended: kill the command and
// remove the directory. Removing is tried again, as a child of the test that
// has not noticed yet can create a file meanwhile.
//
// This is done by a pipe and not by Linux's parent-death signal, which is sent
// when the thread that started the child ends, and Go ends threads.
const watchdogScript = `
dir=$1 log=$2
shift 2
PATH=$PATH:/usr/bin:/bin
child=
if [ $# -gt 0 ]; then
	"$@" </dev/null 2>>"$log" &
	child=$!
fi
exec >/dev/null # now only the child has the other pipe, whose end tells that it ended
if read -r line; then
	[ -z "$child" ] || { kill "$child"; wait "$child"; }
	exit 0
fi
[ -z "$child" ] || { kill -9 "$child"; wait "$child"; }
n=0
until rm -rf -- "$dir" || [ $n -ge 100 ]; do
	n=$((n + 1))
	sleep 0.1 || sleep 1
done
`

// A watchdog is a shell that runs the KDC, or nothing, and cleans up if this
// process is killed. It must be ended.
type watchdog struct {
	cmd     *exec.Cmd
	input   io.WriteCloser
	running context.Context // done when the command has ended
}

// startWatchdog starts a watchdog over dir, with a command whose errors are
// appended to log.
func startWatchdog(dir, log string, env []string, command ...string) (*watchdog, error) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", watchdogScript, "krbtest", dir, log}, command...)...)
	cmd.Env = env
	cmd.Dir = "/" // so that no other directory is kept busy
	cmd.SysProcAttr = newGroup()
	fail := func(err error) (*watchdog, error) {
		return nil, fmt.Errorf("krbtest: start a watchdog with /bin/sh for %s: %w", dir, err)
	}
	input, err := cmd.StdinPipe()
	if err != nil {
		return fail(err)
	}
	// Not StdoutPipe, which Wait closes: the pipe is to outlive the shell.
	pr, pw, err := os.Pipe()
	if err != nil {
		_ = input.Close()
		return fail(err)
	}
	cmd.Stdout = pw
	err = cmd.Start()
	_ = pw.Close()
	if err != nil {
		_ = pr.Close()
		return fail(err)
	}
	running, ended := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, pr)
		_ = pr.Close()
		ended()
	}()
	return &watchdog{cmd: cmd, input: input, running: running}, nil
}

// end ends the command and the watchdog and waits for both.
func (w *watchdog) end() {
	pid := w.cmd.Process.Pid
	// If either is still there after the timeout, so is the group, and its
	// number cannot belong to anybody else.
	timer := time.AfterFunc(endTimeout, func() { killGroup(pid) })
	defer timer.Stop()
	if _, err := io.WriteString(w.input, "\n"); err != nil {
		killGroup(pid) // somebody has killed the shell; its command may live on
	}
	_ = w.input.Close()
	_ = w.cmd.Wait()
	if !w.cmd.ProcessState.Exited() && !w.hasEnded() {
		killGroup(pid) // the shell was killed before it could read the line
	}
	<-w.running.Done()
}

// hasEnded tells whether the command has ended by itself.
func (w *watchdog) hasEnded() bool { return w.running.Err() != nil }

package main

import (
	"io"
	"os"
	"regexp"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// terminalKey is set for those who want the command to find a terminal where there is a pipe.
const terminalKey = "NEGO_TEST_TERMINAL"

// On a terminal the command says what it says in a pipe, but for the colours.
func TestScriptTerminal(t *testing.T) {
	testScripts(t, true)
}

// nego is the command, on a terminal if that is wanted. What it writes there goes on to where it was to go, without the
// colours.
func nego() {
	if os.Getenv(terminalKey) == "" {
		main()
	}
	out, errs := pipeOf(os.Stdout), pipeOf(os.Stderr)
	var ends []func()
	if out != nil {
		ends = append(ends, onTerminal(&os.Stdout))
	}
	switch {
	case errs == nil:
	case out != nil && os.SameFile(out, errs): // one after the other, as with 2>&1
		os.Stderr = os.Stdout
	default:
		ends = append(ends, onTerminal(&os.Stderr))
	}
	status := run(os.Args[1:])
	for _, end := range ends {
		end()
	}
	os.Exit(status)
}

// pipeOf returns nil for what is no pipe.
func pipeOf(f *os.File) os.FileInfo {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return nil
	}
	return info
}

// onTerminal puts a terminal in the place of a file, until end is called.
func onTerminal(f **os.File) (end func()) {
	reader, tty, err := pty.Open()
	check(err)
	check(pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 80}))
	_, err = term.MakeRaw(int(tty.Fd())) // lines end as they were written
	check(err)
	to, copied := *f, make(chan struct{})
	*f = tty
	go func() {
		defer close(copied)
		plain := &uncoloured{to: to}
		_, _ = io.Copy(plain, reader) // fails where nobody has the terminal any more
		plain.flush()
	}()
	return func() {
		tty.Close()
		<-copied
	}
}

// uncoloured passes on what comes, without what paints it.
type uncoloured struct {
	to   io.Writer
	held []byte // what may be the beginning of a colour
}

var (
	colour    = regexp.MustCompile("\x1b\\[[0-9;]*m")
	colouring = regexp.MustCompile("\x1b(\\[[0-9;]*)?$")
)

func (u *uncoloured) Write(p []byte) (int, error) {
	u.held = append(u.held, p...)
	ready := len(u.held)
	if i := colouring.FindIndex(u.held); i != nil {
		ready = i[0]
	}
	_, err := u.to.Write(colour.ReplaceAll(u.held[:ready], nil))
	u.held = append([]byte(nil), u.held[ready:]...)
	return len(p), err
}

func (u *uncoloured) flush() { _, _ = u.to.Write(u.held) }

package main

import (
	"bytes"
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

// endOfOutput is the last that is written to a terminal. The close of its other side is no end to read up to: a reader that
// finds nothing, and then the close, takes what was written between the two for never written.
const endOfOutput = "\x00end of output\x00"

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
		_, _ = io.Copy(plain, reader) // to the end of the output, which plain says, or of the terminal
	}()
	return func() {
		_, err := io.WriteString(tty, endOfOutput)
		check(err)
		<-copied
		tty.Close()
	}
}

// uncoloured passes on what comes up to endOfOutput, without what paints it.
type uncoloured struct {
	to   io.Writer
	held []byte // what may be the beginning of a colour, or of the end
}

var (
	colour     = regexp.MustCompile("\x1b\\[[0-9;]*m")
	unfinished = regexp.MustCompile("(?s)\x1b(\\[[0-9;]*)?$|\x00.*$")
)

func (u *uncoloured) Write(p []byte) (int, error) {
	u.held = append(u.held, p...)
	ready, ended := bytes.CutSuffix(u.held, []byte(endOfOutput))
	if i := unfinished.FindIndex(ready); i != nil && !ended {
		ready = ready[:i[0]]
	}
	if _, err := u.to.Write(colour.ReplaceAll(ready, nil)); err != nil {
		return 0, err
	}
	if ended {
		return len(p), io.EOF
	}
	u.held = append([]byte(nil), u.held[len(ready):]...)
	return len(p), nil
}

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// output writes text for people: in colour on a terminal, plain everywhere else. It keeps the first error, for
// the end, and drops what comes after it.
type output struct {
	w      io.Writer
	colour bool
	err    error
}

func newOutput(f *os.File) *output {
	return &output{w: f, colour: isTerminal(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (o *output) printf(format string, args ...any) { fmt.Fprintf(o, format, args...) }

// Write never fails, for the sake of those who would put the error somewhere else.
func (o *output) Write(p []byte) (int, error) {
	if o.err == nil {
		_, o.err = o.w.Write(p)
	}
	return len(p), nil
}

// The colours are of the terminal's own palette, which its user has made readable.
func (o *output) bold(s string) string   { return o.paint("1", s) }
func (o *output) dim(s string) string    { return o.paint("2", s) }
func (o *output) red(s string) string    { return o.paint("31", s) }
func (o *output) green(s string) string  { return o.paint("32", s) }
func (o *output) yellow(s string) string { return o.paint("33", s) }

func (o *output) paint(code, s string) string {
	if !o.colour || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// clean makes text from elsewhere safe for a terminal, which would act on control characters.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '\ufffd'
		}
		return r
	}, s)
}

// clock writes a time with its zone: tickets are compared with the clocks of other machines.
func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

// span writes a duration as exactly as it matters to somebody who waits for it.
func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

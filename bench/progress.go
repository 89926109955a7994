package main

import (
	"fmt"
	"io"
	"os"
)

// progress tells people what is going on: on a terminal each step, elsewhere what is done.
type progress struct {
	w    io.Writer
	live bool
}

func progressOn(f *os.File) progress {
	info, err := f.Stat()
	return progress{f, err == nil && info.Mode()&os.ModeCharDevice != 0}
}

const clearLine = "\r\x1b[K"

func (p progress) step(format string, args ...any) {
	if p.live {
		fmt.Fprintf(p.w, clearLine+format, args...)
	}
}

func (p progress) done(format string, args ...any) {
	if p.live {
		fmt.Fprint(p.w, clearLine)
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}

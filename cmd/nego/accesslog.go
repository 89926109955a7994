package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// accessLog is where nego serve writes a line for each request.
type accessLog struct {
	stdout *output // nil: a file, or nothing
	name   string  // "": no file

	mu   sync.Mutex
	file *os.File
}

func (o *serveOptions) openAccessLog(stdout *output) (*accessLog, error) {
	switch o.accessLog {
	case "":
		return new(accessLog), nil
	case "-":
		return &accessLog{stdout: stdout}, nil
	}
	l := &accessLog{name: o.accessLog}
	return l, l.open()
}

// open opens the file, which may have another name by now, and a new one has come into its place.
func (l *accessLog) open() error {
	f, err := os.OpenFile(l.name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("cannot write the access log %s: %w", l.name, bare(err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.file
	l.file = f
	if before != nil {
		return before.Close()
	}
	return nil
}

func (l *accessLog) reopens() bool { return l.name != "" }

// onHangup has SIGHUP open the file again, until what it returns is called.
func (l *accessLog) onHangup() (stop func()) {
	if !l.reopens() {
		return func() {}
	}
	received, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(received, syscall.SIGHUP)
	go func() {
		defer close(done)
		for range received {
			if err := l.open(); err != nil {
				explain(newOutput(os.Stderr), err) // and the old file stays
			}
		}
	}()
	return func() {
		signal.Stop(received)
		close(received)
		<-done
	}
}

// writer is nil where there is no log.
func (l *accessLog) writer() io.Writer {
	if l.stdout == nil && l.name == "" {
		return nil
	}
	return l
}

// Write takes whole lines, from several goroutines.
func (l *accessLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stdout != nil {
		return l.stdout.Write(line)
	}
	return l.file.Write(line)
}

func (l *accessLog) close() {
	if l.file != nil {
		_ = l.file.Close() // each line has been written
	}
}

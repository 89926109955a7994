package main

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progressDelay is what a transfer takes that is long enough for a bar.
const progressDelay = time.Second

// progress shows on the terminal how far a body is. Nil shows nothing.
type progress struct {
	bar *progressbar.ProgressBar

	mu    sync.Mutex // net/http may go on reading a file when its server has answered
	began time.Time
	shown bool
	ended bool
}

// newProgress is for a body of some bytes; negative: nobody knows how many. It returns nil where nobody looks.
func (f *fetcher) newProgress(name string, length int64) *progress {
	if f.silent || !isTerminal(os.Stderr) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return &progress{bar: progressbar.NewOptions64(max(length, -1),
		progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetTheme(progressbar.ThemeASCII), progressbar.OptionFullWidth(),
		progressbar.OptionSetDescription(clean(name)), progressbar.OptionShowBytes(true), progressbar.OptionShowCount(),
		progressbar.OptionUseIECUnits(true), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetSpinnerChangeInterval(0))} // it moves when bytes come, and not by itself
}

// at is called with the number of bytes that are through, which is smaller again where a body starts again.
func (p *progress) at(n int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.began.IsZero() {
		p.began = time.Now()
		p.bar.StartWithoutRender()
	}
	if !p.ended && (p.shown || time.Since(p.began) >= progressDelay) {
		p.shown = true
		_ = p.bar.Set64(n) // fails where more comes than was said
	}
}

// end leaves the bar as it is, and the line.
func (p *progress) end() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown && !p.ended {
		_, _ = io.WriteString(os.Stderr, "\n")
	}
	p.ended = true
}

// counter counts what one body has let through.
type counter struct {
	p *progress
	n int64
}

func (c *counter) add(n int) {
	c.n += int64(n)
	c.p.at(c.n)
}

// watchedWriter counts what is written.
type watchedWriter struct {
	io.Writer
	counter
}

func (w *watchedWriter) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	w.add(n)
	return n, err
}

// watchedFile counts what is read.
type watchedFile struct {
	io.ReadSeekCloser
	counter
}

func (f *watchedFile) Read(b []byte) (int, error) {
	n, err := f.ReadSeekCloser.Read(b)
	f.add(n)
	return n, err
}

func (f *watchedFile) Seek(offset int64, whence int) (int64, error) {
	n, err := f.ReadSeekCloser.Seek(offset, whence)
	f.n = n
	return n, err
}

package negotiate

import (
	"context"
	"io"
	"sync"
	"time"
)

// gateTime is how long a server may take to say what it thinks of a request that expects to be told. Many
// servers say nothing and wait for the body.
const gateTime = time.Second

// gate holds the body of one leg back until the server has spoken. The header field Expect alone does not do
// that: where a response leaves the connection open, net/http sends the body behind it all the same.
type gate struct {
	ctx     context.Context
	chunked bool // the body ends where it ends
	wait    time.Duration

	once    sync.Once
	verdict chan struct{}
	pass    bool // valid once verdict is closed

	timing sync.Once
	timer  *time.Timer
	late   func() // the server has said nothing
}

func newGate(ctx context.Context, chunked bool, late func()) *gate {
	return &gate{ctx: ctx, chunked: chunked, wait: gateTime, verdict: make(chan struct{}), late: late}
}

// decide opens the gate or closes it for good. The first verdict counts.
func (g *gate) decide(pass bool) {
	g.once.Do(func() {
		g.pass = pass
		close(g.verdict)
	})
	g.timing.Do(func() {}) // a timer has no use any more
	if g.timer != nil {
		g.timer.Stop()
	}
}

// decided reports whether there is a verdict.
func (g *gate) decided() bool {
	select {
	case <-g.verdict:
		return true
	default:
		return false
	}
}

// enter waits for the verdict. The sender asks for the body once the header is out, so the time begins here.
func (g *gate) enter() error {
	g.timing.Do(func() {
		g.timer = time.AfterFunc(g.wait, func() {
			g.late()
			g.decide(true)
		})
	})
	select {
	case <-g.verdict:
	case <-g.ctx.Done():
		return context.Cause(g.ctx)
	}
	switch {
	case g.pass:
		return nil
	case g.chunked:
		return io.EOF // an end in good order, so that the connection can be used again
	}
	return errOver
}

// gated is a body behind a gate.
type gated struct {
	io.ReadCloser
	gate *gate
}

func (b *gated) Read(p []byte) (int, error) {
	if err := b.gate.enter(); err != nil {
		return 0, err
	}
	return b.ReadCloser.Read(p)
}

func (b *gated) Close() error {
	b.gate.decide(false)
	return b.ReadCloser.Close()
}

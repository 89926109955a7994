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
	ctx  context.Context
	wait time.Duration
	late func() // called if the server has said nothing

	decided chan struct{} // closed with the verdict

	mu      sync.Mutex
	verdict verdict
	kept    bool // silence does not open it any more
	timer   *time.Timer
}

// verdict is what becomes of a body behind a gate.
type verdict int

const (
	undecided verdict = iota
	pass              // it is sent
	end               // it ends before it has begun, in good order, so that the connection can be used again
	fail              // sending it fails, which breaks the connection
)

func newGate(ctx context.Context, wait time.Duration, late func()) *gate {
	return &gate{ctx: ctx, wait: wait, late: late, decided: make(chan struct{})}
}

// decide opens the gate or closes it for good. The first verdict counts.
func (g *gate) decide(v verdict) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.decideLocked(v)
}

func (g *gate) decideLocked(v verdict) {
	if g.verdict != undecided {
		return
	}
	g.verdict = v
	close(g.decided)
	if g.timer != nil {
		g.timer.Stop()
	}
}

// keep has the gate hold the body until there is a verdict, however long that takes.
func (g *gate) keep() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept = true
	if g.timer != nil {
		g.timer.Stop()
	}
}

// silence is called when the server has had its time.
func (g *gate) silence() {
	g.mu.Lock()
	open := g.verdict == undecided && !g.kept
	if open {
		g.decideLocked(pass)
	}
	g.mu.Unlock()
	if open {
		g.late()
	}
}

// holds reports whether the body is held back.
func (g *gate) holds() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.verdict == undecided
}

// enter waits for the verdict. The sender asks for the body once the header is out, so the time begins here.
// A body that its sender has closed meanwhile is not waited for.
func (g *gate) enter(closed <-chan struct{}) error {
	select {
	case <-closed:
		return errOver
	default:
	}
	g.mu.Lock()
	if g.timer == nil && g.verdict == undecided && !g.kept {
		g.timer = time.AfterFunc(g.wait, g.silence)
	}
	g.mu.Unlock()
	select {
	case <-g.decided:
	case <-closed:
		return errOver
	case <-g.ctx.Done():
		return context.Cause(g.ctx)
	}
	switch g.verdict { // which does not change any more
	case pass:
		return nil
	case end:
		return io.EOF
	}
	return errOver
}

// leave is called when a sender has given up. Another connection has the whole time again.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.timer != nil && g.verdict == undecided {
		g.timer.Stop()
		g.timer = nil
	}
}

// gated is a body behind a gate. net/http may close it and get another one, for another connection, which
// waits behind the same gate.
type gated struct {
	io.ReadCloser
	gate   *gate
	once   sync.Once
	closed chan struct{}
}

func newGated(body io.ReadCloser, g *gate) *gated {
	return &gated{ReadCloser: body, gate: g, closed: make(chan struct{})}
}

func (b *gated) Read(p []byte) (int, error) {
	if err := b.gate.enter(b.closed); err != nil {
		return 0, err
	}
	return b.ReadCloser.Read(p)
}

func (b *gated) Close() error {
	b.once.Do(func() {
		close(b.closed)
		b.gate.leave()
	})
	return b.ReadCloser.Close()
}

// heldBody is the body of a response whose request's body is held back. Once the sender learns that it is not
// wanted, the connection may break, so that has to wait until the response is read.
type heldBody struct {
	io.ReadCloser
	gate *gate
}

func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.gate.decide(fail)
	}
	return n, err
}

func (b *heldBody) Close() error {
	b.gate.decide(fail)
	return b.ReadCloser.Close()
}

package negotiate

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"reflect"
	"sync"
	"time"
)

// body sends the body of the caller's request, if need be more than once. The caller's own is closed
// exactly once. By the contract of http.RoundTripper, whoever sends a leg closes what that leg was given, and
// may do so after its response is there.
type body struct {
	src     io.ReadCloser // the caller's; nil: there is none
	length  int64         // as the request says; 0 and less: not known
	getBody func() (io.ReadCloser, error)
	source  *source // nil: getBody is the caller's, or there is no body

	trailer http.Header // the caller's, filled in while the body is read; nil: there is none
	names   http.Header // as it was before that

	next io.ReadCloser // for the leg that is about to be sent
}

func newBody(req *http.Request) body {
	b := body{src: req.Body, length: req.ContentLength, getBody: req.GetBody, trailer: req.Trailer, names: req.Trailer.Clone()}
	if b.src == nil || b.src == http.NoBody {
		b.src, b.next = nil, req.Body
		return b
	}
	if b.getBody == nil {
		b.source = newSource(req.Context(), b.src, b.length)
		b.getBody = b.source.rewind
		b.next = b.source.lend()
		return b
	}
	b.next = b.src
	if !isNopCloser(b.src) {
		b.next = &closeOnce{ReadCloser: b.src}
	}
	return b
}

// gateBytes is the length from which it pays to ask a server before a body is sent that could be sent again.
const gateBytes = 1 << 20

// fragile reports whether a leg should not send the body before the server has agreed: where it is lost if the
// server does not, and where it is long.
func (b *body) fragile() bool {
	if b.src == nil {
		return false
	}
	return b.oneShot() || b.length <= 0 || b.length >= gateBytes
}

// oneShot reports whether the body can be sent only once.
func (b *body) oneShot() bool { return b.source != nil && b.source.seeker == nil }

// take is called for each leg, and gives it its body and, where there is one, a way to get that afresh:
// net/http uses it where a connection it kept turns out to be dead. With a gate it is held back.
func (b *body) take(leg *http.Request, g *gate) {
	leg.Body, leg.GetBody = b.next, b.getBody
	b.next = nil
	if b.trailer != nil && b.src != nil {
		// The sender of the last leg may still be about to write its own.
		leg.Trailer = b.names.Clone()
		wrap(leg, func(r io.ReadCloser) io.ReadCloser {
			atEnd := func() { maps.Copy(leg.Trailer, b.trailer) }
			if l, ok := r.(*loan); ok {
				l.atEnd = atEnd // in its turn: an ended leg must not look at what the caller is filling in for the next
				return l
			}
			return &trailed{r, atEnd}
		})
	}
	if g == nil || b.src == nil {
		return
	}
	if b.length <= 0 {
		// Or net/http reads the first byte to see whether there is a body.
		leg.TransferEncoding = []string{"chunked"}
	}
	wrap(leg, func(r io.ReadCloser) io.ReadCloser { return newGated(r, g) })
}

// wrap puts something around the body of a leg, also where it is gotten afresh.
func wrap(leg *http.Request, around func(io.ReadCloser) io.ReadCloser) {
	getBody := leg.GetBody
	leg.Body = around(leg.Body)
	leg.GetBody = func() (io.ReadCloser, error) {
		r, err := getBody()
		if err != nil {
			return nil, err
		}
		return around(r), nil
	}
}

// trailed is a body with a trailer, which is there when the body has been read.
type trailed struct {
	io.ReadCloser
	atEnd func()
}

func (b *trailed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.atEnd()
	}
	return n, err
}

// again reports whether there can be a further leg.
func (b *body) again() bool { return b.source == nil || b.source.again() }

// prepare readies the body for a further leg. If it was held back from the last one there is nothing to wait for.
func (b *body) prepare(held bool) (err error) {
	if b.src == nil || b.next != nil {
		return nil
	}
	if b.source != nil && !held {
		b.source.settle()
	}
	b.next, err = b.getBody()
	return err
}

// release is called when there is no further leg.
func (b *body) release() {
	if b.source != nil {
		b.source.release()
	}
	if b.next != nil {
		b.next.Close()
	}
}

// closeOnce guards against a second Close: net/http makes one where sending fails.
type closeOnce struct {
	io.ReadCloser
	once sync.Once
	err  error
}

func (c *closeOnce) Close() error {
	c.once.Do(func() { c.err = c.ReadCloser.Close() })
	return c.err
}

// net/http sends a body that is in memory together with the header, which saves a packet. It looks through
// io.NopCloser, and through nothing of ours; where Close does nothing, it need not be guarded.
var (
	nopCloser         = reflect.TypeOf(io.NopCloser(nil))
	nopCloserWriterTo = reflect.TypeOf(io.NopCloser(struct {
		io.Reader
		io.WriterTo
	}{}))
)

func isNopCloser(r io.ReadCloser) bool {
	t := reflect.TypeOf(r)
	return t == nopCloser || t == nopCloserWriterTo
}

// source is a body without a GetBody. It is sent again by going back to where it was at first, if it can seek,
// and otherwise as long as nobody has read from it.
type source struct {
	ctx    context.Context // the request's
	src    io.ReadCloser
	seeker io.Seeker // nil: it can be read only once
	start  int64
	length int64

	mu       sync.Mutex
	last     *loan
	touched  bool
	released bool // src is closed when last is
}

func newSource(ctx context.Context, src io.ReadCloser, length int64) *source {
	s := &source{ctx: ctx, src: src, length: length}
	if k, ok := src.(io.Seeker); ok {
		// What says it can seek may be unable to: a file that is a pipe.
		if start, err := k.Seek(0, io.SeekCurrent); err == nil {
			s.seeker, s.start = k, start
		}
	}
	return s
}

// settleTime is how long a leg that has its answer may go on sending its body. Where it comes to the end,
// the connection can be used again. net/http waits half of that by itself.
const settleTime = 100 * time.Millisecond

// settle waits until the last leg is done with the body, for a bounded time.
func (s *source) settle() {
	t := time.NewTimer(settleTime)
	defer t.Stop()
	select {
	case <-s.current().closed:
	case <-t.C:
	case <-s.ctx.Done():
	}
}

// again reports whether the body is still there.
func (s *source) again() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seeker != nil || !s.touched
}

// rewind ends the last loan and gives the body again from its start.
func (s *source) rewind() (io.ReadCloser, error) {
	if !s.again() {
		return nil, errGone // and no waiting for a Read that may last
	}
	if err := s.current().end(); err != nil {
		return nil, err
	}
	if s.seeker == nil {
		if !s.again() {
			return nil, errGone
		}
	} else if _, err := s.seeker.Seek(s.start, io.SeekStart); err != nil {
		return nil, err
	}
	return s.lend(), nil
}

func (s *source) current() *loan {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *source) lend() *loan {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = &loan{s: s, closed: make(chan struct{}), turn: make(chan struct{}, 1)}
	return s.last
}

func (s *source) wasRead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.touched
}

func (s *source) read(p []byte) (int, error) {
	s.mu.Lock()
	s.touched = true
	s.mu.Unlock()
	return s.src.Read(p)
}

// release has the caller's body closed with the last loan, or now if that is closed.
func (s *source) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released = true
	select {
	case <-s.last.closed:
		s.src.Close()
	default:
	}
}

// loan is a source in the hands of one leg.
type loan struct {
	s      *source
	once   sync.Once
	closed chan struct{}

	turn chan struct{} // full while somebody reads, or looks at what follows; a lock that can be waited for with a context
	sent int64
	over bool

	atEnd func() // called in its turn, once the body has been read
}

var (
	errOver = errors.New("negotiate: the server has answered this request before its body was sent")
	errGone = errors.New("negotiate: the request's body was read already")
)

// Read reads from the body, as long as it is this leg's turn. The sender of an earlier one may still be at it.
func (l *loan) Read(p []byte) (int, error) {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.over {
		if l.s.length > 0 && l.sent >= l.s.length {
			return 0, io.EOF // the sender looks whether there is more than was said
		}
		return 0, errOver
	}
	n, err := l.s.read(p)
	l.sent += int64(n)
	if err == io.EOF && l.atEnd != nil {
		l.atEnd()
	}
	return n, err
}

// end waits for a Read that is under way, and fails those to come.
func (l *loan) end() error {
	select {
	case l.turn <- struct{}{}:
		l.over = true
		<-l.turn
		return nil
	case <-l.s.ctx.Done():
		return context.Cause(l.s.ctx)
	}
}

func (l *loan) Close() (err error) {
	l.once.Do(func() {
		l.s.mu.Lock()
		defer l.s.mu.Unlock()
		close(l.closed)
		if l.s.released && l.s.last == l {
			err = l.s.src.Close()
		}
	})
	return err
}

package gssapi

import "context"

// slots bounds how many OS threads may be inside the library at once. The C library knows no
// cancellation, and without a KDC one call can take half a minute, so calls that nobody waits for any
// more keep their slot until they come back.
type slots chan struct{}

// Bounds of their own, so that initiators that wait for a silent KDC keep neither acceptors waiting nor those who
// look into a ticket cache, and a silent KCM keeps only the latter.
var (
	network   = make(slots, 128)
	acceptors = make(slots, 128)
	caches    = make(slots, 128)
)

// unbegun is the error of a call that was never made.
type unbegun struct{ error }

func (u unbegun) Unwrap() error { return u.error }

// run makes a call that may block. Where ctx can be cancelled it returns context.Cause at once when
// that happens; the call goes on, alone, and what it gives at last goes to abandon (which may be nil).
func (s slots) run(ctx context.Context, call func() result, abandon func(*result)) (result, error) {
	if ctx.Err() != nil {
		return result{}, unbegun{context.Cause(ctx)}
	}
	select {
	case s <- struct{}{}:
	default:
		select {
		case s <- struct{}{}:
		case <-ctx.Done():
			return result{}, unbegun{context.Cause(ctx)}
		}
	}
	begin := func() result { // these read files, which may block as well
		kept.refresh()
		parsed.refresh()
		return call()
	}
	if ctx.Done() == nil {
		defer func() { <-s }()
		return begin(), nil
	}
	done, gone := make(chan result), make(chan struct{})
	go func() {
		r := begin()
		<-s
		select {
		case done <- r:
		case <-gone:
			if abandon != nil {
				abandon(&r)
			}
		}
	}()
	select {
	case r := <-done:
		return r, nil
	case <-ctx.Done():
		close(gone)
		return result{}, context.Cause(ctx)
	}
}

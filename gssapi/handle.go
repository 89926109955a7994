package gssapi

import "sync"

// handle counts the references to something that the C side owns. Its owner holds the first one and
// drops it in close; each call holds one while it runs, so that Close during a call, also during one
// that was abandoned, frees nothing under the library's feet.
type handle struct {
	box  box // set by a call that holds a reference, where it was not known at first
	free func(box)

	mu     sync.Mutex
	refs   int
	closed bool
}

func newHandle(b box, free func(box)) *handle { return &handle{box: b, free: free, refs: 1} }

// acquire takes a reference; it fails once the owner has closed.
func (h *handle) acquire() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.refs++
	return true
}

func (h *handle) release() {
	h.mu.Lock()
	h.refs--
	last := h.refs == 0
	h.mu.Unlock()
	if last && h.box != nil {
		h.free(h.box)
	}
}

// close drops the owner's reference, once.
func (h *handle) close() {
	h.mu.Lock()
	first := !h.closed
	h.closed = true
	h.mu.Unlock()
	if first {
		h.release()
	}
}

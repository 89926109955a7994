package gssapi

import (
	"runtime"
	"sync"
)

// credPool lends equal copies of one credential, each to one call at a time. MIT krb5 holds a
// credential's lock through the whole first step of a context, and the KDC's answer with it, so two calls on
// one copy would wait for each other. The original is only looked at.
type credPool struct {
	original *handle
	store    Store // where it came from, for errors; without the password

	mu      sync.Mutex
	closed  bool
	copies  *acquisition // acquires an equal one
	private bool         // the tickets are nowhere but in the original
	cache   *handle      // the cache in memory where copies then find them, once it is needed
	idle    []*handle
}

// maxIdle bounds the copies that are kept when nobody uses them.
const maxIdle = 16

// newCredential takes over a credential of the C side. Equal ones are acquired as copies says, where private is
// set from the tickets of this one.
func newCredential(original box, store Store, copies *acquisition, private bool) *Credential {
	store.Password = ""
	p := &credPool{original: newHandle(original, credFree), store: store, copies: copies, private: private}
	c := &Credential{pool: p}
	c.cleanup = runtime.AddCleanup(c, (*credPool).close, p)
	return c
}

// take lends a copy. It may have to make one, which can read files and, where a client keytab's
// tickets are over, ask the KDC.
func (p *credPool) take() (*handle, result) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, result{major: uint32(ErrClosed)}
	}
	if n := len(p.idle); n > 0 {
		h := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return h, result{}
	}
	if p.private && p.cache == nil {
		if r := p.share(); r.failed() {
			p.mu.Unlock()
			return nil, r
		}
	}
	copies, cache := p.copies, p.cache
	if cache != nil {
		cache.acquire() // for as long as the copy lives
	}
	p.mu.Unlock()
	free := credFree
	if cache != nil {
		free = func(b box) { credFree(b); cache.release() }
	}
	r := copies.again()
	if r.failed() {
		if cache != nil {
			cache.release()
		}
		return nil, r
	}
	return newHandle(r.box, free), result{}
}

// share puts the tickets where every copy finds them, and those that other copies get.
func (p *credPool) share() result {
	r := credShare(p.original.box)
	if !r.failed() {
		name := unpack{r.out}
		store := Store{CCache: name.string()}
		copies := *p.copies
		copies.store, _ = store.pack()
		p.copies, p.cache = &copies, newHandle(r.box, cacheFree)
	}
	return r
}

func (p *credPool) put(h *handle) {
	p.mu.Lock()
	keep := !p.closed && len(p.idle) < maxIdle
	if keep {
		p.idle = append(p.idle, h)
	}
	p.mu.Unlock()
	if !keep {
		h.close()
	}
}

func (p *credPool) close() {
	p.mu.Lock()
	idle, cache := p.idle, p.cache
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, h := range idle {
		h.close()
	}
	p.original.close()
	if cache != nil {
		cache.close()
	}
}

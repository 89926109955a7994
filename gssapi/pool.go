package gssapi

import (
	"cmp"
	"runtime"
	"sync"
	"time"
)

// credPool lends equal copies of one credential, each to one call at a time. MIT krb5 holds a
// credential's lock through the whole first step of a context, and the KDC's answer with it, so two calls on
// one copy would wait for each other. The original is only looked at.
type credPool struct {
	original *handle
	usage    Usage
	name     Name  // that it was acquired for
	store    Store // where it came from, for errors; without the password
	keyring  *keyring

	mu      sync.Mutex
	closed  bool
	copies  *acquisition // acquires an equal one
	private bool         // the tickets are nowhere but in the original
	cache   *handle      // the cache in memory where copies then find them, once it is needed
	idle    []loan
}

// loan is a copy, in the hands of one call or idle.
type loan struct {
	*handle
	expires time.Time // zero: never
}

// maxIdle bounds the copies that are kept when nobody uses them.
const maxIdle = 16

// newCredential takes over a credential of the C side. Equal ones are acquired as copies says, where private is
// set from the tickets of this one.
func newCredential(original box, store Store, copies *acquisition, private bool) *Credential {
	store.Password = ""
	p := &credPool{original: newHandle(original, credFree), usage: copies.usage, name: cmp.Or(copies.asked, copies.name), store: store, copies: copies, private: private}
	p.keyring = newKeyring(p)
	c := &Credential{pool: p}
	c.cleanup = runtime.AddCleanup(c, (*credPool).close, p)
	return c
}

// withKeytab is where the credential came from, with its keytab where the environment had named that.
func (p *credPool) withKeytab() Store {
	s := p.store
	if s.keytab() == "" {
		s.Keytab = p.copies.keytab
	}
	return s
}

// take lends a copy. It may have to make one, which can read files and, where a client keytab's
// tickets are over, ask the KDC.
func (p *credPool) take() (loan, result) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return loan{}, result{major: uint32(ErrClosed)}
	}
	if p.copies.alone {
		p.original.acquire()
		p.mu.Unlock()
		return loan{newHandle(p.original.box, func(box) { p.original.release() }), time.Time{}}, result{}
	}
	var over []loan
	for n := len(p.idle); n > 0; n = len(p.idle) {
		l := p.idle[n-1]
		p.idle = p.idle[:n-1]
		if l.expires.IsZero() || l.expires.After(time.Now()) {
			p.mu.Unlock()
			closeAll(over)
			return l, result{}
		}
		over = append(over, l)
	}
	if p.private && p.cache == nil {
		if r := p.share(); r.failed() {
			p.mu.Unlock()
			return loan{}, r
		}
	}
	copies, cache := p.copies, p.cache
	if cache != nil {
		cache.acquire() // for as long as the copy lives
	}
	p.mu.Unlock()
	closeAll(over)
	free := credFree
	if cache != nil {
		free = func(b box) { credFree(b); cache.release() }
	}
	r := copies.again()
	if r.failed() {
		if cache != nil {
			cache.release()
		}
		return loan{}, r
	}
	return loan{newHandle(r.box, free), expiry(r.lifetime)}, result{}
}

func closeAll(l []loan) {
	for _, h := range l {
		h.close()
	}
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

// put takes a copy back. One that a call has failed with may be what was wrong, and is not lent again.
func (p *credPool) put(l loan, good bool) {
	p.mu.Lock()
	keep := good && !p.closed && !p.copies.alone && len(p.idle) < maxIdle
	if keep {
		p.idle = append(p.idle, l)
	}
	p.mu.Unlock()
	if !keep {
		l.close()
	}
}

// look makes a call on the copy that was used last, or else on the original.
func (p *credPool) look(call func(box) result) result {
	p.mu.Lock()
	h := p.original
	if n := len(p.idle); n > 0 {
		h = p.idle[n-1].handle
	}
	ok := !p.closed && h.acquire()
	p.mu.Unlock()
	if !ok {
		return result{major: uint32(ErrClosed)}
	}
	defer h.release()
	return call(h.box)
}

func (p *credPool) open() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.closed
}

func (p *credPool) close() {
	p.mu.Lock()
	idle, cache := p.idle, p.cache
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	closeAll(idle)
	p.keyring.close()
	p.original.close()
	if cache != nil {
		cache.close()
	}
}

package gssapi

import (
	"sync"
	"time"
)

// parsedConfig keeps krb5.conf in memory. libkrb5 parses it for each context of its own, of which accepting one token takes
// several, unless another of its contexts lives; so there is one that does. It goes when a file that belongs to krb5.conf
// has changed, which libkrb5 would not see of all of them.
type parsedConfig struct {
	mu    sync.Mutex
	watch *handle
	next  time.Time // when it is tried again, where it could not be kept
}

var parsed parsedConfig

// refresh is called before each call of the library that may read krb5.conf.
func (p *parsedConfig) refresh() {
	if heimdal {
		return // which parses it each time, and has nothing to keep
	}
	p.mu.Lock()
	h := p.watch
	if h == nil {
		p.begin()
		p.mu.Unlock()
		return
	}
	h.acquire()
	p.mu.Unlock()
	if watchChanged(h.box) {
		p.drop(h)
	}
	h.release()
}

// begin keeps what krb5.conf says now. It needs the lock.
func (p *parsedConfig) begin() {
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	if r := watchNew(false); r.box != nil {
		p.watch = newHandle(r.box, watchFree)
	} else {
		p.next = now.Add(refusal)
	}
}

// drop lets go of what is kept, if it is still that; of whatever it is, where it is nil.
func (p *parsedConfig) drop(what *handle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watch != nil && (what == nil || p.watch == what) {
		p.watch.close()
		p.watch = nil
	}
}

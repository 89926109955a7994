package negotiate

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// identity is whom a connection belongs to, as far as requests of one Transport can differ. A server may tie
// what a token said to the connection that it came on, so requests of two identities share none.
type identity struct {
	user      gssapi.Name // of the default credential; zero: it did not matter so far, or the credential is fixed
	target    gssapi.Name // zero: HTTP at the host
	delegated bool        // tokens carry the user's ticket
	standing  standing
	http1     bool // HTTP/2 is not spoken
	alone     bool // for one request, after which they close
}

// standing says whose authentication a request has.
type standing int

const (
	ours    standing = iota // it may have a token
	refused                 // it may not have one, so it may not go where one was sent either
	foreign                 // the caller authenticates it
)

// pools are the connections of a Transport, apart by identity. Where Base is no *http.Transport, it is one
// that nothing is known about.
type pools struct {
	original http.RoundTripper                     // Base, or what stands for it
	opaque   http.RoundTripper                     // the same where it is no *http.Transport
	settings *http.Transport                       // to be cloned; sends nothing itself
	route    func(*http.Request) (*url.URL, error) // Base's Proxy; nil: there is none
	proxy    *proxyAuth                            // nil: proxies are not answered

	*connections
	origins    origins
	gateTime   time.Duration // how long a body is held back
	expectTime time.Duration // the same where the caller has announced it: Base's ExpectContinueTimeout
}

// connections are what has to be closed when a Transport is dropped. They hold nothing that may lead back to it.
type connections struct {
	mu    sync.Mutex
	byID  map[identity]*pool
	uses  uint64
	tied  bool // tokens of the default credential were sent, so that its user matters
	lanes map[laneKey][]*lane
}

// pool is the connections of one identity.
type pool struct {
	id   identity
	rt   http.RoundTripper
	tr   *http.Transport // rt, where it is one
	last uint64          // when it was chosen, in the count of pools.uses
}

// maxPools bounds how many identities have connections at a time: there may be a Target for each URL.
const maxPools = 100

func newPools(base http.RoundTripper, proxy *proxyAuth) *pools {
	settings, ok := base.(*http.Transport)
	if !ok {
		return &pools{original: base, opaque: base, gateTime: gateTime, connections: new(connections)}
	}
	p := &pools{original: base, settings: clone(settings), gateTime: gateTime,
		expectTime:  settings.ExpectContinueTimeout,
		connections: &connections{byID: make(map[identity]*pool), lanes: make(map[laneKey][]*lane)}}
	beForbearing(p.settings)
	if p.route = settings.Proxy; p.route != nil {
		p.settings.Proxy = routed(p.route)
	}
	if proxy != nil && settings.Proxy != nil {
		p.proxy = proxy
		p.tied = proxy.cred == nil // every tunnel is the user's
		proxy.install(p.settings)
	}
	return p
}

// clone copies the settings of a transport.
func clone(settings *http.Transport) *http.Transport {
	own := settings.Clone()
	// The sender's own wait would come before the gate's, and be as long as it likes.
	own.ExpectContinueTimeout = 0
	if own.TLSNextProto["h2"] != nil {
		// golang.org/x/net/http2 was configured by hand. Its connections are in a pool that a clone shares;
		// those of net/http itself are not.
		own.TLSNextProto = nil
		own.ForceAttemptHTTP2 = true
	}
	return own
}

// cloneHTTP1 copies the settings for HTTP/1.1 alone. It takes both: the protocols, and what TLS negotiates.
func (p *pools) cloneHTTP1() *http.Transport {
	tr := p.settings.Clone()
	tr.ForceAttemptHTTP2 = false
	tr.DisableKeepAlives = false // legs share a connection
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP1(true)
	if tr.TLSClientConfig == nil {
		tr.TLSClientConfig = new(tls.Config)
	}
	tr.TLSClientConfig.NextProtos = []string{"http/1.1"}
	return tr
}

// matters reports whether the user of the default credential has to be known.
func (p *pools) matters() bool {
	if p.opaque != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tied
}

// get returns the pool of an identity.
func (p *pools) get(id identity) *pool {
	if p.opaque != nil {
		return &pool{id: id, rt: p.opaque}
	}
	p.mu.Lock()
	q := p.byID[id]
	var old *pool
	if q == nil {
		tr := p.settings.Clone()
		if id.http1 {
			tr = p.cloneHTTP1()
		}
		tr.DisableKeepAlives = p.settings.DisableKeepAlives || id.alone
		q = &pool{id: id, rt: tr, tr: tr}
	}
	if !id.alone {
		if len(p.byID) >= maxPools && p.byID[id] == nil {
			old = p.oldest()
			delete(p.byID, old.id)
		}
		p.byID[id] = q
	}
	p.uses++
	q.last = p.uses
	p.mu.Unlock()
	p.leave(old)
	return q
}

func (p *pools) oldest() (old *pool) {
	for _, q := range p.byID {
		if old == nil || q.last < old.last {
			old = q
		}
	}
	return old
}

// leave is called when a request is done with a pool. If that is not the one of its identity any more, its connections
// close: the request may have made net/http keep those again.
func (p *pools) leave(q *pool) {
	if q == nil || q.tr == nil {
		return
	}
	p.mu.Lock()
	live := p.byID[q.id] == q
	p.mu.Unlock()
	if !live {
		q.tr.CloseIdleConnections()
	}
}

// identity returns whose a pool is, as far as that is known by now.
func (p *pools) identity(q *pool) identity {
	p.mu.Lock()
	defer p.mu.Unlock()
	return q.id
}

// tie records whose token is about to be sent on a pool, and reports whether the pool is that user's. The first
// time it makes the user of all that was sent without.
func (p *pools) tie(q *pool, user gssapi.Name) bool {
	if p.opaque != nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.tied {
		p.tied = true
		for id, q := range p.byID {
			delete(p.byID, id)
			q.id.user = user
			p.byID[q.id] = q
		}
	}
	return q.id.user == user
}

// forget closes the connections of a user who is no longer the one. Those in use close when they are done: net/http
// sees to that, and leave where a request was about to use one.
func (p *pools) forget(user gssapi.Name) {
	p.mu.Lock()
	var old []*pool
	var lanes []*lane
	for id, q := range p.byID {
		if id.user == user {
			delete(p.byID, id)
			old = append(old, q)
		}
	}
	for key, l := range p.lanes {
		if key.id.user == user {
			delete(p.lanes, key)
			lanes = append(lanes, l...)
		}
	}
	p.mu.Unlock()
	for _, q := range old {
		q.tr.CloseIdleConnections()
	}
	for _, l := range lanes {
		l.close()
	}
}

// closeIdle closes what is not in use. A Base that is no *http.Transport is the caller's.
func (p *connections) closeIdle() {
	p.mu.Lock()
	var all []*http.Transport
	for _, q := range p.byID {
		all = append(all, q.tr)
	}
	var lanes []*lane
	for _, l := range p.lanes {
		lanes = append(lanes, l...)
	}
	clear(p.lanes)
	p.mu.Unlock()
	for _, tr := range all {
		tr.CloseIdleConnections()
	}
	for _, l := range lanes {
		l.close()
	}
}

// laneKey is what a lane can be used for again.
type laneKey struct {
	origin string
	proxy  string // that the connection leads through
	id     identity
}

// maxIdleLanes bounds the lanes of one key that wait to be used again. Each of the requests that run at once has one,
// and the next ones want them back.
const maxIdleLanes = 100

// idleLane returns one that is authenticated already, or nil.
func (p *pools) idleLane(key laneKey) *lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := p.lanes[key]; len(l) > 0; {
		last := l[len(l)-1]
		l = l[:len(l)-1]
		p.lanes[key] = l
		if last.take() {
			return last
		}
	}
	delete(p.lanes, key)
	return nil
}

// keepLane takes a lane back.
func (p *pools) keepLane(key laneKey, l *lane) {
	p.mu.Lock()
	keep := p.byID[key.id] != nil && len(p.lanes[key]) < maxIdleLanes // else its user is not the one any more
	if keep {
		l.wait(func() { p.dropLane(key, l) })
		p.lanes[key] = append(p.lanes[key], l)
	}
	p.mu.Unlock()
	if !keep {
		l.close()
	}
}

// dropLane closes one that has waited for too long, unless it is in use again.
func (p *pools) dropLane(key laneKey, l *lane) {
	p.mu.Lock()
	n := slices.Index(p.lanes[key], l)
	if n >= 0 {
		p.lanes[key] = slices.Delete(p.lanes[key], n, n+1)
	}
	if len(p.lanes[key]) == 0 {
		delete(p.lanes, key)
	}
	p.mu.Unlock()
	if n >= 0 {
		l.close()
	}
}

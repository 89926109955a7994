package gssapi

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// snapshots make an initiator's first token with the default credential without looking for that credential. The library
// reads and locks the ticket cache, parses krb5.conf and asks DNS for each token; here one ticket is kept for each
// target, and the files and settings that lead to it are only looked at. Where one of them has changed everything is dropped, and
// where there is no snapshot, or no token comes of it, the library's own way is taken: so each failure is the library's own.
//
// Nothing here can block: a snapshot has no ticket-granting ticket to ask a KDC with. So it takes no slot and no goroutine.
type snapshots struct {
	mu      sync.Mutex
	now     *generation
	refused map[service]time.Time // until when no snapshot is tried; of the zero service, for none

	tokens atomic.Int64 // made from snapshots, for tests
}

// kept is what all initiators of the process share, as they share the default credential.
var kept snapshots

const (
	// generationAge bounds for how long nobody notices what no file tells: DNS, and the credentials of plug-in mechanisms.
	generationAge = 30 * time.Second
	// refusal is for how long a snapshot that was impossible is not tried again.
	refusal = time.Second

	// maxSnapshots bounds the memory, at 13 KB each.
	maxSnapshots = 1000

	// maxStencils is for how many flags and bindings one service has stencils in a generation. It takes two tokens to cut one.
	maxStencils = 8
)

// service is what one snapshot is for.
type service struct {
	target Name
	mech   OID
}

// generation is what was taken while nothing changed. Its fields belong to the lock of snapshots.
type generation struct {
	watch  box // what must not change
	end    *time.Timer
	over   bool
	lent   int
	n      int // of snapshots
	stocks map[service]*stock
}

// stock holds the snapshots for one service. They are equal, and each serves one call at a time.
type stock struct {
	idle   []snapshot
	n      int // idle, lent and being taken
	taking int
	back   sync.Cond // one is back, or gone

	stencils atomic.Pointer[[]*stencil] // of tokens that need no context, for a number of flags and bindings; only added to
}

type snapshot struct {
	box   box
	names []byte // the user's, packed
}

// run makes a leg: from a snapshot, or else by the library's own way, of whose ticket a snapshot is then taken.
func (l *leg) run(ctx context.Context, s slots) (result, error) {
	if l.by != nil && ctx.Err() == nil {
		if r, ok := l.by.accepted(l.in, l.ends); ok {
			return r, nil
		}
	}
	if !l.repeatable() || ctx.Err() != nil {
		own := *l
		return s.run(ctx, own.step, (*result).freeCredential)
	}
	if r, ok := kept.step(l); ok {
		return r, nil
	}
	own := *l
	return s.run(ctx, func() result {
		r := own.step()
		if !r.failed() && r.isKRB5(own.opts.Mech) {
			kept.take(service{own.target, own.opts.Mech})
		}
		return r
	}, (*result).freeCredential)
}

// repeatable says whether a leg is a first one that needs nothing but a ticket for the target.
func (l *leg) repeatable() bool {
	const own = FlagDelegate | FlagDelegatePolicy | FlagAnonymous
	return !heimdal && l.initiate && l.opts.Credential == nil && l.handle.box == nil && l.by == nil && len(l.in) == 0 && !l.target.IsZero() &&
		l.opts.Flags&own == 0 && (l.opts.Mech == SPNEGO || l.opts.Mech == KRB5)
}

// step makes a first leg from a snapshot, if there is one and nothing has changed.
func (s *snapshots) step(l *leg) (result, bool) {
	of := service{l.target, l.opts.Mech}
	g, st, sn := s.lend(of)
	if g == nil {
		return result{}, false
	}
	if !l.handle.acquire() { // closed, as the library's own way will say
		s.put(g, st, sn, true)
		return result{}, false
	}
	defer l.handle.release()
	by, more := st.stencil(l)
	var r result
	if by != nil && !by.bad.Load() {
		r = snapshotRequest(g.watch, sn.box, by)
	} else {
		r = snapshotStep(g.watch, sn.box, l.target, l.opts.Mech, l.bindings, l.opts.Flags, seconds(l.opts.Lifetime, 0))
	}
	ok := r.by != nil || r.box != nil && r.isKRB5(l.opts.Mech)
	switch {
	case r.by != nil:
		s.tokens.Add(1)
	case ok:
		s.tokens.Add(1)
		l.handle.box, r.box = r.box, nil
		if r.major&statusContinue != 0 && Flags(r.flags)&FlagDCEStyle == 0 {
			r.names = sn.names
		}
		if more {
			s.keep(st, cut(g.watch, sn, l, r))
		}
	case r.box != nil:
		ctxFree(r.box)
		s.refuse(of)
	case !r.failed() && r.flags == snapshotLater:
		s.drop(g)
	default:
		s.refuse(of)
	}
	s.put(g, st, sn, ok)
	return r, ok
}

// stencil is the one for a leg, if there is one, and whether another one would be of use.
func (st *stock) stencil(l *leg) (s *stencil, more bool) {
	if !l.stencilled() {
		return nil, false
	}
	all := st.stencils.Load()
	if all == nil {
		return nil, true
	}
	for _, s := range *all {
		if s.fits(l) {
			return s, false
		}
	}
	return nil, len(*all) < maxStencils
}

// keep adds a stencil, unless there is none or another call was faster.
func (s *snapshots) keep(st *stock, more *stencil) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*stencil
	if p := st.stencils.Load(); p != nil {
		all = *p
	}
	same := func(s *stencil) bool { return s.flags == more.flags && s.bindings == more.bindings }
	if more != nil && len(all) < maxStencils && !slices.ContainsFunc(all, same) {
		all = append(slices.Clip(all), more)
		st.stencils.Store(&all)
	}
}

// initiator is whose the snapshots for a target are, if there is one and nothing has changed.
func (s *snapshots) initiator(target Name) (Name, bool) {
	for _, mech := range []OID{SPNEGO, KRB5} {
		g, st, sn := s.lend(service{target, mech})
		if g == nil {
			continue
		}
		same := !snapshotChanged(g.watch, sn.box)
		if !same {
			s.drop(g)
		}
		s.put(g, st, sn, same)
		u := unpack{sn.names}
		return u.name(), same
	}
	return Name{}, false
}

// isKRB5 reports whether a first token is Kerberos's, or what SPNEGO offers first is (RFC 4178 section 4.2.1).
func (r *result) isKRB5(asked OID) bool {
	if asked != SPNEGO {
		return r.mech == KRB5
	}
	b, _, _ := cutDER(r.out, 0x60)
	_, b, _ = cutDER(b, 0x06)
	for _, tag := range []byte{0xa0, 0x30, 0xa0, 0x30, 0x06} {
		b, _, _ = cutDER(b, tag)
	}
	return OID(b) == KRB5
}

// lend takes a snapshot out of the stock for a service. The generation is nil where there is none. Where there are enough, it
// waits for one that is lent: that is sooner back than the library's own way is at its end.
func (s *snapshots) lend(to service) (*generation, *stock, snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.now
	if g == nil {
		return nil, nil, snapshot{}
	}
	st := g.stocks[to]
	for st != nil && !g.over && len(st.idle) == 0 && st.n >= enough() && st.taking == 0 {
		st.back.Wait()
	}
	if st == nil || g.over || len(st.idle) == 0 {
		return nil, nil, snapshot{}
	}
	last := len(st.idle) - 1
	sn := st.idle[last]
	st.idle = st.idle[:last]
	g.lent++
	return g, st, sn
}

// enough is how many snapshots are taken for one service: more than can be at work at once, as the system may stop those that are.
func enough() int { return 2 * runtime.GOMAXPROCS(0) }

// put takes a snapshot back, or frees it where it is of no more use.
func (s *snapshots) put(g *generation, st *stock, sn snapshot, good bool) {
	s.mu.Lock()
	good = good && !g.over
	if good {
		st.idle = append(st.idle, sn)
	} else {
		g.n--
		st.n--
	}
	if good {
		st.back.Signal()
	} else {
		st.back.Broadcast() // there may be none left to wait for
	}
	s.mu.Unlock()
	if !good && sn.box != nil {
		snapshotFree(sn.box)
	}
	s.leave(g)
}

// leave ends a use of a generation; the last one out frees it.
func (s *snapshots) leave(g *generation) {
	s.mu.Lock()
	g.lent--
	last := g.over && g.lent == 0
	s.mu.Unlock()
	if last {
		watchFree(g.watch)
	}
}

// take takes a snapshot for a service. It reads files, and asks DNS where krb5.conf says so.
func (s *snapshots) take(of service) {
	g, st := s.enter(of)
	if g == nil {
		return
	}
	r := snapshotNew(g.watch, of.target, of.mech)
	if r.box == nil && r.flags == snapshotNever {
		s.refuse(of)
	}
	s.mu.Lock()
	st.taking--
	s.mu.Unlock()
	s.put(g, st, snapshot{r.box, r.out}, r.box != nil)
}

// enter finds a place in the current generation, or begins one. It is nil where there is no place.
func (s *snapshots) enter(of service) (*generation, *stock) {
	s.mu.Lock()
	now, late := time.Now(), s.refused[of]
	if all := s.refused[service{}]; all.After(late) {
		late = all
	}
	g := s.now
	s.mu.Unlock()
	if late.After(now) {
		return nil, nil
	}
	if g == nil {
		r := watchNew(true)
		if r.box == nil {
			if r.flags == snapshotNever {
				s.refuse(service{})
			}
			return nil, nil
		}
		g = s.begin(r.box)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := g.stocks[of]
	switch {
	case g.over:
		return nil, nil
	case g.n == maxSnapshots || st != nil && st.n >= enough():
		return nil, nil
	case st == nil:
		st = &stock{back: sync.Cond{L: &s.mu}}
		g.stocks[of] = st
	}
	g.n++
	st.n++
	st.taking++
	g.lent++
	return g, st
}

// begin makes a generation the current one, unless another is.
func (s *snapshots) begin(watch box) *generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil {
		defer watchFree(watch)
		return s.now
	}
	g := &generation{watch: watch, stocks: map[service]*stock{}}
	g.end = time.AfterFunc(generationAge, func() { s.drop(g) })
	s.now = g
	return g
}

// drop ends a generation. What a call still has of it is freed when that comes back.
func (s *snapshots) drop(g *generation) {
	s.mu.Lock()
	if g == nil || g.over {
		s.mu.Unlock()
		return
	}
	g.over = true
	g.end.Stop()
	g.lent++
	if s.now == g {
		s.now = nil
	}
	for _, st := range g.stocks {
		st.back.Broadcast()
	}
	s.mu.Unlock()
	for _, st := range g.stocks {
		for _, sn := range st.idle {
			snapshotFree(sn.box)
		}
	}
	s.leave(g)
}

func (s *snapshots) refuse(what service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused == nil || len(s.refused) == maxSnapshots {
		s.refused = map[service]time.Time{}
	}
	s.refused[what] = time.Now().Add(refusal)
}

// refresh drops everything if something has changed. A snapshot keeps krb5.conf parsed for the whole process, and libkrb5 does
// not see by itself that a file was included or has changed which that one includes. So every call that reads krb5.conf comes by here.
func (s *snapshots) refresh() {
	s.mu.Lock()
	g := s.now
	if g != nil {
		g.lent++
	}
	s.mu.Unlock()
	if g == nil {
		return
	}
	if watchChanged(g.watch) {
		s.drop(g)
	}
	s.leave(g)
}

// dropSnapshots drops everything, for tests that count what is alive.
func dropSnapshots() {
	kept.mu.Lock()
	g := kept.now
	kept.mu.Unlock()
	kept.drop(g)
}

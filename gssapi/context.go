package gssapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"time"
)

// Options are what a context is to be. Nil is the same as the zero value. An acceptor uses
// Credential, ChannelBinding and AuthOnly.
type Options struct {
	// Credential nil is the library's default. For an initiator that is the one of the moment for each
	// context, as in C programs, so a new kinit takes effect at once; for an acceptor it is any key of the
	// default keytab, for Kerberos.
	//
	// It is also the fastest for an initiator: for services that it has a ticket for in a cache of type FILE, on a disk of this
	// machine, the cache is looked at and not read again until something has changed. Nothing but the time tells the difference.
	Credential     *Credential
	Mech           OID           // zero: SPNEGO
	Flags          Flags         // asked for; what was granted is in Info
	Lifetime       time.Duration // asked for, in whole seconds; zero: the mechanism's default
	ChannelBinding *ChannelBinding

	// AuthOnly says that the context is to authenticate and no more, as in HTTP. What needs its keys or its ticket is then
	// ErrUnavailable, on either side: messages, PRF, SessionKey, Inquire, Ticket, AuthorizationData, SetOption, ProcessToken, Export and
	// ExportLucid. Info, Delegated, and an acceptor's Attributes and Composite are as ever.
	//
	// In return an initiator's first token takes less than half the time, as the library makes no context for it. That is so with the
	// default credential as above, and without a Lifetime, FlagMutual, FlagDCEStyle, and flags for delegation or anonymity; otherwise
	// AuthOnly changes no token. SPNEGO's answer that the token was accepted is taken as it is, unsigned. For any other answer,
	// as that another mechanism is wanted, the library makes a context after all: for that the user has to be the same as before.
	AuthOnly bool
}

// ChannelBinding ties a context to the channel it is made over: both sides must give the same
// (gss_channel_bindings_struct, RFC 2744 section 3.11). For TLS only Data is used (RFC 5929).
type ChannelBinding struct {
	InitiatorType, AcceptorType uint32 // address families, GSS_C_AF_*; zero: unspecified
	Initiator, Acceptor         []byte
	Data                        []byte
}

func (b *ChannelBinding) pack() []byte {
	if b == nil {
		return nil
	}
	p := make([]byte, 0, 20+len(b.Initiator)+len(b.Acceptor)+len(b.Data))
	for _, v := range []uint32{b.InitiatorType, b.AcceptorType, uint32(len(b.Initiator)), uint32(len(b.Acceptor)), uint32(len(b.Data))} {
		p = binary.NativeEndian.AppendUint32(p, v)
	}
	return append(append(append(p, b.Initiator...), b.Acceptor...), b.Data...)
}

// SecContext is one side of a security context (gss_ctx_id_t, RFC 2743 section 2.2). Its methods are for
// one goroutine at a time, except Close, which any goroutine may call at any time.
type SecContext struct {
	target Name // an initiator's
	opts   Options

	handle  *handle // its box is empty until the first step
	cleanup runtime.Cleanup

	by   *stencil  // that the first token is by: it has no context behind it
	ends time.Time // its ticket

	closed      atomic.Bool // by Close
	err         error       // a failed context stays failed
	established bool
	info        Info
	named       bool // info has the names
	delegated   atomic.Pointer[Credential]
}

// Info is what a context has come to (gss_inquire_context, RFC 2743 section 2.2.6).
type Info struct {
	Initiator Name      // zero before the context is established; Kerberos without Credential knows it with the first token, if the ticket is in the cache
	Acceptor  Name      // zero where the mechanism does not tell
	Mech      OID       // the mechanism in use; with SPNEGO the one negotiated, as soon as it is known
	Flags     Flags     // granted so far
	Expires   time.Time // zero: never, or not known yet; an acceptor of MIT krb5 adds clockskew of krb5.conf, 5 minutes, to the ticket's end
	Initiated bool      // this side is the initiator
}

// NewInitiator begins a context with target. It makes no call of the library and cannot fail: the
// first Step does the work (gss_init_sec_context).
func NewInitiator(target Name, o *Options) *SecContext {
	c := newSecContext(o)
	c.target = target
	c.info = Info{Initiated: true, Acceptor: target}
	if c.opts.Mech == "" {
		c.opts.Mech = SPNEGO
	}
	return c
}

// NewAcceptor begins the other side (gss_accept_sec_context, in Step). It makes no call of the library and cannot fail.
func NewAcceptor(o *Options) *SecContext {
	return newSecContext(o)
}

func newSecContext(o *Options) *SecContext {
	c := &SecContext{handle: newHandle(nil, ctxFree)}
	c.cleanup = runtime.AddCleanup(c, (*handle).close, c.handle)
	if o != nil {
		c.opts = *o
	}
	return c
}

// Step takes the peer's token and returns the one to send to it (gss_init_sec_context and
// gss_accept_sec_context, RFC 2743 sections 2.2.1 and 2.2.2). An initiator's first Step takes nil. Go on
// until Established. What Step returns is to be sent, unless it is empty, also with the last step and
// also with an error, where it tells the peer what went wrong.
//
// An initiator may talk to the KDC. When ctx ends, Step returns at once with context.Cause(ctx), and the
// context is of no more use. After any error every later Step fails too.
func (c *SecContext) Step(ctx context.Context, in []byte) (out []byte, err error) {
	op, slots := "accept a context", acceptors
	if c.info.Initiated {
		op, slots = "initiate a context with", network
	}
	fail := func(code Code, text string) error { return &Error{Op: op, Name: c.target.text, Code: code, Text: text} }
	switch {
	case c.handle == nil:
		return nil, fail(ErrNoContext, "")
	case c.closed.Load():
		return nil, fail(ErrClosed, "")
	case c.err != nil:
		return nil, c.err
	case c.established:
		return nil, fail(ErrFailure, "the context is established already")
	case c.opts.Credential != nil && c.opts.Credential.pool == nil:
		return nil, fail(ErrNoCred, "the credential was not made by Acquire")
	case len(c.opts.Mech) > maxOID:
		return nil, fail(ErrBadMech, "")
	}
	if err := c.target.check(op); err != nil {
		return nil, err
	}
	if cred := c.opts.Credential; cred != nil && cred.pool.usage == Both {
		slots = network // for tickets of its own it may ask the KDC
	}
	if ctx.Done() != nil {
		in = bytes.Clone(in) // the call may outlive this one, and in is the caller's
	}
	l := leg{handle: c.handle, target: c.target, opts: c.opts, bindings: c.opts.ChannelBinding.pack(), initiate: c.info.Initiated, in: in, negotiated: c.info.Mech, by: c.by, ends: c.ends, user: c.info.Initiator}
	r, cancelled := l.run(ctx, slots)
	if cancelled != nil {
		if _, ok := cancelled.(unbegun); !ok {
			c.err = fail(ErrNoContext, "an earlier step was abandoned when its Go context ended")
			c.handle.close()
		}
		return nil, r.err(op, c.target.text, cancelled)
	}
	if err := r.err(op, c.target.text, nil); err != nil {
		c.err = err
		c.handle.close()
		return r.out, err
	}
	if r.mech != "" {
		c.info.Mech = r.mech
	}
	c.info.Flags = Flags(r.flags)
	if c.info.Initiated && len(r.names) > 0 {
		u := unpack{r.names}
		if n := u.name(); n.typ == NTKRB5Principal { // other mechanisms say who it may be
			c.info.Initiator = n
		}
	}
	if c.by = r.by; c.by != nil {
		c.ends = contextExpiry(r.lifetime, KRB5)
	}
	if r.major&statusContinue == 0 {
		c.established = true
		if c.by != nil {
			c.setNames(r.names)
			c.info.Mech = r.mech
		}
		c.info.Expires = contextExpiry(r.lifetime, c.info.Mech)
		if !c.info.Initiated {
			c.setNames(r.names)
			c.info.Acceptor = r.acceptor
		}
		if r.box != nil {
			c.delegated.Store(newDelegated(r.box))
		}
		if c.closed.Load() {
			c.dropDelegated()
		}
	}
	return r.out, nil
}

// leg is one call of the library. It runs apart from its SecContext, which may have given up on it.
type leg struct {
	handle   *handle
	target   Name
	opts     Options
	bindings []byte
	initiate bool
	in       []byte

	negotiated OID // by the legs before

	by   *stencil  // that the first token is by
	ends time.Time // its ticket
	user Name      // whose it is
}

func (l *leg) step() result {
	if !l.handle.acquire() {
		return result{major: uint32(ErrClosed)}
	}
	defer l.handle.release()
	first := l.handle.box == nil
	if first {
		// What must be the same on each leg goes to the C side once.
		r := ctxNew(l.target, l.opts.Mech, l.bindings, l.opts.Flags, seconds(l.opts.Lifetime, 0))
		if r.failed() {
			if heimdal && l.initiate {
				r.explainTarget(l.target)
			}
			return r
		}
		l.handle.box = r.box
	}
	if !l.initiate {
		return l.accept(first)
	}
	switch {
	case l.by != nil && len(l.in) > 0:
		if r := l.catchUp(); r.failed() {
			return r
		}
		first = false
	case first && l.by == nil:
	case len(l.in) == 0: // on which MIT's SPNEGO crashes
		return result{major: uint32(ErrDefectiveToken), text: "the peer's token is empty"}
	case heimdal && !heimdalReads(l.opts.Mech, l.negotiated, l.opts.Flags, l.in):
		return result{major: uint32(ErrDefectiveToken)}
	}
	if l.opts.Credential == nil {
		r := initStep(l.handle.box, nil, l.in)
		switch waits := !r.failed() && r.major&statusContinue != 0; {
		case waits && Flags(r.flags)&FlagMutual == 0:
			r.names = ctxInitiator(l.handle.box).out
		case waits && first:
			// The context does not say it before the acceptor's proof has come, and the user may be another one by now.
			if ticket := ticketIn(r.out); ticket != nil {
				r.names = krb5Initiator(l.target, ticket).out
			}
		}
		return l.explain(r, first, &Store{})
	}
	pool := l.opts.Credential.pool
	cred, r := pool.take()
	if !r.failed() {
		r = initStep(l.handle.box, cred.box, l.in)
		if r.failed() {
			r.ask(cred.box)
		}
		pool.put(cred, !r.failed())
	}
	if pool.private {
		return l.explain(r, first, nil)
	}
	return l.explain(r, first, &pool.store)
}

// catchUp gives a context to a token by a stencil whose acceptor wants more than that: the library makes a first token once more. It is
// not sent, and is the same but for its keys. Another mechanism has its own; where Kerberos goes on without mutual authentication, it is
// to fail. The acceptor's next tokens have contexts.
func (l *leg) catchUp() result {
	l.by.bad.Store(true)
	r := l.explain(initStep(l.handle.box, nil, nil), true, &Store{})
	if r.failed() {
		return r
	}
	u := unpack{ctxInitiator(l.handle.box).out}
	if u.name() != l.user {
		return result{major: uint32(ErrFailure), text: "the default credential is somebody else's by now: " + l.user.text + " has sent the first token"}
	}
	return r
}

// explain explains an initiator's first leg. Later ones fail by what the acceptor has sent. Without a store the
// credential's tickets are its own, and no cache has anything to do with it.
func (l *leg) explain(r result, first bool, s *Store) result {
	switch {
	case !first || !r.failed():
	case r.impersonator != "" && !r.expired && r.explicable():
		r.explainDelegation(l.target)
	case s != nil:
		r.explainStep(s, l.target)
	case r.expired:
		r.hint = "the credential has expired: get another"
	case r.explicable():
		r.explainTarget(l.target)
	}
	return r
}

func (l *leg) accept(first bool) result {
	var cred box
	store, name, kind := &Store{}, Name{}, &defaultAcceptor
	var ring *keyring
	var kept *keys
	if l.opts.Credential != nil {
		pool := l.opts.Credential.pool
		ring, name, kind = pool.keyring, pool.name, pool.copies
		own := pool.withKeytab()
		store = &own
		var lent loan
		if kept, lent = ring.take(); kept != nil {
			defer ring.put(kept, lent)
		} else {
			var r result
			if lent, r = pool.take(); r.failed() {
				if pool.usage == Accept {
					r.explainAcquire(Accept, store, name)
				}
				return r
			}
			defer func() { pool.put(lent, true) }() // what clients send is not its fault
		}
		cred = lent.box
	} else {
		r := acquire(&defaultAcceptor)
		if r.failed() {
			r.explainAcquire(Accept, store, Name{})
			return r
		}
		defer credFree(r.box)
		cred = r.box
	}
	r := acceptStep(l.handle.box, cred, l.in)
	switch {
	case r.code() == ErrNoCred:
		r.explainAcquire(Accept, store, Name{})
	case !r.failed() && r.major&statusContinue == 0:
		var of ticketID
		var known identity
		if kept != nil && first {
			of = ticketOf(l.in)
			known = ring.identity(kept, of)
		}
		if r = l.identify(r, kind, known); r.failed() {
			r.explainTicket(store, name, l.in)
		} else {
			ring.accepted(kept, first, of, identity{r.names, r.acceptor})
		}
	case r.failed():
		r.explainTicket(store, name, l.in)
	}
	return r
}

// defaultAcceptor is any key of the default keytab, for Kerberos, raw and inside SPNEGO.
var defaultAcceptor = acquisition{usage: Accept, mechs: packOIDs([]OID{SPNEGO, KRB5}), neg: packOIDs([]OID{KRB5}), lifetime: indefinite}

// identify asks an accepted context who the initiator is, and whom the token is for, as far as that is not known. A context that cannot
// say that, or that is for somebody else than the credential, has failed.
func (l *leg) identify(accepted result, kind *acquisition, known identity) result {
	if accepted.mech != KRB5 {
		known = identity{}
	}
	if known.names != nil && int32(accepted.lifetime) > 0 { // at its end MIT krb5 has nothing to say of a context
		accepted.names, accepted.acceptor = known.names, known.acceptor
		return accepted
	}
	info := ctxInfo(l.handle.box, accepted.mech, known.acceptor)
	if info.failed() {
		accepted.freeCredential()
		return info
	}
	u := unpack{info.out}
	u.name()
	accepted.acceptor = cmp.Or(u.name(), known.acceptor)
	if mech := internOID(u.bytes()); !kind.allows(accepted.acceptor, mech) {
		accepted.freeCredential()
		return result{major: uint32(ErrFailure), text: "the token is for " + accepted.acceptor.text + ", and not for what the credential is for"}
	}
	accepted.names = info.out
	return accepted
}

// Established reports whether the context is complete (GSS_S_COMPLETE). Only then is the peer who Info says.
func (c *SecContext) Established() bool { return c.established }

// Info returns what the context has come to so far (gss_inquire_context, and gss_context_time for Expires). It is complete
// once the context is established.
func (c *SecContext) Info() Info {
	// MIT krb5 says nothing of a context that has expired, and loses what it had to say.
	if c.handle != nil && c.established && !c.named && !c.expired() && c.handle.acquire() {
		r := ctxInfo(c.handle.box, c.info.Mech, Name{})
		c.handle.release()
		if !r.failed() {
			c.setNames(r.out)
		}
	}
	return c.info
}

func (c *SecContext) expired() bool {
	return !c.info.Expires.IsZero() && !c.info.Expires.After(time.Now())
}

// setNames takes names and mechanism out of what ctxInfo packed, and returns the rest.
func (c *SecContext) setNames(packed []byte) unpack {
	u := unpack{packed}
	initiator, acceptor := u.name(), u.name()
	c.info.Initiator = initiator
	if !acceptor.IsZero() {
		c.info.Acceptor = acceptor
	}
	if mech := internOID(u.bytes()); mech != "" {
		c.info.Mech = mech
	}
	c.named = true
	return u
}

// Delegated returns the credential that the initiator has delegated (delegated_cred_handle of gss_accept_sec_context),
// or nil: look before you initiate with it, as a nil Credential in Options is the program itself. The caller owns and
// closes it; later calls return nil. One that nobody takes is closed with the context.
//
// An acceptor of usage Both also gets one where a client of Kerberos has delegated nothing, and FlagDelegate with it:
// with that one it may act for the client only towards services that the KDC allows it to delegate to (constrained
// delegation, S4U2Proxy of [MS-SFU]). CredentialInfo.Impersonator tells the two apart. Heimdal has no such credential.
func (c *SecContext) Delegated() *Credential { return c.delegated.Swap(nil) }

// Close frees the context (gss_delete_sec_context, without a token for the peer: RFC 2743
// section 2.2.3). It may be called again, and on nil. A step that is under way ends undisturbed. What [SecContext.Info]
// had not been asked for before is not known afterwards.
func (c *SecContext) Close() error {
	if c == nil || c.handle == nil {
		return nil
	}
	c.closed.Store(true)
	c.cleanup.Stop()
	c.handle.close()
	c.dropDelegated()
	return nil
}

func (c *SecContext) dropDelegated() {
	if d := c.delegated.Swap(nil); d != nil {
		d.Close()
	}
}

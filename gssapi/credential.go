package gssapi

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"
)

// Usage says what a credential is for (cred_usage in RFC 2744 section 5.2).
type Usage int

const (
	Initiate Usage = iota // a client's tickets
	Accept                // a server's keys
	Both                  // a server's keys and tickets of its own, for constrained delegation: see SecContext.Delegated
)

// String returns initiate, accept or both.
func (u Usage) String() string {
	switch u {
	case Initiate:
		return "initiate"
	case Accept:
		return "accept"
	case Both:
		return "both"
	}
	return fmt.Sprintf("Usage(%d)", int(u))
}

// CredentialOptions say which credential [Acquire] gets. The zero value is the default initiator.
type CredentialOptions struct {
	Name  Name  // zero: the cache's principal; for an acceptor any key of the keytab
	Usage Usage // zero: Initiate

	// Mechs are the mechanisms to get it for. None given: for an initiator all that the library has;
	// for an acceptor Kerberos, raw and inside SPNEGO. With some given, SPNEGO works too and
	// negotiates these alone (gss_set_neg_mechs, RFC 4178 appendix B.1); with SPNEGO among them it
	// negotiates whatever the library does. Heimdal can do so for Kerberos alone: others are ErrUnavailable.
	Mechs []OID

	Lifetime time.Duration // to ask for, in whole seconds; zero: the longest there is
	Store    Store         // zero: the environment's cache and keytab

	// Private has an initiator work on a copy of its Kerberos tickets, in memory: tickets for services that it gets do not
	// go into the cache, which then shows no trace of it. The copy goes with the Credential.
	Private bool

	// Enctypes are the encryption types that Kerberos may use for the keys of sessions, best one first, by the numbers of RFC 3961
	// section 8: 18 is aes256-cts-hmac-sha1-96 (gss_krb5_set_allowable_enctypes). None given: krb5.conf's. Some given are
	// ErrUnavailable with Heimdal, whose acceptors do not heed them.
	Enctypes []int32

	// ExactFlags has an initiator ask for confidentiality and integrity only where Options.Flags has them; Kerberos asks for
	// both otherwise, and SPNEGO for integrity (GSS_KRB5_CRED_NO_CI_FLAGS_X, set by gss_set_cred_option). It is for protocols
	// whose servers refuse what they did not agree to, as where TLS protects the messages already.
	ExactFlags bool
}

// Credential is a set of tickets or keys (gss_cred_id_t). It is safe for concurrent use, and callers
// do not wait for each other: MIT krb5 locks a credential while it talks to a KDC, so each call works on
// its own copy.
//
// An acceptor's keys are kept in memory, with MIT krb5 and a keytab that is a file of this machine, for as long as that file
// has not changed: its next state takes effect with the next token.
//
// Its identity is fixed when it is acquired. A program that runs for long and should follow the
// user's next kinit uses no Credential at all, a nil one: that is looked up afresh each time.
type Credential struct {
	pool    *credPool
	cleanup runtime.Cleanup
}

// CredentialInfo is what a credential is (gss_inquire_cred, RFC 2743 section 2.1.3).
type CredentialInfo struct {
	Name         Name // zero for an acceptor with any key
	Impersonator Name // the service that acts for Name, by constrained delegation; zero: the tickets are Name's own
	Usage        Usage
	Mechs        []OID
	Expires      time.Time // zero: never
}

// acquisition holds what gss_acquire_cred_from takes, packed for the C side.
type acquisition struct {
	name              Name
	usage             Usage
	mechs, neg, store []byte
	lifetime          uint32
	enctypes          []int32
	exactFlags        bool
	token             []byte // imported instead of acquired, see Credential.Export
	identity          Name   // what name turned out to be
	alone             bool   // it cannot be acquired again: the first one serves every call
	keytab            string // an acceptor's, by the name that the library has for it, if that is known

	asked   Name   // an acceptor's name for Heimdal, which does not know it afterwards
	service string // where that has no host, in place of name
}

func (o *CredentialOptions) pack() (*acquisition, error) {
	store, err := o.Store.pack()
	if err != nil {
		return nil, err
	}
	if o.Usage < Initiate || o.Usage > Both {
		return nil, fmt.Errorf("gssapi: %v is not a usage of a credential", o.Usage)
	}
	if err := o.Name.check("acquire a credential for"); err != nil {
		return nil, err
	}
	if len(o.Mechs) > maxMechs {
		return nil, fmt.Errorf("gssapi: cannot acquire a credential for %d mechanisms: %d are the most", len(o.Mechs), maxMechs)
	}
	for _, m := range o.Mechs {
		if m == "" || len(m) > maxOID {
			return nil, &Error{Op: "acquire a credential for the mechanism", Name: m.String(), Code: ErrBadMech}
		}
	}
	mechs := o.Mechs
	if len(mechs) == 0 && o.Usage != Initiate {
		mechs = []OID{KRB5}
	}
	a := &acquisition{name: o.Name, usage: o.Usage, store: store, lifetime: seconds(o.Lifetime, indefinite),
		enctypes: slices.Clone(o.Enctypes), exactFlags: o.ExactFlags}
	if heimdal && o.Usage == Accept {
		a.anyHost()
	}
	if len(mechs) == 0 {
		return a, nil
	}
	if !slices.Contains(mechs, SPNEGO) {
		a.neg = packOIDs(mechs)
	}
	a.mechs = packOIDs(append([]OID{SPNEGO}, slices.DeleteFunc(slices.Clone(mechs), func(m OID) bool { return m == SPNEGO })...))
	return a, nil
}

// maxMechs is what the C side has room for, less SPNEGO.
const maxMechs = 31

func packOIDs(l []OID) []byte {
	var b []byte
	for _, o := range l {
		b = append(append(b, byte(len(o))), o...)
	}
	return b
}

// Acquire gets a credential (gss_acquire_cred, RFC 2743 section 2.1.1; with a Store
// gss_acquire_cred_from). Nil options are the default initiator. It may talk to a KDC, for a password or a
// client keytab, and returns when ctx ends. The caller closes the credential.
//
// The error names the cache or the keytab that was looked in: ErrNoCred where there is nothing to use,
// ErrCredentialsExpired where there is and its time is over.
//
// Heimdal looks into one cache and not through a collection, and has Both without a Name or a cache alone: what it lacks is
// ErrUnavailable.
func Acquire(ctx context.Context, o *CredentialOptions) (*Credential, error) {
	if o == nil {
		o = &CredentialOptions{}
	}
	a, err := o.pack()
	if err != nil {
		return nil, err
	}
	slots := network
	if a.usage == Accept {
		slots = acceptors
	}
	name, store := o.Name, o.Store // an abandoned call must not read what is the caller's
	store.Extra = maps.Clone(store.Extra)
	secret := store.Password != "" || store.Extra["password"] != ""
	first := a
	mech := KRB5
	if len(o.Mechs) > 0 {
		mech = o.Mechs[0]
	}
	if secret && a.usage == Initiate && len(o.Mechs) < 2 && (mech == KRB5 || mech == IAKERB && !heimdal) {
		// Each further mechanism, SPNEGO too, would have the KDC check the password once more, and a KDC counts the wrong
		// ones. Equal credentials have them all, from the tickets of this one.
		once := *a
		once.mechs, once.neg = packOIDs([]OID{mech}), nil
		first = &once
	}
	// What can be shared are Kerberos's tickets, and those of IAKERB come with its contexts.
	a.alone = secret && len(o.Mechs) > 0 && !slices.Contains(o.Mechs, KRB5) && !slices.Contains(o.Mechs, SPNEGO)
	r, err := slots.run(ctx, func() result {
		r := first.resolved()
		if !r.failed() && !a.hasKey(store.keytab()) {
			r.freeCredential()
			r = result{major: uint32(ErrNoCred)}
		}
		if r.failed() {
			r.explainAcquire(a.usage, &store, name)
		} else {
			a.keepKeytab(r.box, store)
		}
		return r
	}, (*result).freeCredential)
	if err := r.err("acquire a credential to "+a.usage.String(), name.label(), err); err != nil {
		return nil, err
	}
	identity := unpack{r.out}
	a.identity = identity.name()
	if secret {
		clear(a.store)
		a.store = nil
	}
	return newCredential(r.box, store, a, secret || o.Private && a.usage == Initiate), nil
}

// make acquires, or imports, and sets what is set on a credential afterwards.
func (a *acquisition) make() result {
	var r result
	if a.token != nil {
		r = credImport(a.token)
	} else {
		r = acquire(a)
	}
	if r.failed() || len(a.enctypes) == 0 && !a.exactFlags {
		return r
	}
	if s := credSet(r.box, a.enctypes, a.exactFlags); s.failed() {
		credFree(r.box)
		return s
	}
	return r
}

// resolved acquires, and has an initiator choose its cache now: a credential has one identity.
func (a *acquisition) resolved() result {
	r := a.make()
	if !r.failed() && a.usage != Accept {
		cred := r.box
		if r = credInfo(cred); r.failed() {
			credFree(cred)
			r.box = nil
		} else {
			r.box = cred
		}
	}
	return r
}

// again acquires a credential that is equal to the first one, or fails. The result says for how long it is good.
func (a *acquisition) again() result {
	if a.usage == Accept {
		r := a.make()
		r.lifetime = indefinite
		return r
	}
	b := *a
	if a.usage == Initiate && !a.identity.IsZero() {
		b.name = a.identity
	}
	r := b.resolved()
	// The name of both would have to be the initiator's and the acceptor's, so it is compared afterwards.
	if u := (unpack{r.out}); !r.failed() && !a.identity.IsZero() && u.name() != a.identity {
		credFree(r.box)
		return result{major: uint32(ErrNoCred), text: "the ticket cache no longer belongs to " + a.identity.text}
	}
	return r
}

func (r *result) freeCredential() {
	if r.box != nil {
		credFree(r.box)
	}
}

// Info asks the library what the credential is (gss_inquire_cred, RFC 2743 section 2.1.3). Expires is that of the
// tickets last used, which for a client keytab are replaced when they are over.
func (c *Credential) Info() (CredentialInfo, error) {
	return c.info("inquire a credential", "", credInfo)
}

func (c *Credential) info(op, name string, inquire func(box) result) (CredentialInfo, error) {
	if c == nil || c.pool == nil {
		return CredentialInfo{}, &Error{Op: op, Name: name, Code: ErrNoCred}
	}
	var by result
	r := c.pool.look(func(cred box) result {
		by = credImpersonator(cred)
		return inquire(cred)
	})
	if err := r.err(op, name, nil); err != nil {
		return CredentialInfo{}, err
	}
	u := unpack{r.out}
	info := CredentialInfo{Name: u.name(), Usage: Usage(r.flags), Expires: expiry(r.lifetime), Mechs: u.oids()}
	if info.Name.IsZero() {
		info.Name = c.pool.copies.asked
	}
	if s := (&unpack{by.out}).string(); s != "" {
		info.Impersonator = Principal(s)
	}
	return info, nil
}

// Close frees the credential (gss_release_cred, RFC 2743 section 2.1.2). Calls that are under way end undisturbed, later ones
// return ErrClosed. Close may be called again, by any goroutine, and on nil.
func (c *Credential) Close() error {
	if c == nil || c.pool == nil {
		return nil
	}
	c.cleanup.Stop()
	c.pool.close()
	return nil
}

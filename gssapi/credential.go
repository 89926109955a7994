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
	Both                  // a server's keys and tickets of its own, for constrained delegation
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
	// negotiates these alone; with SPNEGO among them it negotiates whatever the library does.
	Mechs []OID

	Lifetime time.Duration // to ask for, in whole seconds; zero: the longest there is
	Store    Store         // zero: the environment's cache and keytab
}

// Credential is a set of tickets or keys (gss_cred_id_t). It is safe for concurrent use, and callers
// do not wait for each other: MIT krb5 locks a credential while it talks to a KDC, so each call works on
// its own copy.
//
// Its identity is fixed when it is acquired. A program that runs for long and should follow the
// user's next kinit uses no Credential at all, a nil one: that is looked up afresh each time.
type Credential struct {
	pool    *credPool
	cleanup runtime.Cleanup
}

// CredentialInfo is what a credential is (gss_inquire_cred, RFC 2743 section 2.1.3).
type CredentialInfo struct {
	Name    Name // zero for an acceptor with any key
	Usage   Usage
	Mechs   []OID
	Expires time.Time // zero: never
}

// acquisition holds what gss_acquire_cred_from takes, packed for the C side.
type acquisition struct {
	name              Name
	usage             Usage
	mechs, neg, store []byte
	lifetime          uint32
	identity          Name // what name turned out to be
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
	a := &acquisition{name: o.Name, usage: o.Usage, store: store, lifetime: seconds(o.Lifetime, indefinite)}
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
// client keytab. The caller closes the credential.
//
// The error names the cache or the keytab that was looked in: ErrNoCred where there is nothing to use,
// ErrCredentialsExpired where there is and its time is over.
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
	r, err := slots.run(ctx, func() result {
		r := a.resolved()
		if r.failed() {
			r.explainAcquire(a.usage, &store, name)
		}
		return r
	}, (*result).freeCredential)
	if err := r.err("acquire a credential to "+a.usage.String(), name.text, err); err != nil {
		return nil, err
	}
	identity := unpack{r.out}
	a.identity = identity.name()
	private := store.Password != "" || store.Extra["password"] != ""
	if private {
		clear(a.store)
		a.store = nil
	}
	return newCredential(r.box, store, a, private), nil
}

// resolved acquires, and has an initiator choose its cache now: a credential has one identity.
func (a *acquisition) resolved() result {
	r := acquire(a)
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
		r := acquire(a)
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
	const op = "inquire a credential"
	if c == nil || c.pool == nil {
		return CredentialInfo{}, &Error{Op: op, Code: ErrNoCred}
	}
	r := c.pool.look(credInfo)
	if err := r.err(op, "", nil); err != nil {
		return CredentialInfo{}, err
	}
	u := unpack{r.out}
	return CredentialInfo{Name: u.name(), Usage: Usage(r.flags), Expires: expiry(r.lifetime), Mechs: u.oids()}, nil
}

// Close frees the credential (gss_release_cred). Calls that are under way end undisturbed, later ones
// return ErrClosed. Close may be called again, by any goroutine, and on nil.
func (c *Credential) Close() error {
	if c == nil || c.pool == nil {
		return nil
	}
	c.cleanup.Stop()
	c.pool.close()
	return nil
}

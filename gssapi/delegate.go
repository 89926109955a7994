package gssapi

import (
	"cmp"
	"context"
	"maps"
)

// Impersonate gets a credential of a user with the tickets of c, without the user's password or ticket: protocol
// transition, S4U2Self of [MS-SFU] (gss_acquire_cred_impersonate_name, an extension of MIT krb5, which does what
// gss_add_cred_impersonate_name does). It is for a service that knows its user by other means, such as a certificate. c is
// the service's own, of usage Initiate or Both. The KDC is asked each time. The caller closes the credential.
//
// With it the service initiates contexts as the user: with itself always, and with other services where the KDC
// allows it to delegate to them (constrained delegation, S4U2Proxy) and the service is trusted for protocol transition
// (ok_to_auth_as_delegate). Contexts with others fail otherwise, when they are begun.
//
// Heimdal has no such credentials: ErrUnavailable.
func (c *Credential) Impersonate(ctx context.Context, user Name) (*Credential, error) {
	const op = "impersonate"
	if err := c.checkInitiator(op, user.text); err != nil {
		return nil, err
	}
	if user.IsZero() {
		return nil, &Error{Op: op, Code: ErrBadName, Text: "no user is named"}
	}
	if err := user.check(op); err != nil {
		return nil, err
	}
	p := c.pool
	r, err := network.run(ctx, func() result {
		cred, r := p.take()
		if r.failed() {
			return r
		}
		r = impersonate(cred.box, user)
		if r.failed() {
			r.explainImpersonate(p, cred.box)
		}
		p.put(cred, !r.failed())
		return r
	}, (*result).freeCredential)
	if err := r.err(op, user.text, err); err != nil {
		return nil, err
	}
	return newDelegated(r.box), nil
}

// StoreInto puts the tickets of c into another ticket cache, that of s.CCache, where other programs find them
// (gss_store_cred_into, an extension of MIT krb5, for what gss_krb5_copy_ccache does with a handle). With the zero Store
// that is the environment's own cache (gss_store_cred, RFC 5588 section 3). Of s only CCache and Extra count. In a
// collection of caches, such as KCM:, each user has one, and the one that is stored becomes the primary one, but not with
// Heimdal.
//
// Where a cache is there already, StoreInto replaces it if overwrite is set and is ErrDuplicateElement otherwise.
// Service tickets that c has got meanwhile are stored, too. A credential of [Credential.Impersonate], or of
// constrained delegation, brings the tickets of the service that acts for the user with it.
func (c *Credential) StoreInto(ctx context.Context, s Store, overwrite bool) error {
	const op = "store a credential in"
	name := cmp.Or(s.CCache, s.Extra["ccache"])
	if err := c.checkInitiator(op, name); err != nil {
		return err
	}
	packed, err := Store{CCache: s.CCache, Extra: maps.Clone(s.Extra)}.pack()
	if err != nil {
		return err
	}
	p := c.pool
	r, err := network.run(ctx, func() result {
		cred, r := p.take()
		if r.failed() {
			return r
		}
		r = credStore(cred.box, packed, overwrite)
		if r.failed() {
			r.explainStore(name)
		}
		p.put(cred, true) // the fault is the other cache's
		return r
	}, nil)
	return r.err(op, cmp.Or(name, "the default ticket cache"), err)
}

// checkInitiator refuses a credential that has no tickets.
func (c *Credential) checkInitiator(op, name string) error {
	switch {
	case c == nil || c.pool == nil:
		return &Error{Op: op, Name: name, Code: ErrNoCred, Text: "the credential was not made by Acquire"}
	case c.pool.usage == Accept:
		return &Error{Op: op, Name: name, Code: ErrNoCred, Text: "the credential has a server's keys and no tickets",
			Hint: "acquire it with usage Both, and a client keytab or a ticket cache for the tickets"}
	}
	return nil
}

// newDelegated takes over a credential whose tickets are nowhere else.
func newDelegated(b box) *Credential {
	return newCredential(b, Store{}, &acquisition{lifetime: indefinite}, true)
}

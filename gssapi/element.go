package gssapi

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
)

// KRB5Impersonator asks [Credential.Inquire] who acts for the credential's user (GSS_KRB5_GET_CRED_IMPERSONATOR); CredentialInfo
// has the answer as a Name.
const KRB5Impersonator OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x05\x0e"

// InfoByMech asks what the credential has for one mechanism (gss_inquire_cred_by_mech, RFC 2743 section 2.1.5). Where it has
// nothing for that, InfoByMech is ErrNoCred. Mechanisms can differ in name and usage after [Credential.Add], and in Expires after
// [Acquire] as well. MIT krb5 cannot tell it of SPNEGO, which is ErrUnavailable, and names the
// first key of the keytab for an acceptor with any key. With Heimdal it is ErrUnavailable: see [Credential.Info].
func (c *Credential) InfoByMech(mech OID) (CredentialInfo, error) {
	const op = "inquire a credential for the mechanism"
	if err := checkMech(op, mech); err != nil {
		return CredentialInfo{}, err
	}
	return c.info(op, mech.String(), func(cred box) result { return credByMech(cred, mech) })
}

// checkMech refuses what is no mechanism: the library would take none for its default one.
func checkMech(op string, mech OID) error {
	if mech == "" || len(mech) > maxOID {
		return &Error{Op: op, Name: mech.String(), Code: ErrBadMech}
	}
	return nil
}

// Inquire asks for something that a mechanism tells of its credentials under an OID of its own (gss_inquire_cred_by_oid, an
// extension of MIT krb5; with Heimdal ErrUnavailable). What the byte strings mean is the OID's business, such as
// [KRB5Impersonator]'s. An OID that no mechanism knows is ErrUnavailable.
func (c *Credential) Inquire(oid OID) ([][]byte, error) {
	const op = "inquire a credential by"
	if c == nil || c.pool == nil {
		return nil, &Error{Op: op, Name: oid.String(), Code: ErrNoCred}
	}
	if oid == "" || len(oid) > maxOID {
		return nil, &Error{Op: op, Name: oid.String(), Code: ErrUnavailable, Text: "it is no object identifier"}
	}
	r := c.pool.look(func(cred box) result { return credByOID(cred, oid) })
	if err := r.err(op, oid.String(), nil); err != nil {
		return nil, err
	}
	var l [][]byte
	for u := (unpack{r.out}); len(u.b) > 0; {
		l = append(l, bytes.Clone(u.bytes()))
	}
	return l, nil
}

// Export returns the credential as bytes, for [ImportCredential] in this process or in another one on this machine that has
// the same library (gss_export_cred, an extension of MIT krb5; with Heimdal ErrUnavailable). Programs in C read them, too. For
// Kerberos they hold the names of the keytab, replay cache and ticket cache; but the tickets and their keys themselves
// where these are in a cache in memory, as a delegated credential's are, or a password's. Then whoever has the bytes is the user:
// keep them as you would keep a password.
//
// CredentialOptions.ExactFlags is not in them. A mechanism that cannot export makes Export ErrUnavailable.
func (c *Credential) Export(ctx context.Context) ([]byte, error) {
	const op = "export a credential"
	if c == nil || c.pool == nil {
		return nil, &Error{Op: op, Code: ErrNoCred, Text: "the credential was not made by Acquire"}
	}
	p, slots := c.pool, network
	if p.usage == Accept {
		slots = acceptors
	}
	r, err := slots.run(ctx, func() result { return p.with(credExport) }, nil)
	if err := r.err(op, p.name.text, err); err != nil {
		return nil, err
	}
	return r.out, nil
}

// with makes a call on a copy that no other call has.
func (p *credPool) with(call func(box) result) result {
	cred, r := p.take()
	if r.failed() {
		return r
	}
	r = call(cred.box)
	p.put(cred, !r.failed())
	return r
}

// ImportCredential makes a credential of what [Credential.Export] returned (gss_import_cred, an extension of MIT krb5; with Heimdal
// ErrUnavailable). The caller closes it, and has the bytes back when ImportCredential returns. What is no such token is
// ErrDefectiveToken. As after Acquire, SPNEGO negotiates the mechanisms that the credential has beside it and no others.
//
// The token is not signed: do not import one of somebody who may not choose your identity.
func ImportCredential(ctx context.Context, token []byte) (*Credential, error) {
	const op = "import a credential"
	if !heimdal && !wholeCredential(string(token)) {
		return nil, &Error{Op: op, Code: ErrDefectiveToken, Text: "the token is damaged"}
	}
	return newImported(ctx, op, Name{}, &acquisition{token: append([]byte{}, token...), lifetime: indefinite})
}

// wholeCredential reports whether the elements of a token are whole, each behind its mechanism, and those of Kerberos JSON to their
// ends: the process may end over less.
func wholeCredential(s string) bool {
	for s != "" {
		mech, rest, ok := counted(s, 4)
		if !ok {
			return false
		}
		element, rest, ok := counted(rest, 4)
		switch {
		case !ok:
			return false
		case OID(mech) == SPNEGO:
			ok = wholeCredential(element)
		case slices.Contains([]OID{KRB5, KRB5Old, KRB5MS, IAKERB}, OID(mech)):
			ok = json.Valid([]byte(element))
		}
		if !ok {
			return false
		}
		s = rest
	}
	return true
}

// newImported makes a credential whose copies are all imported from one token.
func newImported(ctx context.Context, op string, name Name, a *acquisition) (*Credential, error) {
	r, err := network.run(ctx, func() result {
		r := a.make()
		if r.failed() {
			return r
		}
		if Usage(r.flags) == Accept {
			return r
		}
		info := credInfo(r.box) // which has it choose its cache, as in resolved
		if info.failed() {
			credFree(r.box)
			return info
		}
		info.box, info.flags = r.box, r.flags
		return info
	}, (*result).freeCredential)
	if err := r.err(op, name.text, err); err != nil {
		return nil, err
	}
	identity := unpack{r.out}
	a.usage, a.identity = Usage(r.flags), identity.name()
	return newCredential(r.box, Store{}, a, false), nil
}

// Add returns a new credential that has what c has, and beside it what o describes for each of o.Mechs (gss_add_cred_from, an
// extension of MIT krb5 to gss_add_cred of RFC 2743 section 2.1.4): such as an acceptor's keys for one mechanism beside tickets for
// another. c stays as it is, and the caller closes both. A mechanism that c has already is ErrDuplicateElement; what c has is told
// by [Credential.Info].
//
// What is added is used by contexts of the mechanism itself. Inside SPNEGO a credential has the mechanisms that it
// was acquired with: to negotiate several, give them all to [Acquire], and for an acceptor that initiates, Both as the
// usage. Enctypes and ExactFlags of o count for the whole credential.
//
// Heimdal cannot do it: ErrUnavailable. For a user whom a service acts for, gss_add_cred_impersonate_name is [Credential.Impersonate],
// and for a password of Kerberos, gss_add_cred_with_password is o.Store.Password.
func (c *Credential) Add(ctx context.Context, o *CredentialOptions) (*Credential, error) {
	const op = "add to a credential"
	if c == nil || c.pool == nil {
		return nil, &Error{Op: op, Code: ErrNoCred, Text: "the credential was not made by Acquire"}
	}
	if o == nil || len(o.Mechs) == 0 {
		return nil, &Error{Op: op, Code: ErrBadMech, Text: "no mechanism is named"}
	}
	more, err := o.pack()
	if err != nil {
		return nil, err
	}
	more.mechs = packOIDs(o.Mechs)
	p := c.pool
	p.mu.Lock()
	added := acquisition{enctypes: p.copies.enctypes, exactFlags: p.copies.exactFlags || o.ExactFlags, lifetime: indefinite}
	p.mu.Unlock()
	if len(o.Enctypes) > 0 {
		added.enctypes = more.enctypes
	}
	r, err := network.run(ctx, func() result {
		return p.with(func(cred box) result {
			r := credAdd(cred, more)
			clear(more.store) // it may have a password
			if r.failed() {
				return r
			}
			defer credFree(r.box)
			return credExport(r.box)
		})
	}, nil)
	if err := r.err(op, o.Name.text, err); err != nil {
		return nil, err
	}
	added.token = r.out
	return newImported(ctx, op, o.Name, &added)
}

package gssapi

import (
	"context"
	"strings"
)

// Display returns the text that the name has as one of another type (gss_display_name_ext, RFC 6680 section 7.3). MIT krb5 1.20
// knows no other text than that of the name's own type, and is ErrUnavailable for the rest, and Heimdal 7.8 for all: use
// [Name.Canonical] for a principal and [Name.Local] for a user of the machine.
func (n Name) Display(ctx context.Context, typ OID) (string, error) {
	const op = "display"
	if err := n.check(op); err != nil {
		return "", err
	}
	if typ == "" || len(typ) > maxOID {
		return "", &Error{Op: op, Name: n.label(), Code: ErrBadNameType}
	}
	r, err := acceptors.run(ctx, func() result { return nameDisplay(n, typ) }, nil)
	if err := r.err(op, n.label(), err); err != nil {
		return "", err
	}
	return string(r.out), nil
}

// Mechs lists the mechanisms that can read names of this type (gss_inquire_mechs_for_name, RFC 2743 section 2.4.13). It asks
// nobody, and does not say that one of them knows the name.
func (n Name) Mechs() ([]OID, error) {
	const op = "find the mechanisms for"
	if n.IsZero() {
		return nil, &Error{Op: op, Code: ErrBadName, Text: "there is no name"}
	}
	if err := n.check(op); err != nil {
		return nil, err
	}
	r := nameMechs(n)
	if err := r.err(op, n.label(), nil); err != nil {
		return nil, err
	}
	return unpack{r.out}.oids(), nil
}

// MayLogInAs reports whether the name may log in to the machine as user (gss_authorize_localname, which is gss_userok with
// errors). For Kerberos that is so where user's .k5login says so, or, without one, where user is [Name.Local]; krb5.conf's
// kuserok settings and plug-ins can say otherwise. An account that is not there is nobody's. The name must have been
// authenticated before, as that in [Info] was.
func (n Name) MayLogInAs(ctx context.Context, mech OID, user string) (bool, error) {
	const op = "find out about the login of"
	if err := n.checkAccount(op, mech); err != nil {
		return false, err
	}
	if user == "" || strings.IndexByte(user, 0) >= 0 {
		return false, &Error{Op: op, Name: n.label(), Code: ErrBadName, Text: "the account's name is empty or contains a NUL byte"}
	}
	r, err := acceptors.run(ctx, func() result { return nameMayLogIn(n, mech, user) }, nil)
	return err == nil && r.flags != 0, r.err(op, n.label(), err)
}

// UID returns the number of the account that [Name.Local] names (gss_pname_to_uid). Where there is none, it is an error.
func (n Name) UID(ctx context.Context, mech OID) (int, error) {
	const op = "find the account of"
	if err := n.checkAccount(op, mech); err != nil {
		return 0, err
	}
	r, err := acceptors.run(ctx, func() result { return nameUID(n, mech) }, nil)
	if err := r.err(op, n.label(), err); err != nil {
		return 0, err
	}
	return int(r.flags), nil
}

func (n Name) checkAccount(op string, mech OID) error {
	if n.IsZero() {
		return &Error{Op: op, Code: ErrBadName, Text: "there is no name"}
	}
	if err := n.check(op); err != nil {
		return err
	}
	return checkMech(op, mech)
}

package gssapi

import (
	"context"
	"strings"
)

// Name is the name of a user or of a service: a text and the type that says how to read it. It is a
// value. It holds no memory of the library, needs no Close and may be compared, copied and used by
// many goroutines at once; the library imports it (gss_import_name, RFC 2743 section 2.4.5) where it is
// used. The zero Name is none. One that the library cannot read is ErrBadName or ErrBadNameType.
//
// Two Names that are equal in Go are the same name. Two that differ may still mean one principal: compare what
// [Name.Canonical] makes of them, or what [Name.Export] does.
type Name struct {
	text string
	typ  OID
}

// Service names a service on a host, as in Service("HTTP", "www.example.com") for HTTP@www.example.com
// (GSS_C_NT_HOSTBASED_SERVICE, RFC 2743 section 4.1). Whether the host is made canonical by DNS, and
// which realm it is in, is decided by krb5.conf. With an empty host an acceptor takes any key of that
// service.
func Service(service, host string) Name {
	if host != "" {
		service += "@" + host
	}
	return Name{service, NTHostBased}
}

// Principal names a Kerberos principal, as in alice@EXAMPLE.COM or HTTP/www.example.com@EXAMPLE.COM
// (GSS_KRB5_NT_PRINCIPAL_NAME, RFC 1964 section 2.1.1).
func Principal(s string) Name { return Name{s, NTKRB5Principal} }

// User names a user of the machine, for Kerberos the principal of that name in the default realm
// (GSS_C_NT_USER_NAME, RFC 2743 section 4.2).
func User(s string) Name { return Name{s, NTUser} }

// NewName is a name of any type, for those without a function of their own (gss_import_name, once it is used).
func NewName(text string, typ OID) Name { return Name{text, typ} }

// String returns the text of the name, as gss_display_name does (RFC 2743 section 2.4.4), which for an exported one is bytes.
func (n Name) String() string { return n.text }

// Type returns the type of the name, such as NTHostBased (what gss_display_name tells beside the text).
func (n Name) Type() OID { return n.typ }

// IsZero reports whether n is no name.
func (n Name) IsZero() bool { return n == Name{} }

// check refuses what the C library would take for another name: one that ends at a NUL, and one that is none.
func (n Name) check(op string) error {
	switch {
	case n.IsZero() || n.typ == NTAnonymous && n.text == "":
		return nil
	case n.text == "":
		return &Error{Op: op, Code: ErrBadName, Text: "the name is empty"}
	case n.typ != NTExported && n.typ != NTCompositeExport && n.typ != NTMachineUID && strings.IndexByte(n.text, 0) >= 0:
		return &Error{Op: op, Name: strings.ReplaceAll(n.text, "\x00", `\0`), Code: ErrBadName, Text: "the name contains a NUL byte"}
	case (n.typ == NTExported || n.typ == NTCompositeExport) && !wholeExport(n.text):
		return &Error{Op: op, Code: ErrBadName, Text: "the exported name is damaged"}
	case len(n.typ) > maxOID:
		return &Error{Op: op, Name: n.text, Code: ErrBadNameType}
	}
	return nil
}

// wholeExport reports whether an exported name (RFC 2743 section 3.2) has all that its lengths announce, and nothing behind it:
// the process may end over more. One with attributes (RFC 6680) has them behind the name.
func wholeExport(s string) bool {
	attributes := strings.HasPrefix(s, "\x04\x02")
	if !attributes && !strings.HasPrefix(s, "\x04\x01") || len(s) < 4 {
		return false
	}
	_, s, ok := counted(s[2:], 2) // the mechanism
	if ok {
		_, s, ok = counted(s, 4) // the name
	}
	if ok && attributes {
		_, s, ok = counted(s, 4)
	}
	return ok && s == ""
}

// counted takes what stands behind its length, a number of some bytes in the order of the network.
func counted(s string, size int) (part, rest string, ok bool) {
	if len(s) < size {
		return "", "", false
	}
	var n uint64
	for i := range size {
		n = n<<8 | uint64(s[i])
	}
	if s = s[size:]; uint64(len(s)) < n {
		return "", "", false
	}
	return s[:n], s[n:], true
}

// Equal asks the library whether two names mean the same entity (gss_compare_name, RFC 2743
// section 2.4.3). Names of different types are compared only where one of them belongs to a mechanism, as
// exported ones do: alice as a [User] and as a [Principal] differ. A name that cannot be imported is an error.
func (n Name) Equal(other Name) (bool, error) {
	const op = "compare a name with"
	if n == other {
		return true, nil
	}
	if n.IsZero() || other.IsZero() {
		return false, nil
	}
	for _, m := range []Name{n, other} {
		if err := m.check(op); err != nil {
			return false, err
		}
	}
	r := nameEqual(n, other)
	return r.flags != 0, r.err(op, other.label(), nil)
}

// Canonical returns the name as the mechanism writes it (gss_canonicalize_name, RFC 2743
// section 2.4.14). For a service of Kerberos that may ask DNS, if krb5.conf says so, and the realm may
// stay empty until a ticket is asked for. Of SPNEGO it is ErrUnavailable with Heimdal, and so are Export and MayLogInAs.
func (n Name) Canonical(ctx context.Context, mech OID) (Name, error) {
	const op = "canonicalize"
	if err := n.check(op); err != nil {
		return Name{}, err
	}
	r, err := network.run(ctx, func() result { return explained(nameCanonical(n, mech)) }, nil)
	if err := r.err(op, n.label(), err); err != nil {
		return Name{}, err
	}
	u := unpack{r.out}
	return u.name(), nil
}

// Export returns the canonical name as bytes to keep and to compare, for access control lists
// (gss_export_name, RFC 2743 sections 2.4.15 and 3.2). [NewName] with NTExported reads it back.
func (n Name) Export(ctx context.Context, mech OID) ([]byte, error) {
	const op = "export"
	if err := n.check(op); err != nil {
		return nil, err
	}
	r, err := network.run(ctx, func() result { return explained(nameExport(n, mech)) }, nil)
	if err := r.err(op, n.label(), err); err != nil {
		return nil, err
	}
	return r.out, nil
}

// Local returns the name of the local account that the machine maps n to, by krb5.conf's auth_to_local
// or a plug-in (gss_localname, an extension of both libraries). Where there is none, it is an error.
func (n Name) Local(ctx context.Context, mech OID) (string, error) {
	const op = "find the local name of"
	if err := n.check(op); err != nil {
		return "", err
	}
	r, err := acceptors.run(ctx, func() result { return nameLocal(n, mech) }, nil)
	if err := r.err(op, n.label(), err); err != nil {
		return "", err
	}
	return string(r.out), nil
}

// explained says of a failure whether krb5.conf is to blame.
func explained(r result) result {
	if r.failed() {
		r.explainConfig()
	}
	return r
}

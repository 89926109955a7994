package gssapi

import (
	"context"
	"encoding/binary"
)

// Composite returns the initiator's name with its attributes, to look at, or to keep, after the context is closed
// (gss_export_name_composite, RFC 6680 section 7.8). It is of type NTCompositeExport: [Name.Attributes] reads the
// attributes, [Name.Canonical] gives the name itself. It can initiate, as the Name of [CredentialOptions], and then takes the
// attributes along that a plug-in of libkrb5 lets clients send.
//
// Its text has no signature. What MIT krb5 reads in it is called Authenticated where it was when the text was made: keep it where
// nobody else writes. It needs an established context of an acceptor, and Kerberos: it is ErrUnavailable for other mechanisms, and with
// Heimdal.
func (c *SecContext) Composite(ctx context.Context) (Name, error) {
	r, err := c.ofInitiator(ctx, "keep the attributes of", nil, ctxComposite)
	if err != nil {
		return Name{}, err
	}
	return Name{string(r.out), NTCompositeExport}, nil
}

// Attributes returns attributes of the name, as [SecContext.Attributes] does (gss_inquire_name and gss_get_name_attribute, RFC 6680
// sections 7.4 and 7.5). Names of other types than NTCompositeExport have none. Parts of the PAC are there only as long as the whole is
// as the KDC made it. Where C programs have gss_map_name_to_any make a krb5_pac of them, use Value of "urn:mspac:", which is the PAC as
// [MS-PAC] has it.
//
// Heimdal cannot tell them: ErrUnavailable.
func (n Name) Attributes(ctx context.Context, names ...string) (map[string]Attribute, error) {
	const op = "read the attributes of"
	if err := n.check(op); err != nil {
		return nil, err
	}
	packed, err := packAttributes(op, n, names)
	if err != nil {
		return nil, err
	}
	r, err := acceptors.run(ctx, func() result { return nameAttributes(n, packed) }, nil)
	if err := r.err(op, n.label(), err); err != nil {
		return nil, err
	}
	return readAttributes(r.out), nil
}

// WithAttribute returns the name as one of Kerberos that has an attribute with these values, of type NTCompositeExport
// (gss_set_name_attribute, RFC 6680 section 7.6). Complete says that they are all that there are. Which attributes can be set
// is up to the plug-ins of libkrb5: of its own it has the PAC's alone, for a name that has a PAC. ErrUnavailable is for others, and
// for all with Heimdal.
func (n Name) WithAttribute(ctx context.Context, name string, complete bool, values ...[]byte) (Name, error) {
	const op = "set an attribute of"
	if len(values) == 0 {
		return Name{}, &Error{Op: op, Name: n.label(), Code: ErrBadName, Text: "the attribute " + name + " has no value", Hint: "use WithoutAttribute to delete it"}
	}
	var packed []byte
	for _, v := range values {
		packed = append(binary.NativeEndian.AppendUint32(packed, uint32(len(v))), v...)
	}
	return n.set(ctx, op, name, packed, complete)
}

// WithoutAttribute returns the name as one of Kerberos that has no such attribute, of type NTCompositeExport
// (gss_delete_name_attribute, RFC 6680 section 7.7). As for WithAttribute, a plug-in decides whether it can be deleted; nothing of a
// PAC can.
func (n Name) WithoutAttribute(ctx context.Context, name string) (Name, error) {
	return n.set(ctx, "delete an attribute of", name, nil, false)
}

func (n Name) set(ctx context.Context, op, attribute string, values []byte, complete bool) (Name, error) {
	if err := n.check(op); err != nil {
		return Name{}, err
	}
	packed, err := packAttributes(op, n, []string{attribute})
	if err != nil {
		return Name{}, err
	}
	r, err := network.run(ctx, func() result { return nameSet(n, packed, values, complete) }, nil)
	if err := r.err(op, n.label(), err); err != nil {
		return Name{}, err
	}
	return Name{string(r.out), NTCompositeExport}, nil
}

// label is the name for errors: of an exported one the name that is inside, without attributes.
func (n Name) label() string {
	if n.typ != NTExported && n.typ != NTCompositeExport {
		return n.text
	}
	// Token id, length of the mechanism, mechanism, length of the name, name: RFC 2743 section 3.2.
	const head = 4
	b := []byte(n.text)
	if len(b) < head {
		return "an exported name"
	}
	b = b[min(len(b), head+int(binary.BigEndian.Uint16(b[2:]))):]
	if len(b) < 4 || int64(binary.BigEndian.Uint32(b)) > int64(len(b)-4) {
		return "an exported name"
	}
	return string(b[4 : 4+binary.BigEndian.Uint32(b)])
}

package gssapi

import "encoding/asn1"

// maxToken bounds the tokens that are looked into. Tickets of users in very many groups have 64 KiB.
const maxToken = 64 << 10

// ticketIn finds the ticket in a client's token: Kerberos' first one (RFC 4121 section 4.1), raw or inside SPNEGO
// (RFC 4178 section 4.2). It is nil where there is none. All that comes before the ticket is in clear, and of what
// others have sent none is to be trusted: it serves errors alone.
func ticketIn(token []byte) []byte {
	if len(token) > maxToken {
		return nil
	}
	mech, inner := unframe(token)
	if mech == SPNEGO || mech == "" {
		if mech == "" {
			inner = token // SPNEGO's further ones have no frame
		}
		_, inner = unframe(octets(field(negotiation(inner), 2)))
	}
	// AP-REQ ::= [APPLICATION 14] SEQUENCE { …, ticket [3] Ticket, … }, RFC 4120 section 5.5.1
	if len(inner) < 2 || inner[0] != 1 || inner[1] != 0 {
		return nil
	}
	return field(content(content(inner[2:], asn1.ClassApplication, 14), asn1.ClassUniversal, asn1.TagSequence), 3)
}

// Encapsulate puts the header before a mechanism's first token that says which mechanism's it is (gss_encapsulate_token, RFC 2743
// section 3.1). It is for what speaks a mechanism itself: Step's tokens have the header.
func Encapsulate(mech OID, token []byte) ([]byte, error) {
	if err := checkMech("encapsulate a token for the mechanism", mech); err != nil {
		return nil, err
	}
	oid, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagOID, Bytes: []byte(mech)})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(asn1.RawValue{Class: asn1.ClassApplication, IsCompound: true, Bytes: append(oid, token...)})
}

// Decapsulate takes the header off, and returns what is behind it as part of token (gss_decapsulate_token, RFC 2743 section 3.1). A
// token without it, of another mechanism or of another length than it says is ErrDefectiveToken.
func Decapsulate(mech OID, token []byte) ([]byte, error) {
	var frame asn1.RawValue
	rest, err := asn1.Unmarshal(token, &frame)
	got, inner := unframe(token)
	if err != nil || !frame.IsCompound || len(rest) > 0 || got != mech || mech == "" {
		return nil, &Error{Op: "decapsulate a token of the mechanism", Name: mech.String(), Code: ErrDefectiveToken}
	}
	return inner, nil
}

// unframe takes the header off a token that names its mechanism (RFC 2743 section 3.1).
func unframe(token []byte) (mech OID, inner []byte) {
	frame := content(token, asn1.ClassApplication, 0)
	var oid asn1.RawValue
	rest, err := asn1.Unmarshal(frame, &oid)
	if err != nil || oid.Class != asn1.ClassUniversal || oid.Tag != asn1.TagOID {
		return "", nil
	}
	return OID(oid.Bytes), rest
}

// negotiation is what is inside of a NegTokenInit [0] or NegTokenResp [1]. Both have the mechanism's token as field 2.
func negotiation(b []byte) []byte {
	inner := content(b, asn1.ClassContextSpecific, 0)
	if inner == nil {
		inner = content(b, asn1.ClassContextSpecific, 1)
	}
	return content(inner, asn1.ClassUniversal, asn1.TagSequence)
}

func octets(b []byte) []byte { return content(b, asn1.ClassUniversal, asn1.TagOctetString) }

// content returns what is inside of the element that b begins with, where it has that tag.
func content(b []byte, class, tag int) []byte {
	var v asn1.RawValue
	if _, err := asn1.Unmarshal(b, &v); err != nil || v.Class != class || v.Tag != tag {
		return nil
	}
	return v.Bytes
}

// field returns the inside of the context-specific field of a sequence.
func field(sequence []byte, tag int) []byte {
	for len(sequence) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(sequence, &v)
		if err != nil {
			return nil
		}
		if v.Class == asn1.ClassContextSpecific && v.Tag == tag {
			return v.Bytes
		}
		sequence = rest
	}
	return nil
}

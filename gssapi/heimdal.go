package gssapi

import (
	"bytes"
	"strings"
)

// heimdalReads reports whether Heimdal's initiator may read an acceptor's token. What does not begin as Kerberos's answer
// does, it takes for one all the same, from memory that nobody has written (repl_mutual in 7.8). An error of Kerberos it
// answers with the credential of an earlier leg, which may be gone. Inside SPNEGO both are as near.
//
// mech is the one that was asked for, negotiated the one in use so far.
func heimdalReads(mech, negotiated OID, flags Flags, token []byte) bool {
	if mech == SPNEGO {
		chosen, inner, ok := spnegoAnswer(token)
		if !ok || len(inner) == 0 {
			return ok // SPNEGO reads it alone
		}
		if mech = negotiated; chosen != "" {
			mech = chosen
		}
		token = inner
	}
	switch {
	case mech != KRB5:
		return !bytes.HasPrefix(token, []byte{0x60})
	case flags&FlagDCEStyle != 0:
		return bytes.HasPrefix(token, []byte{0x6f}) // AP-REP, bare
	}
	body, rest, ok := cutDER(token, 0x60)
	oid, body, isOID := cutDER(body, 0x06)
	return ok && len(rest) == 0 && isOID && OID(oid) == KRB5 && bytes.HasPrefix(body, []byte{2, 0})
}

// spnegoAnswer takes a NegTokenResp apart (RFC 4178 section 4.2.2): the mechanism chosen and its token, where they are there.
func spnegoAnswer(token []byte) (mech OID, inner []byte, ok bool) {
	body, rest, ok := cutDER(token, 0xa1)
	if !ok || len(rest) > 0 {
		return "", nil, false
	}
	if body, rest, ok = cutDER(body, 0x30); !ok || len(rest) > 0 {
		return "", nil, false
	}
	for n, tag := range []byte{0x0a, 0x06, 0x04, 0x04} { // negState, supportedMech, responseToken, mechListMIC
		field, after, there := cutDER(body, 0xa0+byte(n))
		if !there {
			continue
		}
		value, rest, ok := cutDER(field, tag)
		if !ok || len(rest) > 0 {
			return "", nil, false
		}
		switch n {
		case 1:
			mech = OID(value)
		case 2:
			inner = value
		}
		body = after
	}
	return mech, inner, len(body) == 0
}

// cutDER splits off the first element, which must have the tag (a single byte) and a definite length.
func cutDER(b []byte, tag byte) (content, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, b := int(b[1]), b[2:]
	if n >= 0x80 {
		bytes := n & 0x7f
		if bytes < 1 || bytes > 3 || len(b) < bytes {
			return nil, nil, false
		}
		n = 0
		for _, c := range b[:bytes] {
			n = n<<8 | int(c)
		}
		b = b[bytes:]
	}
	if n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// Heimdal has no acceptor's credential for one service on any host. It gets one for any key, and what comes of it is
// looked at: hasKey when it is acquired, allows when a context is established.

// anyHost takes a name without a host out of what the library is asked for.
func (a *acquisition) anyHost() {
	a.asked = a.name
	if a.name.typ == NTHostBased && !strings.Contains(a.name.text, "@") {
		a.name, a.service = Name{}, a.name.text
	}
}

// hasKey reports whether the keytab has a key of the service.
func (a *acquisition) hasKey(keytab string) bool {
	if a.service == "" {
		return true
	}
	facts := krb5Keytab(keytab, a.asked)
	_, keys := readKeytab(&facts)
	return len(keys) > 0
}

// allows reports whether an acceptor's credential is for what was accepted with it. Heimdal's SPNEGO also takes
// mechanisms that nobody has asked for.
func (a *acquisition) allows(acceptor Name, mech OID) bool {
	if a.service != "" && !strings.HasPrefix(acceptor.text, a.service+"/") {
		return false
	}
	return !heimdal || len(a.neg) == 0 || bytes.Contains(a.neg, packOIDs([]OID{mech}))
}

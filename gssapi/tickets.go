package gssapi

import (
	"bytes"
	"crypto/sha256"
	"strings"
)

// identity is whom an accepted token is from and for, as far as it is known before the context is asked.
type identity struct {
	names    []byte // both, as ctxInfo packs them
	acceptor Name
}

// tickets has whom tickets are from and for that were accepted with one set of keys. MIT krb5 makes four krb5 contexts to tell one
// name, and a client sends the same ticket for as long as it is good.
//
// The library has decrypted and checked a token's ticket in every case before it is looked for here. Left out is only the question
// for the names, which are the one inside of the ticket, and that of the key that has opened it.
type tickets map[ticketID]identity

// ticketID stands for all bytes of a ticket; zero is none.
type ticketID [sha256.Size]byte

const (
	maxTickets = 8192
	maxTicket  = 32 << 10 // the sum of a larger one takes as long as the question
)

// keep notes what the library has told, if anything is to be kept. Names that not the ticket alone decides about are left out: whether
// MIT krb5 calls an anonymous user that has to do with the authenticator.
func (t tickets) keep(of ticketID, id identity) {
	u := unpack{id.names}
	if n := u.name(); t == nil || of == (ticketID{}) || n.typ != NTKRB5Principal || strings.HasPrefix(n.text, "WELLKNOWN/") {
		return
	}
	if _, ok := t[of]; ok {
		return
	}
	for some := range t {
		if len(t) < maxTickets {
			break
		}
		delete(t, some)
	}
	t[of] = id
}

// ticketOf is zero for a token that could be read in two ways, as another ticket than the one that the library has read must not be
// found: all elements have to be there in their order and nothing else, with lengths as DER has them, and each to end where the one
// around it does. Inside SPNEGO (RFC 4178 section 4.2.1) the ticket is that of the first mechanism in the list.
func ticketOf(token []byte) ticketID {
	if len(token) > maxTicket {
		return ticketID{}
	}
	var s strict
	b := s.only(token, 0x60)
	mech := OID(s.cut(&b, 0x06))
	if mech == SPNEGO {
		b = s.only(b, 0xa0, 0x30)
		mechs := s.only(s.cut(&b, 0xa0), 0x30)
		first := OID(s.cut(&mechs, 0x06))
		s.bad = s.bad || first != KRB5 && first != KRB5MS
		for len(mechs) > 0 {
			n := len(s.cut(&mechs, 0x06))
			s.bad = s.bad || n == 0 || n > 0x7f // MIT krb5 counts them in another way
		}
		b = s.only(b, 0xa2, 0x04, 0x60)
		mech = OID(s.cut(&b, 0x06))
	}
	b, initial := bytes.CutPrefix(b, []byte{1, 0})
	b = s.only(b, 0x6e, 0x30) // RFC 4120 section 5.5.1
	for _, tag := range []byte{0xa0, 0xa1, 0xa2} {
		s.cut(&b, tag)
	}
	ticket := s.cut(&b, 0xa3)
	s.cut(&b, 0xa4)
	if s.bad || len(b) > 0 || !initial || mech != KRB5 {
		return ticketID{}
	}
	return sha256.Sum256(ticket)
}

// strict takes elements apart. It is bad after one that is not as asked for.
type strict struct{ bad bool }

// cut takes the element with a tag off what begins with it, and returns what is inside.
func (s *strict) cut(b *[]byte, tag byte) []byte {
	inside, rest, ok := cutDER(*b, tag)
	header := 2
	if n := len(inside); n >= 0x80 {
		for header++; n > 0xff; n >>= 8 {
			header++
		}
	}
	s.bad = s.bad || !ok || len(*b) != header+len(inside)+len(rest)
	*b = rest
	return inside
}

// only returns what is inside of elements within each other that there is nothing beside.
func (s *strict) only(b []byte, tags ...byte) []byte {
	for _, tag := range tags {
		inside := s.cut(&b, tag)
		s.bad = s.bad || len(b) > 0
		b = inside
	}
	return b
}

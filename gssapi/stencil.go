package gssapi

import (
	"bytes"
	"sync/atomic"
	"time"
)

// stencil is what the first tokens for a target have in common where a context is to authenticate and no more, and to ask for no
// answer (Options.AuthOnly, without FlagMutual). Of such a token nothing is needed once it was sent, so that no context has to be
// made for it: no names copied, no keys derived, no krb5.conf asked by the two krb5_contexts that MIT krb5 makes for each of its own.
//
// It is cut from a token that the library has made. What is in the middle, the AP-REQ (RFC 4120 section 5.5.1), is then made by the
// function of libkrb5 that gss_init_sec_context has it from; what is around it, and the checksum in its authenticator, which has the flags
// and the MD5 of the bindings (RFC 4121 section 4.1.1), are copied. A stencil is used once such a token, decrypted, has turned out to be
// the same as the library's but for what is different in each: time, subkey and sequence number.
type stencil struct {
	flags    Flags
	bindings string // packed

	// bad is one that is not to be used: the library makes other tokens, or the acceptor wanted more than one.
	bad atomic.Bool

	around   []frame
	checksum []byte
	like     result // what came with the library's token; names are both, as ctxInfo packs them
}

// frame is an element with what is inside of it before another one, and behind that.
type frame struct {
	tag           byte
	before, after []byte
}

// stencilled says whether a leg's token needs no context.
func (l *leg) stencilled() bool {
	return l.opts.AuthOnly && l.opts.Flags&(FlagMutual|FlagDCEStyle) == 0 && l.opts.Lifetime == 0
}

// fits says whether the stencil is for tokens like a leg's. It may be bad.
func (s *stencil) fits(l *leg) bool {
	return s.flags == l.opts.Flags && s.bindings == string(l.bindings)
}

// cut makes a stencil of what the library has made of a snapshot. It is nil where something changed meanwhile.
func cut(watch box, sn snapshot, l *leg, like result) *stencil {
	s := &stencil{flags: l.opts.Flags, bindings: string(l.bindings)}
	s.bad.Store(true)
	around, request := split(bytes.Clone(like.out), tokenTags(l.opts.Mech)...) // the caller may write over its token
	plain := open(sn, request)
	defer clear(plain)
	sum := checksum(plain)
	info := ctxInfo(l.handle.box, KRB5, Name{})
	if sum == nil || info.failed() {
		return s
	}
	s.around, s.checksum, s.like = around, sum, like
	s.like.out, s.like.names = nil, info.out
	made := snapshotRequest(watch, sn.box, s)
	if made.flags == snapshotLater {
		return nil
	}
	_, again := split(made.out, tokenTags(l.opts.Mech)...)
	opened := open(sn, again)
	defer clear(opened)
	s.bad.Store(!alike(request, again) || !sameAuthenticator(plain, opened))
	return s
}

// accepted is what the library would say to an answer that takes a token by the stencil and wants no more (RFC 4178 section
// 4.2.2). It is nothing where there is another answer. A mechListMIC is not looked at, as there is no key for it: who asks for no mutual
// authentication believes the answer of anybody, and the mechanism is the one that was to be the first choice.
func (s *stencil) accepted(answer []byte, ends time.Time) (r result, ok bool) {
	var d strict
	b := d.only(answer, 0xa1, 0x30)
	state, mech := d.only(d.cut(&b, 0xa0), 0x0a), KRB5
	if len(b) > 0 && b[0] == 0xa1 {
		mech = OID(d.only(d.cut(&b, 0xa1), 0x06))
	}
	if len(b) > 0 && b[0] == 0xa2 {
		d.bad = d.bad || len(d.only(d.cut(&b, 0xa2), 0x04)) > 0 // a token, which the library is to refuse
	}
	if len(b) > 0 {
		d.only(d.cut(&b, 0xa3), 0x04)
	}
	if d.bad || len(b) > 0 || !bytes.Equal(state, []byte{0}) || mech != KRB5 && mech != KRB5MS {
		return result{}, false
	}
	r = s.like
	r.by, r.mech, r.major, r.lifetime = s, KRB5, 0, uint32(ends.Unix()-time.Now().Unix())
	return r, true
}

// token puts around an AP-REQ what belongs there.
func (s *stencil) token(request []byte) []byte {
	var sizes [8]int
	n := len(request)
	for i := len(s.around) - 1; i >= 0; i-- {
		f := &s.around[i]
		var header [5]byte
		sizes[i] = len(f.before) + n + len(f.after)
		n = len(appendHeader(header[:0], f.tag, sizes[i])) + sizes[i]
	}
	out := make([]byte, 0, n)
	for i := range s.around {
		out = append(appendHeader(out, s.around[i].tag, sizes[i]), s.around[i].before...)
	}
	out = append(out, request...)
	for i := len(s.around) - 1; i >= 0; i-- {
		out = append(out, s.around[i].after...)
	}
	return out
}

// appendHeader appends an element's tag and length, as DER has them.
func appendHeader(b []byte, tag byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(b, tag, byte(n))
	case n <= 0xff:
		return append(b, tag, 0x81, byte(n))
	case n <= 0xffff:
		return append(b, tag, 0x82, byte(n>>8), byte(n))
	}
	return append(b, tag, 0x83, byte(n>>16), byte(n>>8), byte(n))
}

// tokenTags are those of the elements within each other that lead to the AP-REQ in a token (RFC 4178 section 4.2.1, RFC 4121 section 4.1).
func tokenTags(mech OID) []byte {
	if mech == SPNEGO {
		return []byte{0x60, 0xa0, 0x30, 0xa2, 0x04, 0x60, 0x6e}
	}
	return []byte{0x60, 0x6e}
}

// requestTags lead to the ciphertext of an AP-REQ's authenticator (RFC 4120 section 5.5.1).
var requestTags = []byte{0x6e, 0x30, 0xa4, 0x30, 0xa2, 0x04}

// split takes elements within each other apart. Inner is the one with the last tag, header and all; it is nil where they are not like that.
func split(b []byte, tags ...byte) (around []frame, inner []byte) {
	var s strict
	for i, tag := range tags[:len(tags)-1] {
		inside := s.only(b, tag)
		rest := inside
		for len(rest) > 0 && rest[0] != tags[i+1] && !s.bad {
			s.cut(&rest, rest[0])
		}
		after := rest
		s.cut(&after, tags[i+1])
		if s.bad {
			return nil, nil
		}
		b = rest[:len(rest)-len(after)]
		around = append(around, frame{tag, inside[:len(inside)-len(rest)], after})
	}
	return around, b
}

// open decrypts the authenticator of an AP-REQ. The caller wipes it.
func open(sn snapshot, request []byte) []byte {
	_, cipher := split(request, requestTags...)
	if cipher == nil {
		return nil
	}
	cipher, _, _ = cutDER(cipher, 0x04)
	return snapshotOpen(sn.box, cipher)
}

// alike says whether two AP-REQs differ in nothing but an authenticator.
func alike(a, b []byte) bool {
	x, inner := split(a, requestTags...)
	y, other := split(b, requestTags...)
	if inner == nil || other == nil {
		return false
	}
	for i := range x {
		if !bytes.Equal(x[i].before, y[i].before) || !bytes.Equal(x[i].after, y[i].after) {
			return false
		}
	}
	return true
}

// authenticator takes the fields of one apart, by their numbers. What is encrypted may end in padding.
func authenticator(plain []byte) (fields [9][]byte, ok bool) {
	var s strict
	b := s.only(s.cut(&plain, 0x62), 0x30)
	for tag := range fields {
		if len(b) > 0 && b[0] == 0xa0+byte(tag) {
			fields[tag] = s.cut(&b, b[0])
		}
	}
	return fields, !s.bad && len(b) == 0
}

const (
	fieldChecksum     = 3
	fieldMicroseconds = 4
	fieldSeconds      = 5
	fieldSubkey       = 6
	fieldSequence     = 7
)

// checksum is what GSSAPI has put into the place of one. It is nil where that is not all that it has there.
func checksum(plain []byte) []byte {
	fields, ok := authenticator(plain)
	var s strict
	b := s.only(fields[fieldChecksum], 0x30)
	typ := s.only(s.cut(&b, 0xa0), 0x02)
	sum := s.only(s.cut(&b, 0xa1), 0x04)
	if !ok || s.bad || len(b) > 0 || !bytes.Equal(typ, []byte{0, 0x80, 0x03}) || len(sum) != 24 {
		return nil
	}
	return bytes.Clone(sum)
}

// sameAuthenticator says whether two differ in nothing but time, sequence number and the subkey's value.
func sameAuthenticator(a, b []byte) bool {
	x, ok := authenticator(a)
	y, ok2 := authenticator(b)
	if !ok || !ok2 {
		return false
	}
	for tag := range x {
		switch tag {
		case fieldMicroseconds, fieldSeconds, fieldSequence:
			if len(x[tag]) == 0 || len(y[tag]) == 0 {
				return false
			}
		case fieldSubkey:
			if !sameKind(x[tag], y[tag]) {
				return false
			}
		default:
			if !bytes.Equal(x[tag], y[tag]) {
				return false
			}
		}
	}
	return true
}

// sameKind says whether two keys are of one type and length.
func sameKind(a, b []byte) bool {
	var s strict
	key := func(b []byte) (typ, value []byte) {
		b = s.only(b, 0x30)
		typ, value = s.cut(&b, 0xa0), s.only(s.cut(&b, 0xa1), 0x04)
		s.bad = s.bad || len(b) > 0
		return typ, value
	}
	t, v := key(a)
	u, w := key(b)
	return !s.bad && bytes.Equal(t, u) && len(v) == len(w)
}

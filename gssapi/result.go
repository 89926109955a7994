package gssapi

import (
	"encoding/binary"
	"strings"
	"time"
	"unsafe"
)

// box is the address of something that the C side owns; Go never looks inside.
type box unsafe.Pointer

// result is what a call of the library gave, in Go memory.
type result struct {
	major, minor    uint32
	text            string // the library's words on minor
	out             []byte
	flags, lifetime uint32
	mech            OID
	box             box
	by              *stencil // that the token is by: there is no context

	names        []byte // an established context's, packed
	acceptor     Name   // of an accepted one
	detail, hint string // set by explain
	expired      bool
	impersonator string // who acts for the credential's user
	user         string // who that is
}

const (
	statusErrors = 0xffff0000 // calling and routine errors; what is below is information

	statusContinue    = 1 << 0
	statusDuplicate   = 1 << 1
	statusOld         = 1 << 2
	statusUnsequenced = 1 << 3
	statusGap         = 1 << 4
)

// failed says whether the major status is an error (GSS_ERROR).
func (r *result) failed() bool { return r.major&statusErrors != 0 }

// err is nil for a success, and otherwise an *Error of the named operation. cancelled is what
// slots.run returned beside the result.
func (r *result) err(op, name string, cancelled error) error {
	if cancelled != nil {
		if u, ok := cancelled.(unbegun); ok {
			cancelled = u.error
		}
		return &Error{Op: op, Name: name, Code: ErrFailure, cause: cancelled}
	}
	if !r.failed() {
		return nil
	}
	return &Error{Op: op, Name: name, Code: Code(r.major & statusErrors), Minor: r.minor, Text: short(r.text), Detail: short(r.detail), Hint: short(r.hint), expired: r.expired}
}

// maxText bounds what an error says: there are names in it that come from the peer, who may make them as long as its token.
const maxText = 1024

func short(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

const indefinite = 1<<32 - 1 // GSS_C_INDEFINITE

// seconds turns a lifetime to ask for into the library's; zero is the library's default or most.
func seconds(d time.Duration, zero int64) uint32 {
	if d <= 0 {
		return uint32(zero)
	}
	n := int64(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return uint32(min(n, indefinite))
}

// expiry turns a remaining lifetime into a time; the zero time is never. It is the wall clock's, in whole seconds, as
// tickets have it.
func expiry(lifetime uint32) time.Time {
	if int64(lifetime) == indefinite {
		return time.Time{}
	}
	return time.Unix(time.Now().Unix()+int64(lifetime), 0)
}

// contextExpiry is expiry for an established context of a mechanism. MIT krb5 counts on below zero behind the end of a ticket
// whose context is still good, by what clocks may differ, and one second behind it that is the number of what has no end.
func contextExpiry(lifetime uint32, mech OID) time.Time {
	if left := int32(lifetime); left < 0 && (mech == KRB5 || lifetime != indefinite) {
		return time.Unix(time.Now().Unix()+int64(left), 0)
	}
	return expiry(lifetime)
}

// unpack reads the records that the C side packs: numbers of 32 bits in the machine's order, and
// strings behind their length.
type unpack struct{ b []byte }

func (u *unpack) u32() uint32 {
	if len(u.b) < 4 {
		u.b = nil
		return 0
	}
	v := binary.NativeEndian.Uint32(u.b)
	u.b = u.b[4:]
	return v
}

func (u *unpack) bytes() []byte {
	n := min(int64(u.u32()), int64(len(u.b)))
	s := u.b[:n]
	u.b = u.b[n:]
	return s
}

func (u *unpack) string() string { return string(u.bytes()) }

func (u *unpack) name() Name {
	text := strings.TrimRight(u.string(), "\x00") // gss-ntlmssp counts the end of a C string as well
	return Name{text, internOID(u.bytes())}
}

func (u unpack) oids() []OID {
	var l []OID
	for len(u.b) > 0 {
		l = append(l, internOID(u.bytes()))
	}
	return l
}

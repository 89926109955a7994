package gssapi

import (
	"bytes"
	"encoding/binary"
	"math"
)

// IOV is one part of a message: a protocol's own layout of data and what protects it (gss_iov_buffer_desc, an extension
// that MIT krb5 and Heimdal share with Microsoft's SSPI).
type IOV struct {
	Type IOVType
	Data []byte
}

// IOVType says what a part is.
type IOVType uint32

const (
	IOVEmpty      IOVType = 0  // nothing
	IOVData       IOVType = 1  // the message: signed, and encrypted where confidential
	IOVHeader     IOVType = 2  // the mechanism's; made by WrapIOV
	IOVMechParams IOVType = 3  // the mechanism's parameters; Kerberos has none
	IOVTrailer    IOVType = 7  // the mechanism's; made by WrapIOV
	IOVPadding    IOVType = 9  // made by WrapIOV; empty with the encryption types of today
	IOVStream     IOVType = 10 // a whole token of Wrap or WrapAEAD, for UnwrapIOV
	IOVSignOnly   IOVType = 11 // signed, and neither encrypted nor part of the token: both sides have it
	IOVMICToken   IOVType = 12 // the signature of MICIOV, which it makes
)

// slack is room behind the parts. The library looks for a header as long as the whole token where the part may be shorter.
const slack = 64

// packIOV writes the parts for the C side, which may change the bytes: they are a copy.
func packIOV(op string, iov []IOV, stream bool) ([]byte, error) {
	fail := func(text string) ([]byte, error) { return nil, &Error{Op: op, Code: ErrFailure, Text: text} }
	size := slack
	for _, v := range iov {
		switch {
		case v.Type > IOVMICToken:
			return fail("a part has a type that is none") // its bits could say that the library is to free Go's memory
		case v.Type == IOVStream && !stream:
			return fail("a part is a stream, which only UnwrapIOV takes") // on which MIT's gss_verify_mic_iov aborts
		case len(v.Data) > math.MaxInt32-size:
			return fail("the message is too long")
		}
		size += 8 + len(v.Data)
	}
	if len(iov) == 0 {
		return fail("the message has no parts")
	}
	p := make([]byte, 0, size)
	for _, v := range iov {
		p = binary.NativeEndian.AppendUint32(p, uint32(v.Type))
		p = binary.NativeEndian.AppendUint32(p, uint32(len(v.Data)))
		p = append(p, v.Data...)
	}
	return p[:size], nil
}

// unpackIOV gives the parts what the C side has made of them.
func unpackIOV(iov []IOV, packed []byte) []IOV {
	out := make([]IOV, len(iov))
	u := unpack{packed}
	for n := range out {
		b := u.bytes()
		out[n] = IOV{iov[n].Type, b[:len(b):len(b)]}
	}
	return out
}

// WrapIOV protects a message in parts for the peer's UnwrapIOV (gss_wrap_iov): IOVData is signed, and encrypted where
// confidential, IOVSignOnly is signed alone. iov is left as it is; the result is the same parts with their new contents.
// IOVHeader, IOVPadding and IOVTrailer are made, whatever is in them. These orders work with every mechanism:
//
//	Header, Data, Padding, Trailer            // without the names of the parts it is what Wrap makes
//	Header, SignOnly, Data, Padding, Trailer  // the same with SignOnly left out is what WrapAEAD makes
//	SignOnly, Data, SignOnly, Header          // with FlagDCEStyle, where Data is a multiple of 16 bytes
//
// As with Wrap, a context that does not encrypt is an error where confidential is asked for. With Heimdal it is
// ErrUnavailable.
func (c *SecContext) WrapIOV(iov []IOV, confidential bool) ([]IOV, error) {
	const op = "wrap a message in parts"
	packed, err := packIOV(op, iov, false)
	if err != nil {
		return nil, err
	}
	r, err := c.use(op, func(b box) result { return wrapIOV(b, packed, len(iov), confidential) })
	if err != nil {
		return nil, err
	}
	if confidential && r.flags == 0 {
		return nil, &Error{Op: op, Code: ErrFailure, Text: "the context does not encrypt"}
	}
	return unpackIOV(iov, r.out), nil
}

// UnwrapIOV checks and opens a message in parts (gss_unwrap_iov): those of the peer's WrapIOV in the same order, or a
// whole token as IOVStream with one IOVData, which takes the message, and the IOVSignOnly that belong to it. iov is left
// as it is; the result is the same parts, IOVData with the message. Errors and [Protection] are those of Unwrap.
//
// Heimdal does not check what is only signed: WrapIOV and UnwrapIOV are ErrUnavailable.
func (c *SecContext) UnwrapIOV(iov []IOV) ([]IOV, Protection, error) {
	const op = "unwrap a message in parts"
	packed, err := packIOV(op, iov, true)
	if err != nil {
		return nil, Protection{}, err
	}
	r, err := c.use(op, func(b box) result { return unwrapIOV(b, packed, len(iov)) })
	if err != nil {
		return nil, Protection{}, err
	}
	return unpackIOV(iov, r.out), protection(&r), nil
}

// MICIOV signs a message in parts (gss_get_mic_iov): IOVData and IOVSignOnly in their order. The result is the same parts,
// and IOVMICToken, which has to be among them once, has the signature. It is the one that [SecContext.MIC] makes of all
// of them in a row.
//
// Heimdal has none: ErrUnavailable.
func (c *SecContext) MICIOV(iov []IOV) ([]IOV, error) {
	const op = "sign a message in parts"
	packed, err := packIOV(op, iov, false)
	if err != nil {
		return nil, err
	}
	r, err := c.use(op, func(b box) result { return micIOV(b, packed, len(iov)) })
	if err != nil {
		return nil, err
	}
	return unpackIOV(iov, r.out), nil
}

// VerifyMICIOV checks what the peer's MICIOV made (gss_verify_mic_iov), or its MIC. A message that was changed is ErrBadMIC.
//
// Heimdal has none: ErrUnavailable.
func (c *SecContext) VerifyMICIOV(iov []IOV) (Protection, error) {
	const op = "verify a message in parts"
	for _, part := range iov {
		if part.Type == IOVMICToken && !filledMIC(part.Data) {
			return Protection{}, &Error{Op: op, Code: ErrDefectiveToken}
		}
	}
	packed, err := packIOV(op, iov, false)
	if err != nil {
		return Protection{}, err
	}
	r, err := c.use(op, func(b box) result { return verifyMICIOV(b, packed, len(iov)) })
	if err != nil {
		return Protection{}, err
	}
	return protection(&r), nil
}

// filledMIC reports whether a token has the filler of RFC 4121 section 4.2.6.1, or is one of RFC 1964. Where another number
// stands in its place, which nobody has to know a key for, the process may end.
func filledMIC(token []byte) bool {
	return bytes.HasPrefix(token, []byte{0x60}) || bytes.HasPrefix(token, []byte{1, 1}) ||
		len(token) >= 8 && bytes.HasPrefix(token, []byte{4, 4}) && bytes.Equal(token[3:8], bytes.Repeat([]byte{0xff}, 5))
}

// WrapAEAD protects a message as Wrap does, and signs assoc with it, which both sides have and which does not travel in
// the token (gss_wrap_aead, draft-howard-gssapi-aead). assoc may be empty. With Heimdal it is ErrUnavailable.
func (c *SecContext) WrapAEAD(assoc, msg []byte, confidential bool) ([]byte, error) {
	const op = "wrap a message with associated data"
	r, err := c.use(op, func(b box) result { return wrapAEAD(b, assoc, msg, confidential) })
	if err != nil {
		return nil, err
	}
	if confidential && r.flags == 0 {
		return nil, &Error{Op: op, Code: ErrFailure, Text: "the context does not encrypt"}
	}
	return r.out, nil
}

// UnwrapAEAD checks and opens what the peer's WrapAEAD made with the same assoc (gss_unwrap_aead). Another assoc is
// ErrBadMIC, as a changed message is.
//
// Heimdal cannot: ErrUnavailable.
func (c *SecContext) UnwrapAEAD(assoc, token []byte) ([]byte, Protection, error) {
	const op = "unwrap a message with associated data"
	if len(token) == 0 {
		return nil, Protection{}, emptyToken(op)
	}
	token = bytes.Clone(token) // it is decrypted in place
	r, err := c.use(op, func(b box) result { return unwrapAEAD(b, assoc, token) })
	if err != nil {
		return nil, Protection{}, err
	}
	return r.out, protection(&r), nil
}

package gssapi

import (
	"bytes"
	"strings"
	"time"
)

// KRB5SASLSSF is the strength of the context's key as SASL counts it, roughly in bits: four bytes, the highest first
// (GSS_C_SEC_CONTEXT_SASL_SSF of MIT krb5), for [SecContext.Inquire].
const KRB5SASLSSF OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x05\x0f"

const (
	objectSessionKey OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x05\x05" // GSS_C_INQ_SSPI_SESSION_KEY
	objectLucid      OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x05\x06" // and a version
	objectAuthData   OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x05\x0a" // and a type
	objectEnctype    OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x04"     // and its number, in the session key's answer
)

// checkObject refuses what no library may be asked for.
func checkObject(op string, object OID) error {
	switch {
	case object == "" || len(object) > maxOID:
		return &Error{Op: op, Name: object.String(), Code: ErrUnavailable, Text: "it is no object identifier that a library can know"}
	case strings.HasPrefix(string(object), string(objectLucid)):
		// MIT answers with an address in its memory, and with the memory.
		return &Error{Op: op, Name: object.String(), Code: ErrUnavailable, Text: "ExportLucid is for this"}
	}
	return nil
}

// Inquire asks the mechanism for something that it tells under an object identifier of its own, of an established
// context (gss_inquire_sec_context_by_oid, of the Global Grid Forum's GFD.24). The values are in the mechanism's format. What it
// does not know is ErrUnavailable. What is common to ask for has a method: [SecContext.SessionKey], [SecContext.Ticket],
// [SecContext.AuthorizationData] and [SecContext.ExportLucid]; others are [KRB5SASLSSF] and what plug-ins document.
//
// Heimdal's other objects are ErrUnavailable: it does not tell the unknown ones from those that fail.
func (c *SecContext) Inquire(object OID) ([][]byte, error) {
	const op = "ask a context for"
	if err := checkObject(op, object); err != nil {
		return nil, err
	}
	if heimdal && object != objectSessionKey {
		return nil, &Error{Op: op, Name: object.String(), Code: ErrUnavailable, Text: "Heimdal tells the session key alone"}
	}
	r, err := c.use(op+" "+object.String(), func(b box) result { return ctxInquire(b, object) })
	if err != nil {
		return nil, err
	}
	return r.values(), nil
}

// values unpacks a list of byte strings.
func (r *result) values() [][]byte {
	var l [][]byte
	for u := (unpack{r.out}); len(u.b) > 0; {
		l = append(l, bytes.Clone(u.bytes()))
	}
	return l
}

// SessionKey returns the context's key and its encryption type by the numbers of RFC 3961 section 8, as SMB and other
// protocols of Microsoft take it from the context (gss_inquire_sec_context_by_oid with GSS_C_INQ_SSPI_SESSION_KEY; Heimdal's
// gsskrb5_get_subkey is the same key). With Kerberos it is the acceptor's
// subkey where there is one, and else the initiator's. Who has it reads all messages of the context: prefer
// [SecContext.PRF] where the protocol lets you choose.
//
// The type is zero where the library does not tell it, as Heimdal.
func (c *SecContext) SessionKey() (key []byte, enctype int32, err error) {
	const op = "read the session key of a context"
	r, err := c.use(op, func(b box) result { return ctxInquire(b, objectSessionKey) })
	if err != nil {
		return nil, 0, err
	}
	values := r.values()
	if len(values) == 0 || len(values[0]) == 0 {
		return nil, 0, &Error{Op: op, Code: ErrUnavailable, Text: "the mechanism has none"}
	}
	if len(values) > 1 {
		enctype = readArc(values[1], objectEnctype)
	}
	return values[0], enctype, nil
}

// readArc reads the one number behind a prefix. Zero is none.
func readArc(oid []byte, prefix OID) int32 {
	tail, ok := bytes.CutPrefix(oid, []byte(prefix))
	if !ok || len(tail) == 0 || len(tail) > 4 {
		return 0
	}
	var n int32
	for _, b := range tail {
		n = n<<7 | int32(b&0x7f)
	}
	return n
}

// appendArc puts a number behind a prefix.
func appendArc(prefix OID, n int32) OID {
	tail := []byte{byte(n & 0x7f)}
	for n >>= 7; n > 0; n >>= 7 {
		tail = append([]byte{byte(n&0x7f) | 0x80}, tail...)
	}
	return prefix + OID(tail)
}

// TicketInfo is what a context of Kerberos tells of the ticket that it was made with.
type TicketInfo struct {
	AuthTime time.Time // when the user has logged in, by the KDC's clock
	Flags    TicketFlags
}

// Ticket tells of the ticket that an established context was made with, on either side
// (gsskrb5_extract_authtime_from_sec_context and gss_krb5_get_tkt_flags). It asks nobody. A mechanism that is not
// Kerberos is ErrUnavailable, and so is Heimdal's initiator.
func (c *SecContext) Ticket() (TicketInfo, error) {
	r, err := c.use("read the ticket of a context", ctxTicket)
	if err != nil {
		return TicketInfo{}, err
	}
	return TicketInfo{time.Unix(int64(r.lifetime), 0), TicketFlags(r.flags)}, nil
}

// AuthorizationData returns the elements of one type in the ticket's and the authenticator's authorization data, as they are encoded
// (gsskrb5_extract_authz_data_from_sec_context; types are those of RFC 4120 section 7.5.4, such as 1 for
// AD-IF-RELEVANT, which holds others). There may be none. An initiator does not see into its ticket and has none.
//
// The KDC has sealed the ticket's, but the authenticator's are the initiator's own words, and nothing here tells them
// apart: decide by [SecContext.Attributes], which says who vouches for what.
//
// Heimdal tells one element at most: ErrUnavailable.
func (c *SecContext) AuthorizationData(adType int32) ([][]byte, error) {
	const op = "read the authorization data of a context"
	if adType <= 0 { // on which MIT does not come back
		return nil, &Error{Op: op, Code: ErrUnavailable, Text: "the types that can be asked for begin with 1"}
	}
	r, err := c.use(op, func(b box) result { return ctxAuthData(b, adType, appendArc(objectAuthData, adType)) })
	if err != nil {
		return nil, err
	}
	return r.values(), nil
}

// SetOption sets something that the mechanism knows under an object identifier of its own, on an established context
// (gss_set_sec_context_option). MIT krb5's own mechanisms know none, before the first step or after it, and answer
// ErrUnavailable; plug-ins document theirs, such as gss-ntlmssp's sequence numbers.
//
// Heimdal's are of the thread or of the process, which goroutines cannot use: ErrUnavailable.
func (c *SecContext) SetOption(option OID, value []byte) error {
	const op = "set the option"
	if err := checkObject(op, option); err != nil {
		return err
	}
	_, err := c.use(op+" "+option.String(), func(b box) result { return ctxOption(b, option, value) })
	return err
}

// ProcessToken takes a token that is about the context and neither a step nor a message (gss_process_context_token,
// RFC 2743 section 2.2.4): with Kerberos of old, RFC 1964, the peer's word that it has deleted the context, after which
// messages are ErrNoContext. With the encryption types of today, RFC 4121, there are no such tokens, and each is
// ErrDefectiveToken. Through MIT krb5's SPNEGO it is ErrUnavailable. It is for protocols that ask for it.
//
// Heimdal does not survive it: ErrUnavailable.
func (c *SecContext) ProcessToken(token []byte) error {
	const op = "process a token about a context"
	if len(token) == 0 {
		return emptyToken(op)
	}
	_, err := c.use(op, func(b box) result { return ctxProcess(b, token) })
	return err
}

package gssapi

import (
	"bytes"
	"context"
	"slices"
	"strings"
)

// Attribute is what a mechanism knows about who a name belongs to (RFC 6680 section 7.5). With Kerberos that is what
// the KDC put into the ticket: its PAC as "urn:mspac:", each part of that under a name of its own, such as
// "urn:mspac:client-info", and how the user has logged in as "auth-indicators".
type Attribute struct {
	Value         []byte
	Display       []byte      // the value as text; empty where the library has none, as for all of the PAC
	Authenticated bool        // the KDC vouches for it, or another that the mechanism trusts, and not the user alone
	Complete      bool        // what is here is all of its values
	More          []Attribute // its further values, where it has several; they have no More
}

// Attributes returns attributes of the initiator by their names; none named are all that there are (gss_inquire_name
// and gss_get_name_attribute, RFC 6680 sections 7.4 and 7.5). One that the initiator does not have is not in the map.
// Only Kerberos has any.
//
// It needs an established context of an acceptor: the [Name] in its Info has none any more, [SecContext.Composite]'s has. When ctx
// ends, Attributes returns at once with context.Cause(ctx), and the context is of no more use.
//
// Heimdal cannot tell them: ErrUnavailable.
func (c *SecContext) Attributes(ctx context.Context, names ...string) (map[string]Attribute, error) {
	const op = "read the attributes of"
	packed, bad := packAttributes(op, c.info.Initiator, names)
	r, err := c.ofInitiator(ctx, op, bad, func(ctx box) result { return ctxAttributes(ctx, packed) })
	if err != nil {
		return nil, err
	}
	return readAttributes(r.out), nil
}

// packAttributes ends each name in a NUL, and leaves out those that come again.
func packAttributes(op string, n Name, names []string) (packed []byte, err error) {
	for i, name := range names {
		if strings.IndexByte(name, 0) >= 0 {
			return nil, &Error{Op: op, Name: n.label(), Code: ErrBadName, Text: "the name of an attribute contains a NUL byte"}
		}
		if !slices.Contains(names[:i], name) {
			packed = append(append(packed, name...), 0)
		}
	}
	return packed, nil
}

// ofInitiator asks an acceptor's context about its initiator. What is bad about the question counts after what is about the context.
func (c *SecContext) ofInitiator(ctx context.Context, op string, bad error, call func(ctx box) result) (result, error) {
	fail := func(code Code, text string) error {
		return &Error{Op: op, Name: c.info.Initiator.text, Code: code, Text: text}
	}
	switch {
	case c.closed.Load():
		return result{}, fail(ErrClosed, "")
	case !c.established || c.handle == nil || c.err != nil:
		return result{}, fail(ErrNoContext, "the context is not established")
	case c.info.Initiated:
		return result{}, fail(ErrUnavailable, "the attributes of an initiator are the acceptor's to read")
	case bad != nil:
		return result{}, bad
	}
	h := c.handle // an abandoned call must not read what is the caller's
	r, cancelled := acceptors.run(ctx, func() result {
		if !h.acquire() {
			return result{major: uint32(ErrClosed)}
		}
		defer h.release()
		return call(h.box)
	}, nil)
	if _, ok := cancelled.(unbegun); cancelled != nil && !ok {
		c.err = fail(ErrNoContext, "an earlier call was abandoned when its Go context ended")
		h.close()
	}
	return r, r.err(op, c.info.Initiator.text, cancelled)
}

// readAttributes unpacks them. A name that comes again has a further value.
func readAttributes(packed []byte) map[string]Attribute {
	m := make(map[string]Attribute)
	for u := (unpack{packed}); len(u.b) > 0; {
		name := u.string()
		a := Attribute{Authenticated: u.u32() != 0, Complete: u.u32() != 0, Value: bytes.Clone(u.bytes()), Display: bytes.Clone(u.bytes())}
		if first, ok := m[name]; ok {
			first.More = append(first.More, a)
			a = first
		}
		m[name] = a
	}
	return m
}

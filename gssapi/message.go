package gssapi

import "bytes"

// Protection is what a message turned out to be. Duplicate, Old, Unsequenced and Gap are set only where
// the context has FlagReplay or FlagSequence; the message is authentic all the same, and whether it is
// still wanted is the caller's to say (RFC 2743 section 1.2.3). Heimdal does not check the signature of such messages: there
// they are ErrBadMIC.
type Protection struct {
	Confidential bool // it was encrypted
	Duplicate    bool // it was here before
	Old          bool // too old to tell whether it was
	Unsequenced  bool // a later one was here before
	Gap          bool // an earlier one is missing
}

func protection(r *result) Protection {
	return Protection{
		Confidential: r.flags != 0,
		Duplicate:    r.major&statusDuplicate != 0,
		Old:          r.major&statusOld != 0,
		Unsequenced:  r.major&statusUnsequenced != 0,
		Gap:          r.major&statusGap != 0,
	}
}

// emptyToken is what comes of an empty token, which libraries do not all survive.
func emptyToken(op string) error { return &Error{Op: op, Code: ErrDefectiveToken} }

// use makes one call on the context. None of them asks a KDC.
func (c *SecContext) use(op string, call func(box) result) (result, error) {
	if c.handle == nil {
		return result{}, &Error{Op: op, Code: ErrNoContext}
	}
	if c.err != nil && !c.closed.Load() {
		return result{}, c.err
	}
	if !c.handle.acquire() {
		return result{}, &Error{Op: op, Code: ErrClosed}
	}
	defer c.handle.release()
	switch {
	case !c.established && c.info.Flags&FlagProtReady == 0:
		return result{}, &Error{Op: op, Code: ErrNoContext, Text: "the context is not established yet"}
	case c.opts.AuthOnly:
		return result{}, &Error{Op: op, Code: ErrUnavailable, Text: "the context is to authenticate and no more (AuthOnly)"}
	}
	r := call(c.handle.box)
	return r, r.err(op, "", nil)
}

// Wrap protects a message for the peer's Unwrap: signed, and encrypted where confidential
// (gss_wrap, RFC 2743 section 2.3.3). Where encryption was asked for and the context does not have it,
// that is an error and nothing is returned. As for every message, the context must be established, or have
// FlagProtReady: before, it is ErrNoContext.
func (c *SecContext) Wrap(msg []byte, confidential bool) ([]byte, error) {
	const op = "wrap a message"
	r, err := c.use(op, func(b box) result { return wrap(b, msg, confidential) })
	if err != nil {
		return nil, err
	}
	if confidential && r.flags == 0 {
		return nil, &Error{Op: op, Code: ErrFailure, Text: "the context does not encrypt"}
	}
	return r.out, nil
}

// Unwrap checks and opens what the peer's Wrap made (gss_unwrap, RFC 2743 section 2.3.4). A message
// that was changed is ErrBadMIC or ErrDefectiveToken. Protection says whether it was encrypted, and
// whether it came twice or out of order.
func (c *SecContext) Unwrap(token []byte) ([]byte, Protection, error) {
	const op = "unwrap a message"
	if len(token) == 0 {
		return nil, Protection{}, emptyToken(op)
	}
	token = bytes.Clone(token) // MIT krb5 decrypts in place
	r, err := c.use(op, func(b box) result { return unwrap(b, token) })
	if err != nil {
		return nil, Protection{}, err
	}
	return r.out, protection(&r), nil
}

// MIC signs a message that travels beside its signature (gss_get_mic, RFC 2743 section 2.3.1).
func (c *SecContext) MIC(msg []byte) ([]byte, error) {
	r, err := c.use("sign a message", func(b box) result { return mic(b, msg) })
	if err != nil {
		return nil, err
	}
	return r.out, nil
}

// VerifyMIC checks what the peer's MIC made (gss_verify_mic, RFC 2743 section 2.3.2). A message that
// was changed is ErrBadMIC.
func (c *SecContext) VerifyMIC(msg, token []byte) (Protection, error) {
	const op = "verify a message"
	if len(token) == 0 {
		return Protection{}, emptyToken(op)
	}
	r, err := c.use(op, func(b box) result { return verifyMIC(b, msg, token) })
	if err != nil {
		return Protection{}, err
	}
	return protection(&r), nil
}

// WrapSizeLimit returns the size in bytes of the longest message that Wrap makes no longer than max
// bytes (gss_wrap_size_limit, RFC 2743 section 2.2.7).
func (c *SecContext) WrapSizeLimit(confidential bool, max int) (int, error) {
	if max < 0 {
		max = 0
	}
	r, err := c.use("find the size limit of a message", func(b box) result {
		return wrapSize(b, uint32(min(int64(max), indefinite)), confidential)
	})
	return int(r.flags), err
}

// Export turns an established context into bytes for [ImportSecContext], in this or in another process
// (gss_export_sec_context, RFC 2743 section 2.2.8). The context is gone from here afterwards. The bytes
// hold its keys. Only a context with FlagTransferable can be exported.
func (c *SecContext) Export() ([]byte, error) {
	r, err := c.use("export a context", ctxExport)
	if err != nil {
		return nil, err
	}
	c.Close()
	return r.out, nil
}

// ImportSecContext takes over a context that Export gave away (gss_import_sec_context, RFC 2743
// section 2.2.9). The bytes are trusted as they are, and must be: the process may end over damaged ones.
func ImportSecContext(token []byte) (*SecContext, error) {
	r := ctxImport(token)
	if err := r.err("import a context", "", nil); err != nil {
		return nil, err
	}
	c := newSecContext(nil)
	c.handle.box = r.box
	c.established = true
	info := ctxInfo(r.box, "", Name{})
	if err := info.err("import a context", "", nil); err != nil {
		c.Close()
		return nil, err
	}
	c.info.Flags, c.info.Expires = Flags(info.flags), expiry(info.lifetime)
	rest := c.setNames(info.out)
	c.info.Initiated = rest.u32() != 0
	return c, nil
}

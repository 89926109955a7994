package gssapi

import "math"

// PRFKey is the key that [SecContext.PRF] derives others from.
type PRFKey int

const (
	PRFFull    PRFKey = iota // GSS_C_PRF_KEY_FULL: of both sides
	PRFPartial               // GSS_C_PRF_KEY_PARTIAL: the initiator's alone, which it knows with its first token
)

// PRF makes n bytes out of the context's key and in (gss_pseudo_random, RFC 4401 section 2; for Kerberos RFC 4402 as RFC 7802
// corrects it). The peer that gives the same in gets the same bytes, and nobody else can: keys for another protocol
// are made of them. They are secret. Shorter results are the beginnings of longer ones.
//
// It asks nobody, and may be called any number of times. Where the mechanism has none it is ErrUnavailable.
func (c *SecContext) PRF(key PRFKey, in []byte, n int) ([]byte, error) {
	const op = "derive a key from a context"
	switch {
	case key != PRFFull && key != PRFPartial:
		return nil, &Error{Op: op, Code: ErrFailure, Text: "there is no such key: it is PRFFull or PRFPartial"}
	case n < 0 || n > math.MaxInt32:
		return nil, &Error{Op: op, Code: ErrFailure, Text: "the number of bytes is out of range"}
	}
	// Heimdal makes none of nothing.
	r, err := c.use(op, func(b box) result { return prf(b, key == PRFFull, in, max(n, 1)) })
	if err != nil {
		return nil, err
	}
	return r.out[:min(n, len(r.out))], nil
}

package negotiate

import (
	"context"
	"crypto/x509"

	"github.com/nego-sso/nego/gssapi"
)

// handshake is the authentication to one peer in the course of one request: the origin, or the proxy before it.
type handshake struct {
	trace  *Trace
	target gssapi.Name
	opts   gssapi.Options // flags and mechanism; bindings are added

	sc    *gssapi.SecContext // nil until there is a token to make
	leaf  *x509.Certificate  // that sc is bound to; nil: to none
	token []byte             // for the next leg
	size  int                // of the field value that carried the last one
	sent  int                // tokens of sc that went out
	early bool               // the first one went out before the peer had asked
}

// begin makes the first token of a fresh context, bound to the server's certificate where there is one.
func (h *handshake) begin(ctx context.Context, leaf *x509.Certificate) error {
	h.end()
	o := h.opts
	if leaf != nil {
		o.ChannelBinding = EndPoint(leaf)
	}
	h.sc, h.leaf, h.sent = gssapi.NewInitiator(h.target, &o), leaf, 0
	return h.step(ctx, nil)
}

// step makes the next token.
func (h *handshake) step(ctx context.Context, in []byte) (err error) {
	h.token, err = step(ctx, h.trace, h.sc, "initiate", in)
	if err != nil {
		h.token = nil // a client's error token has no way to the server
	}
	return err
}

// take gives a leg the value of its field.
func (h *handshake) take() string {
	value := fieldValue(h.token)
	h.token, h.size = nil, len(value)
	h.sent++
	return value
}

func (h *handshake) end() {
	if h.sc != nil {
		h.sc.Close()
		h.sc, h.token = nil, nil
	}
}

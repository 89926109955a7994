package negotiate

import (
	"context"
	"sync/atomic"

	"github.com/nego-sso/nego/gssapi"
)

// Identity is who has sent a request: Initiator is the user, as in alice@EXAMPLE.COM.
type Identity struct {
	gssapi.Info

	// LocalName is the local account that the machine maps the user to, by krb5.conf's auth_to_local; "" where there is
	// none.
	LocalName string

	delegated atomic.Pointer[gssapi.Credential]
}

// TakeDelegated returns the credential that the client has delegated, or nil. The caller owns and closes it, and may use
// it after the handler has returned. One that is not taken is closed when the handler returns; with ConnectionBound it
// stays with the connection, where the first request to take it gets it.
func (id *Identity) TakeDelegated() *gssapi.Credential { return id.delegated.Swap(nil) }

// end is called when the handler has returned.
func (id *Identity) end() {
	if c := id.TakeDelegated(); c != nil {
		c.Close()
	}
}

// FromContext returns the identity that an [Authenticator] has put into the context of a request. There is
// none where Optional let the request through without a token.
func FromContext(ctx context.Context) (*Identity, bool) {
	id, ok := ctx.Value(identityKey{}).(*Identity)
	return id, ok
}

type identityKey struct{}

package negotiate

import (
	"context"

	"github.com/nego-sso/nego/gssapi"
)

// Identity is who has sent a request: Initiator is the user, as in alice@EXAMPLE.COM.
type Identity struct {
	gssapi.Info
}

// FromContext returns the identity that an [Authenticator] has put into the context of a request. There is
// none where Optional let the request through without a token.
func FromContext(ctx context.Context) (*Identity, bool) {
	id, ok := ctx.Value(identityKey{}).(*Identity)
	return id, ok
}

type identityKey struct{}

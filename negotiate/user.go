package negotiate

import (
	"context"

	"github.com/nego-sso/nego/gssapi"
)

// nobody is the user of a default credential that is not there.
var nobody = gssapi.NewName("", gssapi.NTAnonymous)

// user is who a token with the default credential is for, now.
func (x *exchange) user() gssapi.Name {
	u, err := gssapi.DefaultInitiator(x.req.Context(), x.admission.target)
	if err != nil {
		return nobody
	}
	return u
}

// choosePool picks the connections of the request's identity. With the default credential, once it was used, that
// takes a look at whose it is; the connections of a former user are closed.
func (x *exchange) choosePool() error {
	id := x.admission.identity(x.known.http1)
	if x.t.Credential == nil && x.pools.matters() {
		id.user = x.user()
		if ctx := x.req.Context(); ctx.Err() != nil {
			return context.Cause(ctx)
		}
		x.belong(id.user)
	}
	x.pool = x.pools.get(id)
	return nil
}

// belong records the user that the origin knows.
func (x *exchange) belong(user gssapi.Name) {
	former := x.pools.origins.get(x.key).user
	if former == user {
		return
	}
	x.pools.origins.learn(x.key, func(o *origin) { o.user = user })
	if !former.IsZero() {
		x.pools.forget(former)
	}
}

// tie is called with a token that is about to go out, and fails if the connections are not its user's.
func (x *exchange) tie() error {
	if x.pools.opaque != nil {
		return nil
	}
	user := x.user()
	if !x.pools.tie(x.pool, user) {
		return errUser
	}
	x.belong(user)
	return nil
}

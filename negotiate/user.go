package negotiate

import (
	"context"
	"io"
	"net/http"

	"github.com/nego-sso/nego/gssapi"
)

// nobody is the user of a default credential that is not there.
var nobody = gssapi.NewName("", gssapi.NTAnonymous)

// follows reports whether connections are apart by user: with the default credential that is who it is now.
func (x *exchange) follows() bool { return x.t.Credential == nil && x.pools.opaque == nil }

// user is who a token with the default credential is for, now.
func (x *exchange) user() (gssapi.Name, error) {
	u, err := gssapi.DefaultInitiator(x.req.Context(), x.admission.target)
	if err == nil {
		return u, nil
	}
	if ctx := x.req.Context(); ctx.Err() != nil {
		return gssapi.Name{}, context.Cause(ctx) // which says nothing about the user
	}
	return nobody, nil
}

// initiator is who a token was made for, where the library says so: for Kerberos at once, but with mutual authentication
// only if the ticket is in the cache, else with the last token.
func initiator(sc *gssapi.SecContext) (u gssapi.Name, known bool) {
	u = sc.Info().Initiator
	return u, u.Type() == gssapi.NTKRB5Principal
}

// choosePool picks the connections of the request's identity. With the default credential, once it was used, that
// takes a look at whose it is; the connections of a former user are closed.
func (x *exchange) choosePool() error {
	id := x.admission.identity(x.known.http1)
	x.guessed = false
	if x.follows() && x.pools.matters() {
		var err error
		if id.user, err = x.user(); err != nil {
			return err
		}
		x.belong(id.user)
	}
	x.move(x.pools.get(id))
	return nil
}

// guessPool picks the connections of the user whom the origin was last talked to as, where a token is made at once which says
// for whom it is: that is the look, and tie moves the request to the connections of another one.
func (x *exchange) guessPool() (ok bool) {
	user := x.known.user
	if user.IsZero() || user == nobody || x.proxyURL != nil || x.t.Mutual != MutualDisabled || x.binds() || !x.follows() || !x.pools.matters() {
		return false
	}
	id := x.admission.identity(x.known.http1)
	id.user = user
	x.guessed = true
	x.move(x.pools.get(id))
	return true
}

// move changes the connections that legs go on.
func (x *exchange) move(q *pool) {
	old := x.pool
	x.pool = q
	if old != q {
		x.pools.leave(old)
	}
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

// userBefore is the user before a token is made, where the connections are not anybody's yet.
func (x *exchange) userBefore() (gssapi.Name, error) {
	if !x.follows() || x.pools.matters() {
		return gssapi.Name{}, nil
	}
	return x.user()
}

// tie is called with a token that is about to go out, and makes the connections its user's, or moves to those of its
// user. Where the library does not say for whom it made the token, that must be the user before it and after it, and
// errUser says that the two differ. There may have been another one in between, so that the token gets a connection to itself.
// Without mutual authentication Kerberos says it always, and other mechanisms have nothing to do with the cache.
func (x *exchange) tie(before gssapi.Name, move bool) error {
	if !x.follows() {
		return nil
	}
	user, known := initiator(x.origin.sc)
	alone := !known && x.t.Mutual != MutualDisabled
	switch {
	case !known && x.guessed:
		return errUser // nobody has looked before the token was made
	case alone && !move && !x.pools.identity(x.pool).alone:
		return errUser // others may be on the connection
	case !known:
		var err error
		if user, err = x.user(); err != nil {
			return err
		}
		if !before.IsZero() && before != user {
			return errUser
		}
	}
	switch theirs := x.pools.tie(x.pool, user); {
	case !theirs && (!known || !move):
		return errUser
	case !theirs || alone && move:
		x.moveTo(user, alone)
	}
	x.belong(user)
	x.guessed = false
	return nil
}

// moveTo makes the connections of a user those that legs go on.
func (x *exchange) moveTo(user gssapi.Name, alone bool) {
	id := x.pools.identity(x.pool)
	id.user, id.alone = user, alone
	x.move(x.pools.get(id))
}

// recognize is called when the peer has answered a token. If the context says only now for whom the token was made, and that is
// whose the lane is to be, it need not close behind the request.
func (x *exchange) recognize() {
	id := x.pools.identity(x.pool)
	if x.lane == nil || !id.alone || !x.origin.sc.Established() {
		return
	}
	if user, known := initiator(x.origin.sc); !known || user == id.user {
		x.moveTo(id.user, false)
	}
}

// releasePool sees to it that connections of HTTP/2 close in which a response is still being read when the user
// changes: net/http closes those that are idle at that moment.
func (x *exchange) releasePool(resp *http.Response) {
	if x.follows() && resp.ProtoMajor == 2 && resp.Body != nil && resp.Body != http.NoBody {
		resp.Body = poolBody{resp.Body, x.pools, x.pool}
	}
}

// poolBody is the body of a response on HTTP/2. Its Close returns when the connection has no more to do with it.
type poolBody struct {
	io.ReadCloser
	pools *pools
	pool  *pool
}

func (b poolBody) Close() error {
	err := b.ReadCloser.Close()
	b.pools.leave(b.pool)
	return err
}

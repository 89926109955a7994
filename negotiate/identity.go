package negotiate

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/nego-sso/nego/gssapi"
)

// Identity is who has sent a request: Initiator is the user, as in alice@EXAMPLE.COM.
type Identity struct {
	gssapi.Info

	// LocalName is the local account that the machine maps the user to, by krb5.conf's auth_to_local; "" where there is
	// none.
	LocalName string

	// Attributes are those of Authenticator.Attributes that the user has. They are this request's own.
	Attributes map[string]gssapi.Attribute

	// By is what the request came with.
	By Proof

	delegated atomic.Pointer[gssapi.Credential]
}

// String returns the user's name: that of Initiator.
func (id *Identity) String() string { return id.Initiator.String() }

// Proof is what a request came with to show who has sent it. A handler that wants more than a cookie, for what matters
// more, answers it with status 401 and the header field WWW-Authenticate: Negotiate.
type Proof int

const (
	// ByToken is a Negotiate token; with ConnectionBound also that of an earlier request on the connection.
	ByToken Proof = iota

	// ByPassword is a password, with Basic.
	ByPassword

	// BySession is the cookie of Sessions.
	BySession
)

// String returns token, password or session.
func (p Proof) String() string {
	return name(int(p), "Proof", "token", "password", "session")
}

// copyAttributes copies what a handler may change, for an identity that is answered again.
func copyAttributes(m map[string]gssapi.Attribute) map[string]gssapi.Attribute {
	m = maps.Clone(m)
	for name, a := range m {
		a.Value, a.Display, a.More = bytes.Clone(a.Value), bytes.Clone(a.Display), slices.Clone(a.More)
		for i, more := range a.More {
			a.More[i].Value, a.More[i].Display = bytes.Clone(more.Value), bytes.Clone(more.Display)
		}
		m[name] = a
	}
	return m
}

// TakeDelegated returns the credential that the client has delegated, or nil. Look before you use it: elsewhere a nil
// Credential is the program's own. The caller owns and closes it, and may use
// it after the handler has returned. One that is not taken is closed when the handler returns; with ConnectionBound it
// stays with the connection, where the first request to take it gets it.
//
// Where the Authenticator's Credential is of usage gssapi.Both there is one for every user of Kerberos. It is the client's
// forwarded ticket if there is one, and otherwise good only for the services that the KDC allows this one to delegate to.
func (id *Identity) TakeDelegated() *gssapi.Credential { return id.delegated.Swap(nil) }

// end is called when the handler has returned.
func (id *Identity) end() {
	if c := id.TakeDelegated(); c != nil {
		c.Close()
	}
}

// FromContext returns the identity that an [Authenticator] has put into the context of a request. There is
// none where Optional let the request through without a token, and none in front of the Authenticator: a middleware that
// calls its handler, such as one that logs, has the request as it came. It learns the user from Trace.Accept, as in the
// example of [Trace].
func FromContext(ctx context.Context) (*Identity, bool) {
	id, ok := ctx.Value(identityKey{}).(*Identity)
	return id, ok
}

type identityKey struct{}

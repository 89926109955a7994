package negotiate

import (
	"context"
	"crypto/x509"
	"net"
	"sync"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// conn is what an Authenticator keeps with one connection. It is garbage when the connection's context is.
type conn struct {
	mu   sync.Mutex
	sc   *gssapi.SecContext // between two legs
	late *time.Timer        // ends sc
	id   *Identity          // of the user that the connection belongs to
	leaf *x509.Certificate  // that the client was shown
}

// connKey is the key of a conn in the context of a connection, for one Authenticator: two on one server keep their own.
type connKey struct{ a *Authenticator }

// ConnContext is for the field of that name of an http.Server. With it the Authenticator keeps its state with the
// connection: between the tokens of a mechanism that needs several, over HTTP/1.1; the user, with ConnectionBound; and
// the certificate, for [Authenticator.TLSConfig]. Behind a proxy that sends requests of several users on one connection,
// mechanisms of several tokens do not work; those of one are not disturbed.
func (a *Authenticator) ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connKey{a}, new(conn))
}

func (a *Authenticator) conn(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{a}).(*conn)
	return c
}

// user returns the user that the connection belongs to, or nil.
func (c *conn) user() *Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.id != nil && !c.id.Expires.IsZero() && !c.id.Expires.After(time.Now()) {
		c.id.end()
		c.id = nil
	}
	return c.id
}

// begin takes the context of the handshake that is under way, and with it everything that an earlier one said: a token
// begins anew or goes on, and in both cases the connection is nobody's until it is done.
func (c *conn) begin() *gssapi.SecContext {
	c.mu.Lock()
	defer c.mu.Unlock()
	sc := c.sc
	if c.id != nil {
		c.id.end() // its requests are done: the next one on the connection is here
	}
	c.sc, c.id = nil, nil
	if c.late != nil {
		c.late.Stop()
	}
	return sc
}

// legTime is how long a client may take to its next leg.
const legTime = 15 * time.Second

// keep puts a context by for the next leg.
func (c *conn) keep(sc *gssapi.SecContext) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sc != nil {
		c.sc.Close()
		c.late.Stop()
	}
	c.sc = sc
	c.late = time.AfterFunc(legTime, func() { c.giveUp(sc) })
}

// giveUp ends a context whose next leg did not come.
func (c *conn) giveUp(sc *gssapi.SecContext) {
	c.mu.Lock()
	late := c.sc == sc
	if late {
		c.sc = nil
	}
	c.mu.Unlock()
	if late {
		sc.Close()
	}
}

// belong makes the connection a user's.
func (c *conn) belong(id *Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.id = id
}

func (c *conn) shown(leaf *x509.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaf = leaf
}

func (c *conn) certificate() *x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaf
}

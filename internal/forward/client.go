package forward

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
)

// clientKey is for the context of a connection: func() error, which says why its other end may not use the proxy.
type clientKey struct{}

// withClient prepares a connection. Whose it is, is found out with its first request, and once.
func (p *Proxy) withClient(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, clientKey{}, sync.OnceValue(func() error { return p.admitConn(c) }))
}

// admitClient says why a client may not use the proxy.
func (p *Proxy) admitClient(r *http.Request) error {
	if p.Secret != "" {
		if !knowsSecret(r.Header["Proxy-Authorization"], p.Secret) {
			return refuse(http.StatusProxyAuthRequired, "the user and the password of this proxy are missing or wrong: put them into http_proxy, as in http://user:password@host:port")
		}
		return nil
	}
	return r.Context().Value(clientKey{}).(func() error)()
}

// errOwner says that a platform does not know whose a connection is.
var errOwner = errors.New("this platform does not tell whose a connection is")

func (p *Proxy) admitConn(c net.Conn) error {
	uid, err := p.owner(c)
	switch {
	case err == errOwner:
		return nil
	case err != nil:
		return refuse(http.StatusForbidden, "cannot tell whose connection this is: %w; with a client secret that does not matter", err)
	case uid != p.self && uid != 0:
		return refuse(http.StatusForbidden, "this proxy serves another user of this machine, whose tickets it uses; others need its client secret")
	}
	return nil
}

// knowsSecret compares hashes, in a time that says nothing about the secret, nor about its length.
func knowsSecret(fields []string, secret string) bool {
	if len(fields) != 1 {
		return false
	}
	scheme, text, _ := strings.Cut(fields[0], " ")
	got, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || !strings.EqualFold(scheme, "Basic") {
		return false
	}
	a, b := sha256.Sum256(got), sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

package negotiate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// Authenticator lets only those requests through to a handler that authenticate with Negotiate. It answers all
// others with status 401 and a challenge. The zero value is ready: it takes tokens for any HTTP service whose
// key is in the default keytab.
//
// Clients may speak SPNEGO or plain Kerberos. Mechanisms that need more than one token from the client are
// refused.
//
// An Authenticator is safe for concurrent use. It must not be copied, nor its fields changed, after its first
// use.
type Authenticator struct {
	// Credential has the keys of the service; nil is gssapi.Service("HTTP", ""): any key of the service HTTP, on
	// whatever host, in the default keytab. That is looked up when it is needed for the first time.
	Credential *gssapi.Credential

	// Optional lets requests through that make no attempt at Negotiate, without an [Identity]. A handler can ask for
	// one itself, with status 401 and the header field WWW-Authenticate: Negotiate.
	Optional bool

	// Deny writes the response to a request that is refused; nil writes a short text. The challenge is in the
	// header already, and the status is to be 401. The error tells why, and is ErrNoToken where the client has not
	// tried yet; it is for the server's log and not for the client.
	Deny func(http.ResponseWriter, *http.Request, error)

	// Trace is told what happens; nil tells nobody.
	Trace *Trace

	acquired atomic.Pointer[gssapi.Credential] // stands for a nil Credential
}

// Handler returns a handler that authenticates each request and calls next with those that pass. There
// [FromContext] tells who sent it.
func (a *Authenticator) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := a.Authenticate(w, r)
		switch {
		case err == nil && id != nil:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, id)))
		case err == nil:
			next.ServeHTTP(w, r)
		case a.Deny != nil:
			a.Deny(w, r, err)
		default:
			http.Error(w, "Unauthorized: this server asks for Negotiate (Kerberos) authentication.", http.StatusUnauthorized)
		}
	})
}

// Authenticate authenticates one request, for those who write a handler of their own. It sets header fields of
// the response and writes neither status nor body. With an error the response is to be of status 401.
// With Optional, identity and error are both nil for a request that makes no attempt.
func (a *Authenticator) Authenticate(w http.ResponseWriter, r *http.Request) (*Identity, error) {
	token, err := requestToken(r.Header)
	if err == ErrNoToken && a.Optional {
		return nil, nil
	}
	var id *Identity
	var out []byte
	if err == nil {
		id, out, err = a.accept(r.Context(), token)
	}
	// Added to what is there: a server may offer other schemes beside, and the token goes with the
	// response whatever becomes of it.
	switch {
	case len(out) > 0:
		w.Header().Add(askHeader, fieldValue(out))
	case err != nil:
		w.Header().Add(askHeader, scheme)
	}
	if err != nil {
		a.Trace.deny(r, len(out), err)
		return nil, &Error{Op: admitClient, URL: display(r.URL), Status: http.StatusUnauthorized, Err: err}
	}
	a.Trace.accept(r, id, len(out))
	return id, nil
}

// accept returns who made a token, and the token for the response, which may be there with an error too.
func (a *Authenticator) accept(ctx context.Context, token []byte) (*Identity, []byte, error) {
	cred, err := a.credential(ctx)
	if err != nil {
		return nil, nil, err
	}
	sc := gssapi.NewAcceptor(&gssapi.Options{Credential: cred})
	defer sc.Close()
	out, err := step(ctx, a.Trace, sc, "accept", token)
	if err != nil {
		if bytes.HasPrefix(token, []byte("NTLMSSP\x00")) {
			err = fmt.Errorf("the client sent NTLM, which it does where it has no ticket for the name of this host: %w", err)
		}
		return nil, out, err
	}
	if !sc.Established() {
		// Its token would invite the client to go on with a context that is gone.
		return nil, nil, ErrLegs
	}
	info := sc.Info()
	if info.Initiator.String() == "" {
		return nil, nil, errors.New("the mechanism does not say who the client is")
	}
	return &Identity{Info: info}, out, nil
}

// credential returns the one to accept with. Several requests may look it up at once, and none waits for another.
func (a *Authenticator) credential(ctx context.Context) (*gssapi.Credential, error) {
	if a.Credential != nil {
		return a.Credential, nil
	}
	if c := a.acquired.Load(); c != nil {
		return c, nil
	}
	start := time.Now()
	name := gssapi.Service("HTTP", "")
	c, err := gssapi.Acquire(ctx, &gssapi.CredentialOptions{Name: name, Usage: gssapi.Accept})
	a.Trace.gss(ctx, GSSInfo{Op: "acquire", Info: gssapi.Info{Acceptor: name}, Duration: time.Since(start), Err: err})
	if err != nil {
		return nil, err // and try again with the next request: the keytab may be there by then
	}
	if !a.acquired.CompareAndSwap(nil, c) {
		c.Close()
	}
	return a.acquired.Load(), nil
}

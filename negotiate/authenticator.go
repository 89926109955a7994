package negotiate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// Authenticator lets only those requests through to a handler that authenticate with Negotiate. It answers all
// others with status 401 and a challenge. The zero value is ready: it takes tokens for any HTTP service whose
// key is in the default keytab. [Authenticator.Check] tells at the start what would let nobody in.
//
// Clients may speak SPNEGO or plain Kerberos. Mechanisms that need more than one token from the client work over
// HTTP/1.1 where the http.Server has [Authenticator.ConnContext], and are refused elsewhere.
//
// An Authenticator is safe for concurrent use. It must not be copied, nor its fields changed, after its first
// use.
type Authenticator struct {
	// Credential has the keys of the service; nil is gssapi.Service("HTTP", ""): any key of the service HTTP, on
	// whatever host, in the default keytab. That is looked up when it is needed for the first time.
	Credential *gssapi.Credential

	// ChannelBinding checks that tokens were made for this TLS connection, by the certificate that it was shown: it needs
	// ConnContext and TLSConfig. With BindIfTLS a client that binds its token must have bound it to this
	// connection, and one that does not bind is let in. With BindRequired it is refused, and so is plain http. Whether a
	// client has bound its token is known with MIT krb5 1.19 or newer; some clients bind nothing, such as curl on
	// older systems.
	ChannelBinding Binding

	// ConnectionBound makes the user of a token the user of the connection, over HTTP/1.1: further requests on it need
	// none. It needs ConnContext. It must never be set behind a proxy, which may send requests of several users on one
	// connection.
	ConnectionBound bool

	// Optional lets requests through that make no attempt at Negotiate, without an [Identity]. A handler can ask for
	// one itself, with status 401 and the header field WWW-Authenticate: Negotiate.
	Optional bool

	// Basic also takes a user's password, with the scheme Basic (RFC 7617), over TLS only: the server has to see the TLS itself.
	// It is checked with the KDC, and the KDC with a key of the keytab. A password that was right is good for five
	// minutes without asking again, and of wrong ones the KDC is asked about five for each user, then one each half a minute.
	// Users of realms that are neither the default realm, nor the keytab's, nor in krb5.conf are refused. Who has come with a
	// password has no delegated credential, and is refused with BindRequired.
	Basic bool

	// Attributes are the attributes of the user to fetch into [Identity], by their names in
	// [gssapi.SecContext.Attributes], as in "urn:mspac:logon-info"; nil are none. A user who does not have one is let in
	// without it; one whose attributes the library cannot read is refused.
	Attributes []string

	// Sessions spares those who have authenticated the token of their further requests, by a cookie; nil is none.
	Sessions *Sessions

	// Deny writes the response to a request that is refused; nil writes a short text. The challenge is in the
	// header already, and the status is to be that of the [Error]: 401, or 500 where [Authenticator.Check] has something to
	// say of the settings. The error tells why, and is ErrNoToken where the client has not tried yet; it is for the
	// server's log and not for the client.
	Deny func(http.ResponseWriter, *http.Request, error)

	// Trace is told what happens; nil tells nobody.
	Trace *Trace

	acquired  atomic.Pointer[gssapi.Credential] // stands for a nil Credential
	passwords passwords
}

// Handler returns a handler that authenticates each request and calls next with those that pass. There
// [FromContext] tells who sent it, and the field Authorization is gone: a token or a password has done its work, and a
// handler that sends its request on, as a reverse proxy does, would give it away.
//
// The response's header has what this side says: the last token, a session, Cache-Control. It is there again in the final response
// where next has cleared the whole header behind an interim one, as [net/http/httputil.ReverseProxy] does. For that the
// ResponseWriter is another one than the server's; [http.MaxBytesReader] does not know it, and has the rest of a body that is too
// large read first unless the status is 413. [http.MaxBytesHandler] around the Authenticator's handler has not.
func (a *Authenticator) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := a.Authenticate(w, r)
		r = a.hideSession(r)
		switch {
		case err == nil && id != nil:
			if !a.bound(r) {
				defer id.end()
			}
			r = r.WithContext(context.WithValue(r.Context(), identityKey{}, id))
			if len(r.Header[replyHeader]) > 0 {
				r.Header = maps.Clone(r.Header)
				delete(r.Header, replyHeader)
			}
			serveKeeping(next, w, r)
		case err == nil:
			serveKeeping(next, w, r)
		case a.Deny != nil:
			a.Deny(w, r, err)
		case a.Sessions.check() != nil:
			http.Error(w, "Internal Server Error: this server's authentication is not set up.", http.StatusInternalServerError)
		default:
			http.Error(w, "Unauthorized: this server asks for Negotiate (Kerberos) authentication.", http.StatusUnauthorized)
		}
	})
}

// Check returns what is wrong with an Authenticator that could let nobody in: with its settings, or because the default
// keytab has no key of HTTP, where Credential is nil. A server calls it when it starts: later only Trace and Deny are told.
func (a *Authenticator) Check(ctx context.Context) error {
	if err := a.Sessions.check(); err != nil {
		return fmt.Errorf("negotiate: %w", err)
	}
	_, err := a.credential(ctx)
	return err
}

// Authenticate authenticates one request, for those who write a handler of their own. It sets header fields of
// the response and writes neither status nor body. With an error the response is to be of status 401, or of the Status of
// the [Error].
// With Optional, identity and error are both nil for a request that makes no attempt.
//
// A [net/http/httputil.ReverseProxy] behind it clears those header fields with each interim response of its upstream, 100
// (Continue) among them: put them back in ModifyResponse and ErrorHandler, or use Handler, which does.
//
// A delegated credential is the caller's to take, and to close.
func (a *Authenticator) Authenticate(w http.ResponseWriter, r *http.Request) (*Identity, error) {
	if err := a.Sessions.check(); err != nil {
		a.Trace.deny(r, 0, err)
		return nil, &Error{Op: admitClient, URL: display(r.URL), Status: http.StatusInternalServerError, Err: err}
	}
	token, err := requestToken(r.Header)
	user, password, basic := a.basicAuth(r)
	if err == ErrNoToken && !basic {
		if id := a.sessionUser(w, r); id != nil {
			a.Trace.accept(r, id, 0)
			return id, nil
		}
		if id := a.boundUser(r); id != nil {
			a.sayBound(w, r)
			keepPrivate(w)
			a.Trace.accept(r, id, 0)
			return id, nil
		}
		if a.Optional {
			return nil, nil
		}
	}
	if c := a.conn(r.Context()); c != nil && (basic || errors.Is(err, ErrChallenge)) {
		if sc := c.begin(); sc != nil { // a password, and a token that is none, ends what the connection was, like any other token
			sc.Close()
		}
	}
	var id *Identity
	var out []byte
	switch {
	case basic && err == ErrNoToken:
		id, err = a.acceptPassword(w, r, user, password)
	case err == nil:
		id, out, err = a.accept(r, token)
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
		if a.offersBasic(r) && err != ErrContinue {
			w.Header().Add(askHeader, basicChallenge)
		}
		a.Trace.deny(r, len(out), err)
		return nil, &Error{Op: admitClient, URL: display(r.URL), Status: http.StatusUnauthorized, Err: err}
	}
	if !basic {
		a.sayBound(w, r)
	}
	a.giveSession(w, r, id)
	a.Trace.accept(r, id, len(out))
	return id, nil
}

// bound reports whether the user of a request is the connection's.
func (a *Authenticator) bound(r *http.Request) bool {
	return a.ConnectionBound && r.ProtoMajor == 1 && a.conn(r.Context()) != nil
}

// sayBound tells the client of a connection whether it belongs to the user. Behind several tokens some take it for granted,
// such as curl, and would begin each further request in vain.
func (a *Authenticator) sayBound(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 && a.conn(r.Context()) != nil {
		w.Header().Set("Persistent-Auth", strconv.FormatBool(a.ConnectionBound))
	}
}

func (a *Authenticator) boundUser(r *http.Request) *Identity {
	if !a.bound(r) || len(r.Header[replyHeader]) > 0 { // who authenticates otherwise is not that user
		return nil
	}
	return a.conn(r.Context()).user()
}

// accept returns who made a token, and the token for the response, which may be there with an error too.
func (a *Authenticator) accept(r *http.Request, token []byte) (*Identity, []byte, error) {
	ctx, c := r.Context(), a.conn(r.Context())
	var sc *gssapi.SecContext
	if c != nil {
		sc = c.begin()
	}
	if sc != nil && begins(token) {
		sc.Close() // somebody starts afresh
		sc = nil
	}
	if sc == nil {
		o := &gssapi.Options{}
		var err error
		if o.ChannelBinding, err = a.binding(r); err != nil {
			return nil, nil, err
		}
		if o.Credential, err = a.credential(ctx); err != nil {
			return nil, nil, err
		}
		sc = gssapi.NewAcceptor(o)
	}
	out, err := step(ctx, a.Trace, sc, "accept", token)
	switch {
	case err != nil && bytes.HasPrefix(token, []byte("NTLMSSP\x00")):
		err = fmt.Errorf("the client sent NTLM, which it does where it has no ticket for the name of this host: %w", err)
	case err == nil && !sc.Established():
		if c != nil && r.ProtoMajor == 1 && len(out) > 0 {
			c.keep(sc)
			return nil, out, ErrContinue
		}
		out, err = nil, ErrLegs // its token would invite the client to go on with a context that is gone
	}
	defer sc.Close()
	if err != nil {
		return nil, out, err
	}
	id, err := a.identify(ctx, sc)
	if err != nil {
		return nil, nil, err
	}
	id.delegated.Store(sc.Delegated())
	if a.bound(r) {
		c.belong(id)
	}
	return id, out, nil
}

// identify returns who the initiator of a complete context is.
func (a *Authenticator) identify(ctx context.Context, sc *gssapi.SecContext) (*Identity, error) {
	id := &Identity{Info: sc.Info()}
	switch {
	case !named(id.Info):
		return nil, errors.New("the mechanism does not say who the client is")
	case a.ChannelBinding == BindRequired && id.Flags&gssapi.FlagChannelBound == 0:
		return nil, fmt.Errorf("%w: the client has not bound its token", ErrBinding)
	}
	if local, err := id.Initiator.Local(ctx, id.Mech); err == nil {
		id.LocalName = local
	} else if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if len(a.Attributes) > 0 {
		var err error
		if id.Attributes, err = sc.Attributes(ctx, a.Attributes...); err != nil {
			return nil, err
		}
	}
	return id, nil
}

// named reports whether a context says who the initiator is. Kerberos has a name for nobody (RFC 8062 section 3), which is told by
// its text: a name's type is only a hint (RFC 4120 section 6.2).
func named(i gssapi.Info) bool {
	text := i.Initiator.String()
	return text != "" && !strings.HasPrefix(text, "WELLKNOWN/ANONYMOUS@") && i.Initiator.Type() != gssapi.NTAnonymous && i.Flags&gssapi.FlagAnonymous == 0
}

// begins reports whether a token is the first one of a context: SPNEGO's or Kerberos', behind the header that names the
// mechanism (RFC 2743 section 3.1), or NTLM's.
func begins(token []byte) bool {
	if bytes.HasPrefix(token, []byte("NTLMSSP\x00\x01")) {
		return true
	}
	head := token[:min(len(token), 20)]
	return bytes.HasPrefix(head, []byte{0x60}) && (bytes.Contains(head, []byte("\x06\x06"+gssapi.SPNEGO)) ||
		bytes.Contains(head, []byte("\x06\x09"+gssapi.KRB5+"\x01\x00")))
}

// binding is what a token on the request's connection has to be bound to.
func (a *Authenticator) binding(r *http.Request) (*gssapi.ChannelBinding, error) {
	if a.ChannelBinding == BindNever || r.TLS == nil && a.ChannelBinding == BindIfTLS {
		return nil, nil
	}
	if r.TLS != nil {
		if c := a.conn(r.Context()); c != nil {
			if leaf := c.certificate(); leaf != nil {
				return EndPoint(leaf), nil
			}
		}
	}
	if r.TLS == nil {
		return nil, ErrBinding
	}
	// Also where tokens need not be bound: nobody would know what was not checked.
	return nil, fmt.Errorf("%w: the http.Server lacks Authenticator.ConnContext, or a TLSConfig from Authenticator.TLSConfig", ErrBinding)
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

package negotiate

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// Trace is a set of functions that are told what a [Transport] or an [Authenticator] does. Any of them may be
// nil. They are called in the goroutine of the request, with the request's context, and for concurrent
// requests concurrently. They learn lengths of tokens and never a token. [LogTrace] is one that logs.
type Trace struct {
	// Challenge is called by a Transport when a response of status 401 asks for Negotiate, before it is
	// decided whether that is answered. It is not called for requests that the caller authenticates.
	Challenge func(context.Context, ChallengeInfo)

	// Response is called by a Transport with each response that it gets, of which the caller may see only the last
	// one, and that not as it came.
	Response func(context.Context, ResponseInfo)

	// GSS is called by both after each call of the GSSAPI library.
	GSS func(context.Context, GSSInfo)

	// Done is called by a Transport when RoundTrip is about to return, for each request to an http or https URL.
	Done func(context.Context, DoneInfo)

	// Accept is called by an Authenticator when it knows who has sent a request.
	Accept func(context.Context, AcceptInfo)

	// Deny is called by an Authenticator when it refuses a request, including the first one of each client, which
	// has no token: that is ErrNoToken. It is not called for what Optional lets through.
	Deny func(context.Context, DenyInfo)
}

// ChallengeInfo is about a Negotiate challenge.
type ChallengeInfo struct {
	URL   string // without userinfo, query and fragment
	Token int    // length of the challenge's token
	Legs  int    // tokens sent before
}

// ResponseInfo is about a response that a server has sent, or a proxy.
type ResponseInfo struct {
	URL    string      // without userinfo, query and fragment
	Proto  string      // "HTTP/1.1"
	Status string      // "401 Unauthorized"
	Header http.Header // a copy, with lengths in the place of tokens
}

// GSSInfo is about a call of the GSSAPI library.
type GSSInfo struct {
	Op          string      // initiate, accept or acquire; verify: a server's own token for a password that it checks
	Info        gssapi.Info // of the context, as far as it has come
	Established bool        // the context is complete
	In, Out     int         // lengths of the tokens it took and gave
	Duration    time.Duration
	Err         error
}

// DoneInfo is about a request of a Transport that has been dealt with.
type DoneInfo struct {
	URL     string // without userinfo, query and fragment
	Status  int    // zero: RoundTrip returns an error
	Outcome Outcome
	Err     error // what RoundTrip returns
}

// AcceptInfo is about a request that an Authenticator lets through.
type AcceptInfo struct {
	URL      string // without query
	Client   string // its address and port, as http.Request.RemoteAddr has it
	Identity *Identity
	Token    int // length of the token for the response
}

// DenyInfo is about a request that an Authenticator refuses.
type DenyInfo struct {
	URL    string // without query
	Client string // its address and port, as http.Request.RemoteAddr has it
	Token  int    // length of the token for the response
	Err    error
}

// LogTrace returns a Trace that logs to l, or to slog.Default() where l is nil. A client's tokens that cannot be made are
// warnings, and so is whom an Authenticator refuses, but for those whose token is still to come; everything else is for
// debugging. The attribute component says where a record comes from: it is negotiate or gssapi.
//
// Anybody can make a server warn. Of an Authenticator's warnings there are ten, and then one a second, whose attribute
// left_out says how many were left out before it; those are for debugging only.
func LogTrace(l *slog.Logger) *Trace { return logTrace(l, time.Now) }

func logTrace(l *slog.Logger, now func() time.Time) *Trace {
	if l == nil {
		l = slog.Default()
	}
	server := &warnings{now: now}
	negotiate, gss := l.With("component", "negotiate"), l.With("component", "gssapi")
	return &Trace{
		Challenge: func(ctx context.Context, i ChallengeInfo) {
			negotiate.LogAttrs(ctx, slog.LevelDebug, "server asks for Negotiate",
				slog.String("url", i.URL), slog.Int("token_bytes", i.Token), slog.Int("legs", i.Legs))
		},
		GSS: func(ctx context.Context, i GSSInfo) {
			level := slog.LevelDebug
			// A request that nobody waits for any more is no failure of the library; and a server's failures are in Deny, with
			// whose request it was.
			if i.Err != nil && ctx.Err() == nil && i.Op == "initiate" {
				level = slog.LevelWarn
			}
			if !gss.Enabled(ctx, level) {
				return
			}
			message := i.Op
			if i.Err != nil {
				message += " failed"
			}
			var attrs []slog.Attr
			for name, value := range map[string]string{"initiator": i.Info.Initiator.String(), "acceptor": i.Info.Acceptor.String(),
				"mech": i.Info.Mech.String(), "flags": i.Info.Flags.String()} {
				if value != "" {
					attrs = append(attrs, slog.String(name, value))
				}
			}
			slices.SortFunc(attrs, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
			attrs = append(attrs, slog.Bool("established", i.Established), slog.Int("in_bytes", i.In), slog.Int("out_bytes", i.Out),
				slog.Duration("duration", i.Duration))
			gss.LogAttrs(ctx, level, message, append(attrs, errAttr(i.Err)...)...)
		},
		Done: func(ctx context.Context, i DoneInfo) {
			if !negotiate.Enabled(ctx, slog.LevelDebug) {
				return
			}
			err := i.Err
			if err == nil {
				err = i.Outcome.Err
			}
			negotiate.LogAttrs(ctx, slog.LevelDebug, "request done", append([]slog.Attr{
				slog.String("url", i.URL), slog.Int("status", i.Status), slog.String("target", i.Outcome.Target.String()),
				slog.Int("legs", i.Outcome.Legs), slog.Bool("mutual", i.Outcome.Mutual)}, errAttr(err)...)...)
		},
		Accept: func(ctx context.Context, i AcceptInfo) {
			negotiate.LogAttrs(ctx, slog.LevelDebug, "request accepted", slog.String("url", i.URL), slog.String("client", i.Client),
				slog.String("initiator", i.Identity.Initiator.String()), slog.Int("answer_bytes", i.Token))
		},
		Deny: func(ctx context.Context, i DenyInfo) {
			level, attrs := slog.LevelDebug, []slog.Attr(nil)
			if i.Err != ErrNoToken && i.Err != ErrContinue && ctx.Err() == nil && negotiate.Enabled(ctx, slog.LevelWarn) {
				level, attrs = server.next()
			}
			negotiate.LogAttrs(ctx, level, "request denied", append(append(attrs,
				slog.String("url", i.URL), slog.String("client", i.Client), slog.Int("answer_bytes", i.Token)), errAttr(i.Err)...)...)
		},
	}
}

func errAttr(err error) []slog.Attr {
	if err == nil {
		return nil
	}
	return []slog.Attr{slog.Any("error", err)}
}

func (t *Trace) challenge(x *exchange, token int) {
	if t != nil && t.Challenge != nil {
		t.Challenge(x.req.Context(), ChallengeInfo{URL: display(x.req.URL), Token: token, Legs: x.out.Legs})
	}
}

func (t *Trace) response(x *exchange, resp *http.Response) {
	if t == nil || t.Response == nil || resp == nil {
		return
	}
	h := resp.Header.Clone()
	for _, values := range h {
		for i, v := range values {
			values[i] = x.leg.maskTokens(v)
		}
	}
	t.Response(x.req.Context(), ResponseInfo{URL: display(x.req.URL), Proto: resp.Proto, Status: x.leg.maskTokens(resp.Status), Header: h})
}

// schemeToken is a scheme of ours and a token, wherever it stands.
var schemeToken = regexp.MustCompile(`(?i)\b(negotiate|kerberos|ntlm)((?:[ \t+]|%20)+)([A-Za-z0-9+/._~%-]{8,}=*)`)

// maskTokens puts lengths in the place of tokens: of the server's in any field, and of those that the leg carried,
// which a server may send back.
func (l *leg) maskTokens(value string) string {
	for _, name := range []string{replyHeader, proxyReplyHeader} {
		for _, sent := range l.header[name] {
			if _, token, ok := strings.Cut(sent, " "); ok && len(token) >= 8 {
				for _, form := range []string{token, url.QueryEscape(token), url.PathEscape(token)} {
					value = strings.ReplaceAll(value, form, tokenLength(token))
				}
			}
		}
	}
	return schemeToken.ReplaceAllStringFunc(value, func(s string) string {
		m := schemeToken.FindStringSubmatch(s)
		return m[1] + m[2] + tokenLength(m[3])
	})
}

func tokenLength(token string) string {
	return fmt.Sprintf("[%d bytes]", base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(token, "="))))
}

func (t *Trace) gss(ctx context.Context, i GSSInfo) {
	if t != nil && t.GSS != nil {
		t.GSS(ctx, i)
	}
}

func (t *Trace) done(x *exchange, resp *http.Response, err error) {
	if t == nil || t.Done == nil {
		return
	}
	i := DoneInfo{URL: display(x.req.URL), Outcome: *x.out, Err: err}
	if resp != nil {
		i.Status = resp.StatusCode
	}
	t.Done(x.req.Context(), i)
}

func (t *Trace) accept(r *http.Request, id *Identity, token int) {
	if t != nil && t.Accept != nil {
		t.Accept(r.Context(), AcceptInfo{URL: display(r.URL), Client: r.RemoteAddr, Identity: id, Token: token})
	}
}

func (t *Trace) deny(r *http.Request, token int, err error) {
	if t != nil && t.Deny != nil {
		t.Deny(r.Context(), DenyInfo{URL: display(r.URL), Client: r.RemoteAddr, Token: token, Err: err})
	}
}

// step makes one step of a context and traces it.
func step(ctx context.Context, t *Trace, sc *gssapi.SecContext, op string, in []byte) ([]byte, error) {
	start := time.Now()
	out, err := sc.Step(ctx, in)
	if t != nil && t.GSS != nil {
		t.GSS(ctx, GSSInfo{Op: op, Info: sc.Info(), Established: sc.Established(), In: len(in), Out: len(out),
			Duration: time.Since(start), Err: err})
	}
	return out, err
}

package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/nego-sso/nego/negotiate"
)

// wire shows requests and responses as curl -v does, each leg of the authentication included. It only looks on, through
// hooks: with a RoundTripper between itself and the connections a negotiate.Transport could do less.
type wire struct {
	base *http.Transport
	out  *output

	mu   sync.Mutex // the hooks are called by any goroutine
	hop  *http.Request
	head []headField // of the request that is being written
}

type headField struct{ key, value string }

// connected shows a request for a tunnel, and its answer.
func (w *wire) connected(req *http.Request, resp *http.Response) {
	w.print("> ", slices.Concat([]string{"CONNECT " + req.Host + " HTTP/1.1", "Host: " + req.Host}, masked(req.Header), []string{""})...)
	w.print("< ", slices.Concat([]string{resp.Proto + " " + resp.Status}, masked(resp.Header), []string{""})...)
}

// request is called with each request, and what its redirects lead to. What net/http adds to it, and what negotiate
// makes of it, is seen where it is written, and nowhere else.
func (w *wire) request(req *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hop = req
}

// watch returns a context with the hooks that a request needs.
func (w *wire) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectDone: func(_, addr string, err error) {
			if err == nil {
				w.print("* ", "connected to "+addr)
			}
		},
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			if err == nil {
				w.print("* ", describeTLS(state)...)
			}
		},
		GotConn: func(i httptrace.GotConnInfo) {
			w.mu.Lock()
			w.head = nil // of a connection that turned out to be dead
			w.mu.Unlock()
			if i.Reused {
				w.print("* ", "reusing the connection to "+i.Conn.RemoteAddr().String())
			}
		},
		WroteHeaderField: func(key string, values []string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, v := range values {
				w.head = append(w.head, headField{key, v})
			}
		},
		WroteHeaders: w.showHead,
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			w.showHead()
			w.print("< ", slices.Concat([]string{fmt.Sprintf("HTTP/1.1 %d %s", code, http.StatusText(code))}, masked(http.Header(header)), []string{""})...)
			return nil
		},
	})
}

// showHead shows the request that has been written. With HTTP/2 the response can be faster than the report of that.
func (w *wire) showHead() {
	w.mu.Lock()
	fields, hop := w.head, w.hop
	w.head = nil
	w.mu.Unlock()
	if fields != nil {
		w.print("> ", requestLines(fields, hop, w.requestURI(hop))...)
	}
}

// requestLines are the lines of a request as HTTP/1 has them. HTTP/2 has fields for what is in the first one.
func requestLines(fields []headField, hop *http.Request, uri string) []string {
	method, proto := hop.Method, "HTTP/1.1"
	hasBody := false
	var lines []string
	for _, f := range fields {
		switch f.key {
		case ":method":
			method, proto = f.value, "HTTP/2.0"
		case ":path":
			uri = f.value
		case ":authority":
			lines = append(lines, "host: "+f.value)
		case ":scheme":
		default:
			hasBody = hasBody || strings.EqualFold(f.key, "Content-Length") || strings.EqualFold(f.key, "Transfer-Encoding")
			lines = append(lines, f.key+": "+maskTokens(f.key, f.value))
		}
	}
	if proto == "HTTP/1.1" && !hasBody && hop.Body != nil && hop.Body != http.NoBody {
		method = http.MethodHead // negotiate authenticates the connection before it sends the body
	}
	return slices.Concat([]string{method + " " + uri + " " + proto}, lines, []string{""})
}

// requestURI is what the request line of HTTP/1 has; a proxy needs all of the URL.
func (w *wire) requestURI(req *http.Request) string {
	if w.base.Proxy != nil && req.URL.Scheme == "http" {
		if proxy, err := w.base.Proxy(req); err == nil && proxy != nil && strings.HasPrefix(proxy.Scheme, "http") {
			u := *req.URL
			u.User, u.Fragment, u.RawFragment = nil, "", ""
			return u.String()
		}
	}
	return req.URL.RequestURI()
}

// response shows a response.
func (w *wire) response(_ context.Context, i negotiate.ResponseInfo) {
	w.showHead()
	w.print("< ", slices.Concat([]string{i.Proto + " " + i.Status}, masked(i.Header), []string{""})...)
}

// masked are the lines of a header, without its tokens.
func masked(h http.Header) []string {
	lines := headerLines(h)
	for i, line := range lines {
		key, v, _ := strings.Cut(line, ": ")
		lines[i] = key + ": " + maskTokens(key, v)
	}
	return lines
}

func (w *wire) print(mark string, lines ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range lines {
		w.out.printf("%s%s\n", w.out.dim(mark), clean(line))
	}
}

// gss shows what the GSSAPI library did between a challenge and its answer.
func (w *wire) gss(_ context.Context, i negotiate.GSSInfo) {
	switch {
	case i.Err != nil:
		text, _ := describe(i.Err)
		w.print("* ", text)
	case i.In == 0:
		w.print("* ", fmt.Sprintf("made a token for %s", i.Info.Acceptor))
	default:
		w.print("* ", "took the server's token")
	}
}

func describeTLS(s tls.ConnectionState) []string {
	lines := []string{tls.VersionName(s.Version) + ", " + tls.CipherSuiteName(s.CipherSuite)}
	if len(s.PeerCertificates) > 0 {
		c := s.PeerCertificates[0]
		lines = append(lines, fmt.Sprintf("certificate of %s, issued by %s, valid until %s", c.Subject, c.Issuer, clock(c.NotAfter)))
	}
	return lines
}

// challengeToken is a scheme and a token of RFC 9110 section 11.2, as opposed to a scheme with parameters.
var challengeToken = regexp.MustCompile(`^(\s*[A-Za-z0-9-]+\s+)([A-Za-z0-9+/._~-]+=*)\s*$`)

// maskTokens puts the length of a token in its place: a token signs somebody on, and this goes to terminals, logs
// and bug reports.
func maskTokens(key, value string) string {
	switch http.CanonicalHeaderKey(key) {
	case "Authorization", "Proxy-Authorization":
		scheme, token, ok := strings.Cut(value, " ")
		if !ok {
			return fmt.Sprintf("[%d bytes]", len(value))
		}
		return scheme + " " + tokenLength(token)
	case "Www-Authenticate", "Proxy-Authenticate":
		// A comma can also be inside of a quoted parameter, where no part looks like a scheme and a token.
		parts := strings.Split(value, ",")
		for i, part := range parts {
			if m := challengeToken.FindStringSubmatch(part); m != nil {
				parts[i] = m[1] + tokenLength(m[2])
			}
		}
		return strings.Join(parts, ",")
	}
	return value
}

func tokenLength(token string) string {
	n := len(token)
	if raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(token, "=")); err == nil {
		n = len(raw)
	}
	return fmt.Sprintf("[%d bytes]", n)
}

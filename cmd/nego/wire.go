package main

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strings"
	"sync"

	"github.com/nego-sso/nego/negotiate"
)

// wire shows requests and responses as curl -v does, each leg of the authentication included.
type wire struct {
	base *http.Transport
	mu   sync.Mutex // the hooks of a trace are called by any goroutine
	out  *output
}

func (w *wire) CloseIdleConnections() { w.base.CloseIdleConnections() }

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	// What net/http adds to a request is seen where it is written, and nowhere else.
	head := &requestHead{wire: w, line: req.Method + " " + w.requestURI(req) + " HTTP/1.1"}
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			peer := i.Conn.RemoteAddr().String()
			if i.Reused {
				w.print("* ", "connected to "+peer+" still")
				return
			}
			w.print("* ", "connected to "+peer)
			if c, ok := i.Conn.(*tls.Conn); ok {
				w.print("* ", describeTLS(c.ConnectionState())...)
			}
		},
		WroteHeaderField: head.add,
		WroteHeaders:     head.show,
	})
	resp, err := w.base.RoundTrip(req.WithContext(ctx))
	head.show() // with HTTP/2 the response can be faster than the report that the request has been written
	if err != nil {
		return nil, err
	}
	lines := []string{resp.Proto + " " + resp.Status}
	for _, line := range headerLines(resp.Header) {
		key, v, _ := strings.Cut(line, ": ")
		lines = append(lines, key+": "+maskTokens(key, v))
	}
	w.print("< ", append(lines, "")...)
	return resp, nil
}

// requestHead gathers what is written of a request until it can be shown.
type requestHead struct {
	*wire
	line  string
	mu    sync.Mutex
	lines []string
}

func (h *requestHead) add(key string, values []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lines == nil && !strings.HasPrefix(key, ":") { // HTTP/2 has fields for this
		h.lines = append(h.lines, h.line)
	}
	for _, v := range values {
		h.lines = append(h.lines, key+": "+maskTokens(key, v))
	}
}

func (h *requestHead) show() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lines != nil {
		h.print("> ", append(h.lines, "")...)
		h.lines = nil
	}
}

// requestURI is what the request line has; a proxy needs all of the URL.
func (w *wire) requestURI(req *http.Request) string {
	if w.base.Proxy != nil && req.URL.Scheme == "http" {
		if proxy, err := w.base.Proxy(req); err == nil && proxy != nil && strings.HasPrefix(proxy.Scheme, "http") {
			u := *req.URL
			u.User, u.Fragment = nil, ""
			return u.String()
		}
	}
	return req.URL.RequestURI()
}

func (w *wire) print(mark string, lines ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range lines {
		w.out.printf("%s%s\n", w.out.dim(mark), clean(line))
	}
}

// gss shows what the GSSAPI library did between a challenge and its answer.
func (w *wire) gss(i negotiate.GSSInfo) {
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

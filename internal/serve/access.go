package serve

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// visit is a request that is being served. It is the ResponseWriter, so that it knows what the client got.
type visit struct {
	http.ResponseWriter
	user   string // who has signed on, let in or not
	status int
	bytes  int64
	cutOff atomic.Bool // the client has not sent all of its body
	own    http.Header // of this server, for the response, while the upstream is asked
}

// clientBody is a request's body, on its way to the upstream.
type clientBody struct {
	io.ReadCloser
	visit  *visit
	closed atomic.Bool
}

func (b *clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && !b.closed.Load() { // a sender may still want some when it has been closed
		b.visit.cutOff.Store(true)
	}
	return n, err
}

func (b *clientBody) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}

type visitKey struct{}

func visitOf(ctx context.Context) *visit { return ctx.Value(visitKey{}).(*visit) }

// Unwrap is for http.ResponseController.
func (v *visit) Unwrap() http.ResponseWriter { return v.ResponseWriter }

func (v *visit) WriteHeader(status int) {
	if status == http.StatusContinue {
		return // the server sends one by itself once the body is read, and a second where it races with the upstream's
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		withoutOurs(v.Header())
	}
	if v.status == 0 && status >= 200 {
		v.status = status
	}
	v.ResponseWriter.WriteHeader(status)
}

func (v *visit) Write(b []byte) (int, error) {
	v.begun()
	n, err := v.ResponseWriter.Write(b)
	v.bytes += int64(n)
	return n, err
}

// ReadFrom lets the kernel send files.
func (v *visit) ReadFrom(r io.Reader) (int64, error) {
	v.begun()
	n, err := io.Copy(v.ResponseWriter, r)
	v.bytes += n
	return n, err
}

func (v *visit) begun() {
	if v.status == 0 {
		v.status = http.StatusOK
	}
}

// record writes a request's line, in the Common Log Format. The query is left out, because programs put secrets there.
func (s *Server) record(v *visit, r *http.Request, began time.Time) {
	if s.Access == nil {
		return
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	status, size := "-", "-" // where the connection broke off, and where there is no body
	if v.status != 0 {
		status = strconv.Itoa(v.status)
	}
	if v.bytes > 0 {
		size = strconv.FormatInt(v.bytes, 10)
	}
	path := r.URL.EscapedPath()
	if r.Method == http.MethodConnect {
		path = r.URL.Host
	}
	_, _ = fmt.Fprintf(s.Access, "%s - %s [%s] \"%s %s %s\" %s %s\n", word(host), word(v.user), // whoever reads it sees the loss
		began.Format("02/Jan/2006:15:04:05 -0700"), word(r.Method), word(path), word(r.Proto), status, size)
}

// word makes text one word of a line, by the escapes of Apache; text that is a dash, which means nothing, is escaped too.
func word(s string) string {
	switch s {
	case "":
		return "-"
	case "-":
		return `\x2d`
	}
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c <= ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

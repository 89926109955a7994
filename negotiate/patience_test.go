package negotiate

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
)

// brokenConn is a connection on which the peer has answered and which it has then broken: writes fail at once, and
// what it said is read after that.
type brokenConn struct {
	net.Conn
	r     io.Reader
	wrote chan struct{}
}

func (c *brokenConn) Write([]byte) (int, error) {
	close(c.wrote)
	return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
}

func (c *brokenConn) Read(p []byte) (int, error) {
	<-c.wrote
	return c.r.Read(p)
}

// What the peer had said is an answer, although the request could not be written.
func TestAnswerBeforeBrokenWrite(t *testing.T) {
	for i := range 50 { // net/http alone fails about every time
		near, far := net.Pipe()
		t.Cleanup(func() { near.Close(); far.Close() })
		tr := &Transport{Base: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			text := "HTTP/1.1 401 Unauthorized\r\nContent-Length: 7\r\nConnection: close\r\n\r\nrefused"
			return &brokenConn{Conn: near, r: bufio.NewReader(iotest.OneByteReader(strings.NewReader(text))), wrote: make(chan struct{})}, nil
		}}}
		req := newRequest(t, "POST", "http://localhost/", strings.NewReader("text"))
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 401 || string(body) != "refused" || err != nil {
			t.Fatalf("%d: %s, %q, %v", i, resp.Status, body, err)
		}
	}
}

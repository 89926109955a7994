package negotiate

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// patience is how long a connection that breaks during an upload may take to give what the peer had said before.
const patience = time.Second

// patientConn is a connection whose failed writes wait until all is read that had come. A server or a proxy may answer
// 401 and close before it has read a long body; net/http gives up such a request at the first failed write, and with it
// the answer that is there to be read.
type patientConn struct {
	net.Conn
	once  sync.Once
	ended chan struct{} // closed when nothing more is to be read
}

// beForbearing has a transport make such connections.
func beForbearing(tr *http.Transport) {
	dial := dialer(tr)
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &patientConn{Conn: c, ended: make(chan struct{})}, nil
	}
}

// dialer is how a transport makes connections.
func dialer(tr *http.Transport) func(ctx context.Context, network, addr string) (net.Conn, error) {
	if tr.DialContext != nil {
		return tr.DialContext
	}
	//lint:ignore SA1019 whoever sets it counts on it
	if dial := tr.Dial; dial != nil {
		return func(_ context.Context, network, addr string) (net.Conn, error) { return dial(network, addr) }
	}
	return new(net.Dialer).DialContext
}

func (c *patientConn) end() { c.once.Do(func() { close(c.ended) }) }

func (c *patientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.end()
	}
	return n, err
}

func (c *patientConn) Close() error {
	c.end()
	return c.Conn.Close()
}

func (c *patientConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.wait(err)
	return n, err
}

// ReadFrom keeps what the connection has for files.
func (c *patientConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(c.Conn, r)
	if wroteInPart(err) {
		c.wait(err)
	}
	return n, err
}

func (c *patientConn) wait(err error) {
	if err == nil || errors.Is(err, net.ErrClosed) {
		return
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-c.ended:
	case <-t.C:
	}
}

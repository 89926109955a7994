package forward

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
)

// end is one end of a tunnel, and what has been read of it already.
type end struct {
	net.Conn
	read *bufio.Reader // nil: nothing
}

// tunnel serves a CONNECT.
func (p *Proxy) tunnel(x *visit, r *http.Request) {
	server, err := p.reach(x, r)
	if err != nil {
		x.fail(r, err)
		return
	}
	defer server.Close()
	conn, buf, err := http.NewResponseController(x).Hijack()
	if err != nil {
		x.fail(r, err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Time{}) // fails where the client has gone, and so do the others
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	x.entry.Status = http.StatusOK
	join(r.Context(), end{conn, buf.Reader}, server, cmp.Or(p.half, halfTimeout))
}

// reach connects to what a CONNECT is for.
func (p *Proxy) reach(x *visit, r *http.Request) (end, error) {
	ctx, cancel := context.WithTimeout(r.Context(), tunnelTimeout)
	defer cancel()
	host, _, _ := net.SplitHostPort(r.RequestURI) // it has been checked
	if up := p.route(host); up != nil {
		x.entry.Upstream = true
		return p.connect(ctx, up, r)
	}
	conn, err := p.dial(ctx, "tcp", r.RequestURI)
	return end{conn, nil}, err
}

const (
	maxHead = 1 << 20  // bytes of a proxy's answer
	maxPage = 64 << 10 // bytes of an error page that is read to go on with the connection
	maxLegs = 10       // tokens for one CONNECT
)

// connect asks the upstream proxy for a tunnel. Proxies tie authentication to the connection, and a tunnel is one for
// itself: so the first token goes at once, and there may be more.
func (p *Proxy) connect(ctx context.Context, up *url.URL, r *http.Request) (_ end, err error) {
	conn, err := p.dial(ctx, "tcp", up.Host)
	if err != nil {
		return end{}, fmt.Errorf("the proxy %s: %w", up.Host, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if !stop() {
			err = fmt.Errorf("the proxy %s: %w", up.Host, context.Cause(ctx))
		}
		if err != nil {
			_ = conn.Close()
		}
	}()
	limited := &io.LimitedReader{R: conn, N: maxHead}
	read := bufio.NewReader(limited)

	sc := gssapi.NewInitiator(gssapi.Service("HTTP", plainHost(up.Hostname())), &gssapi.Options{Mech: p.mech, AuthOnly: true})
	defer sc.Close()
	token, noToken := sc.Step(ctx, nil) // the proxy may not ask
	for legs := 1; ; legs++ {
		resp, err := p.ask(conn, read, r, token)
		if err != nil {
			return end{}, fmt.Errorf("the proxy %s: %w", up.Host, err)
		}
		if resp.StatusCode/100 == 2 {
			limited.N = math.MaxInt64
			return end{conn, read}, nil
		}
		if resp.StatusCode != http.StatusProxyAuthRequired {
			return end{}, noTunnel(up, resp)
		}
		in, _ := challenge(resp.Header["Proxy-Authenticate"])
		switch {
		case noToken != nil:
			return end{}, notAdmitted(up, resp, noToken)
		case in == nil || sc.Established():
			return end{}, notAdmitted(up, resp, nil)
		case legs == maxLegs || resp.Close:
			return end{}, notAdmitted(up, resp, negotiate.ErrLegs)
		}
		if token, err = sc.Step(ctx, in); err != nil {
			return end{}, notAdmitted(up, resp, fmt.Errorf("%w: %w", negotiate.ErrRefused, err))
		} else if token == nil {
			return end{}, notAdmitted(up, resp, nil)
		}
		if n, err := io.CopyN(io.Discard, resp.Body, maxPage); err != io.EOF {
			return end{}, notAdmitted(up, resp, fmt.Errorf("its answer does not end after %d bytes", n))
		}
		limited.N = maxHead
	}
}

// ask sends a CONNECT and reads the answer's header.
func (p *Proxy) ask(conn net.Conn, read *bufio.Reader, r *http.Request, token []byte) (*http.Response, error) {
	req := &http.Request{
		Method: http.MethodConnect,
		URL:    &url.URL{Opaque: r.RequestURI},
		Host:   r.RequestURI,
		Header: http.Header{
			"User-Agent": {r.Header.Get("User-Agent")},
			"Via":        append(slices.Clone(r.Header["Via"]), p.via(r.ProtoMajor, r.ProtoMinor)),
		},
	}
	if token != nil {
		req.Header["Proxy-Authorization"] = []string{"Negotiate " + base64.StdEncoding.EncodeToString(token)}
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	for {
		resp, err := http.ReadResponse(read, req)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it closed the connection without an answer")
		}
		if err != nil || resp.StatusCode/100 != 1 {
			return resp, err
		}
	}
}

// noTunnel passes on why the upstream proxy makes no tunnel. What would have the client sign on is not for it.
func noTunnel(up *url.URL, resp *http.Response) error {
	status := resp.StatusCode
	if status < 400 || status == http.StatusUnauthorized {
		status = http.StatusBadGateway
	}
	return refuse(status, "the proxy %s answered %s", up.Host, resp.Status)
}

// challenge looks for Negotiate in the values of Proxy-Authenticate, and for its token.
func challenge(fields []string) (token []byte, offered bool) {
	for _, v := range fields {
		for one := range strings.SplitSeq(v, ",") {
			scheme, text, _ := strings.Cut(strings.TrimSpace(one), " ")
			if !strings.EqualFold(scheme, "Negotiate") {
				continue
			}
			offered = true
			text = strings.TrimRight(strings.TrimSpace(text), "=")
			if b, err := base64.RawStdEncoding.DecodeString(text); err == nil && len(b) > 0 {
				return b, true
			}
		}
	}
	return nil, offered
}

// join passes on what comes out of each end into the other, until both have said their last or ctx ends. An end that
// has nothing more to say may still be listening; but it may also have gone for good, which looks the same, so that
// then silence of the other one ends it all.
func join(ctx context.Context, a, b end, half time.Duration) {
	cut := func() {
		_ = a.Close()
		_ = b.Close()
	}
	defer context.AfterFunc(ctx, cut)()
	var both sync.WaitGroup
	for _, way := range [][2]end{{a, b}, {b, a}} {
		both.Go(func() {
			if err := pass(way[0], way[1], half); err != nil {
				cut()
			}
		})
	}
	both.Wait()
}

// pass passes on one way. It gives the operating system two bare connections, which copies without this process.
func pass(from, to end, half time.Duration) error {
	if from.read != nil {
		if n := from.read.Buffered(); n > 0 {
			if _, err := io.CopyN(to.Conn, from.read, int64(n)); err != nil {
				return err
			}
		}
	}
	for {
		n, err := io.Copy(to.Conn, from.Conn)
		if err == nil {
			break
		}
		if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err := from.SetReadDeadline(time.Now().Add(half)); err != nil { // it had something to say
			return err
		}
	}
	if err := to.SetReadDeadline(time.Now().Add(half)); err != nil {
		return err
	}
	conn, ok := to.Conn.(interface{ CloseWrite() error })
	if !ok {
		return net.ErrClosed
	}
	return conn.CloseWrite()
}

package forward

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
)

// Proxy is a forward proxy. Its fields are not changed once Serve was called, which is called once.
type Proxy struct {
	// Upstream is the proxy that requests go on to; nil: to the origins themselves. It is http://host:port. It gets a
	// token where it asks for one, and with each CONNECT.
	Upstream *url.URL

	// Direct says which hosts are reached without Upstream; nil: none.
	Direct func(host string) bool

	// Allow says which origins of http URLs may have a token, by host: in lower case, without port, brackets and a dot
	// at the end. Nil: none.
	Allow func(host string) bool

	// Secret is user:password, which clients have to give as Basic Proxy-Authorization. Where it is empty, clients are
	// processes on this machine, of the user of this process or root; only Linux can tell, elsewhere they are anybody's.
	Secret string

	// Log is told of each request when it is done; nil tells nobody. It may be called by several goroutines at once.
	Log func(Entry)

	// ErrorLog gets what the server has to say about broken connections; nil drops it.
	ErrorLog *log.Logger

	pseudonym string        // in Via
	mech      gssapi.OID    // of a CONNECT; zero is SPNEGO, and tests have others
	half      time.Duration // zero is halfTimeout, and tests have no time
	listener  *net.TCPAddr
	transport *negotiate.Transport
	forward   http.Handler
	owner     func(net.Conn) (uid int, err error) // nil: nobody can tell
	self      int                                 // the user who may use the proxy
	active    sync.WaitGroup                      // requests, tunnels too
}

// Entry is what became of a request.
type Entry struct {
	Method   string
	Target   string // the URL without query, or of a CONNECT host:port
	Status   int    // that the client got; 0: it went away before
	Upstream bool   // it went through the upstream proxy
	SignedOn string // the origin's service that got a token; empty: none
	Err      error  // why the proxy answered itself, or why an origin or the upstream proxy did not let the user in
	Duration time.Duration
}

const (
	headerTimeout = 30 * time.Second // for a client to send a header
	idleTimeout   = 2 * time.Minute  // for a client's next request
	dialTimeout   = 30 * time.Second
	tunnelTimeout = time.Minute      // for the upstream proxy to answer a CONNECT
	graceTimeout  = 5 * time.Second  // for requests under way when the proxy ends
	halfTimeout   = 10 * time.Minute // for a tunnel with one open end to carry anything
)

// Serve serves the connections of a listener of TCP until ctx ends. Then it lets requests finish for a few seconds,
// cuts tunnels, and returns nil when nothing is left of them.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	p.pseudonym = "nego-" + strings.ToLower(rand.Text()[:12])
	p.listener = l.Addr().(*net.TCPAddr)
	if p.owner == nil {
		p.owner, p.self = socketOwner, self()
	}
	p.transport = p.newTransport()
	p.forward = p.newForwarder()
	if p.ErrorLog == nil {
		p.ErrorLog = log.New(io.Discard, "", 0)
	}
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	srv := &http.Server{
		Handler:                      p,
		DisableGeneralOptionsHandler: true, // for what is not meant for a proxy
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  idleTimeout,
		ErrorLog:                     p.ErrorLog,
		BaseContext:                  func(net.Listener) context.Context { return requests },
		ConnContext:                  p.withClient,
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTimeout)
		_ = srv.Shutdown(grace) // an error means that Close has something to do
		cancel()
		<-ended
	}
	cut()
	_ = srv.Close() // the listener's error, and that is closed
	p.active.Wait()
	p.transport.CloseIdleConnections()
	return err
}

// refusal is an answer of the proxy itself.
type refusal struct {
	status int
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Errorf(format, args...)}
}

// ServeHTTP serves one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.active.Add(1)
	defer p.active.Done()
	x := &visit{proxy: p, ResponseWriter: w, started: time.Now(), entry: Entry{Method: r.Method}}
	defer x.done()
	x.entry.Target = display(r.URL)
	if r.Method == http.MethodConnect {
		x.entry.Target = r.URL.Host
	}
	if err := p.admit(r); err != nil {
		x.fail(r, err)
		return
	}
	if r.Method == http.MethodConnect {
		p.tunnel(x, r)
		return
	}
	if left := r.Header.Get("Max-Forwards"); r.Method == http.MethodOptions && left != "" {
		n, err := strconv.ParseUint(left, 10, 32)
		if err != nil {
			x.fail(r, refuse(http.StatusBadRequest, "Max-Forwards is no number"))
			return
		}
		if n == 0 {
			x.WriteHeader(http.StatusOK)
			return
		}
		r.Header.Set("Max-Forwards", strconv.FormatUint(n-1, 10))
	}
	// An answer may come while the request's body is still on its way, and must not take the rest of it.
	_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1 can
	r = r.WithContext(context.WithValue(r.Context(), visitKey{}, x))
	p.forward.ServeHTTP(x, r)
}

// admit refuses what the proxy does not do, and whom it does not serve.
func (p *Proxy) admit(r *http.Request) error {
	if err := checkTarget(r); err != nil {
		return err
	}
	if err := p.admitClient(r); err != nil {
		return err
	}
	for _, v := range r.Header["Via"] {
		for by := range strings.SplitSeq(v, ",") {
			if f := strings.Fields(by); len(f) > 1 && f[1] == p.pseudonym {
				return refuse(http.StatusLoopDetected, "the request has been here before: a proxy leads back to this one")
			}
		}
	}
	return nil
}

// checkTarget wants an absolute http URL, or for CONNECT a host and a port. A web page can have a browser send a
// request for a path to any address, so a path is never served.
func checkTarget(r *http.Request) error {
	if r.Method == http.MethodConnect {
		host, port, err := net.SplitHostPort(r.RequestURI)
		if n, errPort := strconv.ParseUint(port, 10, 16); err != nil || errPort != nil || n == 0 || !isHost(host) {
			return refuse(http.StatusBadRequest, "CONNECT is for host:port")
		}
		if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
			return refuse(http.StatusBadRequest, "a CONNECT has no body")
		}
		return nil
	}
	u := r.URL
	switch {
	case u.Scheme == "" || strings.HasPrefix(r.RequestURI, "/"):
		return refuse(http.StatusBadRequest, "this is a proxy, and a request to it has a whole URL: set http_proxy to its address")
	case u.Scheme != "http":
		return refuse(http.StatusBadRequest, "a %s URL is not for this proxy: https goes by CONNECT", u.Scheme)
	case u.User != nil:
		return refuse(http.StatusBadRequest, "the URL has a user in it, which belongs into Authorization")
	case u.Opaque != "" || !isHost(u.Hostname()):
		return refuse(http.StatusBadRequest, "the URL names no host")
	case r.Method == http.MethodTrace:
		// It would show the client the tokens that were added to its request.
		return refuse(http.StatusMethodNotAllowed, "TRACE is not served")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return refuse(http.StatusBadRequest, "the URL has a bad port")
		}
	}
	return nil
}

// isHost reports whether a host has only what names and addresses are made of, so that all who read it read the same.
func isHost(host string) bool {
	for i := range len(host) {
		c := host[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == ':':
		default:
			return false
		}
	}
	return host != "" && host != "."
}

// plainHost is a host as the rules have it.
func plainHost(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

// route returns the proxy that leads to a host; nil: none.
func (p *Proxy) route(host string) *url.URL {
	if p.Upstream == nil || p.Direct != nil && p.Direct(plainHost(host)) {
		return nil
	}
	return p.Upstream
}

// via is this proxy's element of Via, for a message of a version.
func (p *Proxy) via(major, minor int) string {
	return fmt.Sprintf("%d.%d %s", major, minor, p.pseudonym)
}

// visit is a request that is being served. It is the ResponseWriter, so that it knows the status.
type visit struct {
	http.ResponseWriter
	proxy   *Proxy
	started time.Time
	entry   Entry
}

type visitKey struct{}

func visitOf(ctx context.Context) *visit { return ctx.Value(visitKey{}).(*visit) }

// Unwrap is for http.ResponseController.
func (x *visit) Unwrap() http.ResponseWriter { return x.ResponseWriter }

func (x *visit) WriteHeader(status int) {
	if status == http.StatusContinue {
		return // the server sends one by itself once the body is read, and a second where it races with the origin's
	}
	if status >= 200 || status == http.StatusSwitchingProtocols {
		x.entry.Status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// fail answers a request that led nowhere, with the reason.
func (x *visit) fail(r *http.Request, err error) {
	x.entry.Err = err
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody waits for an answer
	}
	h := x.Header()
	clear(h)
	status := statusOf(err)
	switch status {
	case http.StatusProxyAuthRequired:
		h.Set("Proxy-Authenticate", `Basic realm="nego proxy"`)
	case http.StatusForbidden, http.StatusBadRequest:
		h.Set("Connection", "close")
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	x.WriteHeader(status)
	_, _ = fmt.Fprintf(x, "nego proxy: %s\n", plain.Replace(err.Error())) // fails where the client has gone
}

// plain takes off the names of packages, which say nothing to a client.
var plain = strings.NewReplacer("negotiate: ", "", "gssapi: ", "")

// done tells of the request.
func (x *visit) done() {
	x.entry.Duration = time.Since(x.started)
	if x.proxy.Log != nil {
		x.proxy.Log(x.entry)
	}
}

// statusOf is what a client is told about an error.
func statusOf(err error) int {
	var r *refusal
	var e net.Error
	switch {
	case errors.As(err, &r):
		return r.status
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &e) && e.Timeout():
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// display is a URL without the parts that may hold secrets.
func display(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return shown.String()
}

// listed reports whether Connection names a header field, which is then for this proxy alone.
func listed(h http.Header, name string) bool {
	return httpguts.HeaderValuesContainsToken(h["Connection"], name)
}

package serve

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/nego-sso/nego/negotiate"
)

// Server serves those who sign on. Root or Upstream says what they get; without both it is the endpoint that other servers
// ask about the requests of their clients. Its fields are not changed once Serve was called, which is called once.
type Server struct {
	// Auth finds out who has sent a request.
	Auth *negotiate.Authenticator

	// Require says who is let in; none is everybody.
	Require []Rule

	// Root has the files to serve.
	Root *os.Root

	// Upstream is the server that requests go on to: http or https, and the path that theirs are below.
	Upstream *url.URL

	// KeepHost passes the Host field on as it came. Otherwise the upstream gets its own, and the other in X-Forwarded-Host.
	KeepHost bool

	// UserHeader is the header field that tells the upstream, or the server that asks, who the user is. Others begin
	// with it: -Realm, and -Local where the machine knows an account.
	UserHeader string

	// BehindTLS says that a proxy in front ends TLS. Its X-Forwarded-For is kept.
	BehindTLS bool

	// ForwardedHost takes a request's host from X-Forwarded-Host, which the server that asks must set itself.
	ForwardedHost bool

	// Certificate is for TLS; nil is plain http.
	Certificate *Certificate

	// Access gets a line for each request, in one Write; nil gets none. It may be called by several goroutines at once.
	Access io.Writer

	// Log is told what goes wrong.
	Log *slog.Logger

	// Grace is how long requests under way may take when the server ends.
	Grace time.Duration

	auth      http.Handler // finds out who it is, and calls admit
	served    http.Handler // what those get who are let in
	transport *http.Transport
	active    sync.WaitGroup
}

const (
	headerTimeout = 30 * time.Second // for a client to send a header
	idleTimeout   = 2 * time.Minute  // for a client's next request

	// A token of 64 KiB, the largest that is taken, has 87 KiB in base64; the rest is for cookies.
	maxHeader = 256 << 10
)

// Serve serves the connections of a listener until ctx ends. Then it takes no more, lets requests finish for the time of
// Grace, and returns nil when nothing is left of them.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.auth = s.Auth.Handler(http.HandlerFunc(s.admit))
	switch {
	case s.Root != nil:
		s.served = newFiles(s.Root)
	case s.Upstream != nil:
		s.transport = newTransport()
		defer s.transport.CloseIdleConnections()
		s.served = s.newForwarder()
	default:
		s.served = http.HandlerFunc(s.answer)
	}
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	srv := &http.Server{
		Handler:                      s,
		DisableGeneralOptionsHandler: true, // it would answer strangers
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader,
		ErrorLog:                     s.errorLog(),
		BaseContext:                  func(net.Listener) context.Context { return requests },
		ConnContext:                  s.Auth.ConnContext,
	}
	ended := make(chan error, 1)
	go func() {
		if s.Certificate == nil {
			ended <- srv.Serve(l)
			return
		}
		srv.TLSConfig = s.Auth.TLSConfig(&tls.Config{GetCertificate: s.Certificate.get})
		ended <- srv.ServeTLS(l, "", "")
	}()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		grace, cancel := context.WithTimeout(requests, s.Grace)
		_ = srv.Shutdown(grace) // an error means that Close has something to do
		cancel()
		<-ended
	}
	cut() // connections that have changed their protocol end here
	_ = srv.Close()
	s.active.Wait()
	return err
}

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.active.Add(1)
	defer s.active.Done()
	v := &visit{ResponseWriter: w}
	defer s.record(v, r, time.Now())
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		// A tunnel is not what this server is for, and TRACE would show a client what was added to its request.
		http.Error(v, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
	if s.ForwardedHost {
		hosts := r.Header["X-Forwarded-Host"]
		if len(hosts) != 1 || hosts[0] == "" {
			http.Error(v, "Bad Request: X-Forwarded-Host is to name one host", http.StatusBadRequest)
			return
		}
		r.Host = hosts[0]
	}
	s.auth.ServeHTTP(v, r)
}

// admit serves a request whose user is known.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) {
	id, ok := negotiate.FromContext(r.Context())
	if ok {
		visitOf(r.Context()).user = id.Initiator.String()
	}
	if !ok || !admits(s.Require, id.Initiator.String()) {
		// Not 401, which a client would answer with the same ticket.
		http.Error(w, "Forbidden: you are known, and not let in.", http.StatusForbidden)
		return
	}
	s.served.ServeHTTP(w, r)
}

// answer tells another server that a request may pass, and whose it is.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	if id, ok := negotiate.FromContext(r.Context()); ok { // admit has looked
		s.tell(w.Header(), id)
		w.WriteHeader(http.StatusOK)
	}
}

// errorLog is for what net/http has to say, which anybody can cause.
func (s *Server) errorLog() *log.Logger { return slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug) }

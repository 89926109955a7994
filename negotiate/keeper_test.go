package negotiate

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// keeper is a server that keeps the user with the connection, as Apache does with GssapiConnectionBound: a request
// without a token is that user's who sent the last one on its connection.
type keeper struct {
	*site
	t       testing.TB
	bind    bool                                         // the acceptor checks channel bindings
	mute    bool                                         // the server does not prove itself
	trusted func(*gssapi.SecContext, *gssapi.Credential) // gets what was delegated

	mu    sync.Mutex
	kept  map[*kept]bool
	cert  *tls.Certificate // for connections to come
	hash  crypto.Hash      // of the binding to it; zero: nothing is expected
	shown sync.Map         // net.Conn: []byte, the binding of the certificate that it was shown

	serial atomic.Int64
}

// kept is one connection.
type kept struct {
	number int64
	conn   net.Conn

	mu        sync.Mutex
	user      string
	delegated bool
	requests  int
}

type keptKey struct{}

func newUnstartedKeeper(t testing.TB) *keeper {
	k := &keeper{t: t, kept: make(map[*kept]bool)}
	k.site = newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { k.serve(w, r) })
	k.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that nobody needed after all
	byConn := make(map[net.Conn]*kept)
	k.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		here := &kept{number: k.serial.Add(1), conn: c}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.kept[here], byConn[c] = true, here
		return context.WithValue(ctx, keptKey{}, here)
	}
	k.Config.ConnState = func(c net.Conn, state http.ConnState) {
		k.count(c, state)
		if state == http.StateClosed || state == http.StateHijacked {
			k.mu.Lock()
			defer k.mu.Unlock()
			delete(k.kept, byConn[c])
			delete(byConn, c)
		}
	}
	t.Cleanup(k.Close)
	return k
}

// newKeeper starts one at http://localhost.
func newKeeper(t testing.TB) *keeper {
	k := newUnstartedKeeper(t)
	k.Start()
	k.URL = "http://localhost:" + k.port()
	return k
}

// newSecureKeeper starts one at https://localhost, which shows the certificate that show was last called with.
func newSecureKeeper(t testing.TB, http2 bool) *keeper {
	k := newUnstartedKeeper(t)
	k.EnableHTTP2 = http2
	k.TLS = &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		var data []byte
		if k.hash != 0 {
			sum := k.hash.New()
			sum.Write(k.cert.Certificate[0])
			data = sum.Sum([]byte("tls-server-end-point:"))
		}
		k.shown.Store(h.Conn, data)
		return k.cert, nil
	}}
	k.StartTLS()
	k.URL = "https://localhost:" + k.port()
	return k
}

func (k *keeper) show(cert *tls.Certificate, hash crypto.Hash) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cert, k.hash = cert, hash
}

// users counts the connections that are open, by user.
func (k *keeper) users() map[string]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := make(map[string]int)
	for c := range k.kept {
		c.mu.Lock()
		n[c.user]++
		c.mu.Unlock()
	}
	return n
}

// serve answers with the user's name. A request for /always needs a token whoever the connection belongs to.
func (k *keeper) serve(w http.ResponseWriter, r *http.Request) {
	here := r.Context().Value(keptKey{}).(*kept)
	here.mu.Lock()
	defer here.mu.Unlock()
	here.requests++
	w.Header().Set("X-Connection", fmt.Sprint(here.number))
	token, err := requestToken(r.Header)
	switch {
	case errors.Is(err, ErrNoToken) && here.user != "" && r.URL.Path != "/always":
	case err != nil:
		w.Header().Set(askHeader, "Negotiate")
		w.WriteHeader(401)
		io.WriteString(w, "who are you?")
		return
	default:
		sc := gssapi.NewAcceptor(&gssapi.Options{ChannelBinding: k.binding(here.conn)})
		defer sc.Close()
		out, err := sc.Step(r.Context(), token)
		value := "Negotiate"
		if len(out) > 0 {
			value = fieldValue(out)
		}
		w.Header().Set(askHeader, value)
		if err != nil || !sc.Established() {
			w.WriteHeader(401)
			fmt.Fprint(w, err)
			return
		}
		here.user, here.delegated = sc.Info().Initiator.String(), sc.Info().Flags&gssapi.FlagDelegate != 0
		if k.mute {
			w.Header().Del(askHeader)
		}
		w.Header().Set("X-Bound", fmt.Sprint(sc.Info().Flags&gssapi.FlagChannelBound != 0))
		if k.trusted != nil {
			k.trusted(sc, sc.Delegated())
		}
	}
	w.Header().Set("X-Delegated", fmt.Sprint(here.delegated))
	text, _ := io.ReadAll(r.Body)
	fmt.Fprint(w, here.user, string(text))
}

func (k *keeper) binding(c net.Conn) *gssapi.ChannelBinding {
	t, ok := c.(*tls.Conn)
	if !ok || !k.bind {
		return nil
	}
	data, _ := k.shown.Load(t.NetConn())
	return &gssapi.ChannelBinding{Data: data.([]byte)}
}

// sendTo is a Base whose connections all lead to one server, whatever the URL.
func sendTo(addr string) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: true,
	}
}

// command runs a Kerberos program in the environment of the test's process.
func command(t testing.TB, name string, arg ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, arg...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(arg, " "), err, out)
	}
}

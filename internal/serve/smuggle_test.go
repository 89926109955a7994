package serve

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/nego-sso/nego/internal/smuggle"
)

// Whatever a client sends, its requests arrive at the upstream as they can be read in one way alone, and no more of them than it
// has signed on for.
func TestSmuggling(t *testing.T) {
	back := smuggle.NewBackend(t, realUser)
	s := start(t, &Server{Upstream: &url.URL{Scheme: "http", Host: back.Addr}})
	chain := smuggle.Chain{Back: back, Front: s.addr, Target: path, Fields: sent(t), End: func() { s.lines() }}
	chain.Check(t)
}

// Nor does what HTTP/1.1 has no room for become something else there.
func TestSmugglingHTTP2(t *testing.T) {
	cert, key, _ := newCertificate(t)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := errors.Join(os.WriteFile(certFile, cert, 0o600), os.WriteFile(keyFile, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadCertificate(certFile, keyFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	back := smuggle.NewBackend(t, realUser)
	s := start(t, &Server{Upstream: &url.URL{Scheme: "http", Host: back.Addr}, Certificate: loaded})
	chain := smuggle.Chain{Back: back, Front: s.addr, Target: path, Fields: sent(t), End: func() { s.lines() }}
	chain.CheckHTTP2(t)
}

// path is a request's target where the server that it is sent to serves it.
func path(p string) string { return p }

// sent is what a client sends with each request: whom it means, and who it is.
func sent(t *testing.T) func() string {
	return func() string { return "Host: localhost\r\nAuthorization: " + token(t) + "\r\n" }
}

//go:build docker

package tests

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
)

const (
	alice = "alice@NEGO.TEST"
	bob   = "bob@OTHER.TEST"

	realmDir = "/realm" // where the KDCs leave krb5.conf and keytabs
)

// setting is a variable that docker/compose.yaml sets.
func setting(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set: these tests are run by make docker-test", name)
	}
	return v
}

func keytab(name string) string { return filepath.Join(realmDir, name+".keytab") }

// login gets a ticket, from a KDC and not from a cache, with the user's keytab.
func login(t *testing.T, user string) *gssapi.Credential {
	t.Helper()
	name, _, _ := strings.Cut(user, "@")
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{
		Name:  gssapi.Principal(user),
		Store: gssapi.Store{CCache: "FILE:" + filepath.Join(t.TempDir(), "cc"), ClientKeytab: keytab(name)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cred.Close() })
	return cred
}

// base trusts the certificate that Apache has made for itself, and has a proxy, or none where it is "".
func base(t *testing.T, proxy string) *http.Transport {
	t.Helper()
	resp, err := http.Get("http://" + setting(t, "WEB") + "/certificate")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	pem, err := io.ReadAll(resp.Body)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s is no certificate: %s, %v", resp.Request.URL, resp.Status, err)
	}
	b := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil {
			t.Fatal(err)
		}
		b.Proxy = http.ProxyURL(u)
	}
	return b
}

func newClient(t *testing.T, tr *negotiate.Transport) *http.Client {
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// do returns a response and the text of its body.
func do(t *testing.T, c *http.Client, method, url string, body io.Reader) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(bytes.TrimSpace(text))
}

// get is do for a page that has to be there, whose text begins with the user's name.
func get(t *testing.T, c *http.Client, url, user string) *http.Response {
	t.Helper()
	resp, text := do(t, c, "GET", url, nil)
	if got, _, _ := strings.Cut(text, " "); resp.StatusCode != 200 || got != user || negotiate.OutcomeOf(resp).Err != nil {
		t.Fatalf("%s: %s as %q, want %s: %+v", url, resp.Status, text, user, negotiate.OutcomeOf(resp))
	}
	return resp
}

// serve runs a nego server on this host, with the keys of the name that it is called by, and returns its URL.
func serve(t *testing.T, address string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{
		Name: gssapi.Service("HTTP", host), Usage: gssapi.Accept, Store: gssapi.Store{Keytab: keytab(host)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cred.Close() })
	auth := &negotiate.Authenticator{Credential: cred}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := negotiate.FromContext(r.Context())
		fmt.Fprint(w, id.Initiator, " ", r.UserAgent())
	}))}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	return "http://" + address + "/"
}

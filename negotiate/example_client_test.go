package negotiate_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
)

// show prints a response.
func show(resp *http.Response, err error) {
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status, string(body))
}

// The server must prove that it is the one that the ticket is for. A response without proof is an error.
func ExampleTransport_mutual() {
	s, url := server()
	defer s.Close()
	impostor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "trust me")
	}))
	defer impostor.Close()

	client := &http.Client{Transport: &negotiate.Transport{Mutual: negotiate.MutualRequired}}
	show(client.Get(url))
	_, err := client.Get(strings.Replace(impostor.URL, "127.0.0.1", "localhost", 1))
	fmt.Println(errors.Is(err, negotiate.ErrMutual))
	// Output:
	// 200 OK hello, user@NEGO.TEST
	// true
}

// A token goes with each request, before the server asks: one round trip, and a body that is sent once. It is what
// servers need that authenticate connections, such as IIS for WinRM, where mutual authentication is required.
func ExampleTransport_preemptive() {
	s, url := server()
	defer s.Close()

	client := &http.Client{Transport: &negotiate.Transport{Preemptive: negotiate.PreemptAlways}}
	r, w := io.Pipe() // can be read only once
	go func() {
		fmt.Fprint(w, "text")
		w.Close()
	}()
	show(client.Post(url, "text/plain", r))
	// Output: 200 OK hello, user@NEGO.TEST
}

// The host of the URL is an alias, of a load balancer, say: the name in the ticket is another one. It is a whole
// name, of service and host.
func ExampleTransport_target() {
	s, url := server()
	defer s.Close()
	alias := strings.Replace(url, "localhost", "127.0.0.1", 1)

	client := &http.Client{Transport: &negotiate.Transport{Target: targets(map[string]gssapi.Name{
		"127.0.0.1": gssapi.Service("HTTP", "localhost"),
	})}}
	resp, err := client.Get(alias)
	show(resp, err)
	fmt.Println(negotiate.OutcomeOf(resp).Target)
	// Output:
	// 200 OK hello, user@NEGO.TEST
	// HTTP@localhost
}

// targets names the services at some hosts. The zero name, for all others, is HTTP at the host.
func targets(m map[string]gssapi.Name) func(*url.URL) gssapi.Name {
	return func(u *url.URL) gssapi.Name { return m[u.Hostname()] }
}

// The user is not the default one, but another one of the ticket cache's collection.
func ExampleTransport_principal() {
	s, url := server()
	defer s.Close()

	cred, err := gssapi.Acquire(context.Background(), &gssapi.CredentialOptions{Name: gssapi.User("user@NEGO.TEST")})
	if err != nil {
		log.Fatal(err) // there is no such ticket
	}
	defer cred.Close()
	client := &http.Client{Transport: &negotiate.Transport{Credential: cred}}
	show(client.Get(url))
	// Output: 200 OK hello, user@NEGO.TEST
}

// Plain Kerberos, without SPNEGO around it.
func ExampleTransport_mechanism() {
	s, url := server()
	defer s.Close()

	krb5, err := gssapi.MechBySASLName("GS2-KRB5") // the same as gssapi.KRB5
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: &negotiate.Transport{Mech: krb5}}
	resp, err := client.Get(url)
	show(resp, err)
	fmt.Println(negotiate.OutcomeOf(resp).Mech)
	// Output:
	// 200 OK hello, user@NEGO.TEST
	// 1.2.840.113554.1.2.2
}

// The server gets the user's own ticket, if it is one that may: it can act as the user everywhere.
func ExampleTransport_delegation() {
	s, url := server()
	defer s.Close()

	client := &http.Client{Transport: &negotiate.Transport{
		Delegate:      negotiate.DelegateAlways,
		AllowDelegate: allowHost("localhost"),
	}}
	resp, err := client.Get(url)
	show(resp, err)
	fmt.Println("delegated:", negotiate.OutcomeOf(resp).Delegated)
	// Output:
	// 200 OK hello, user@NEGO.TEST
	// delegated: true
}

func allowHost(host string) func(*url.URL) bool {
	return func(u *url.URL) bool { return u.Hostname() == host }
}

// What happens is logged: the flow for debugging, failures of the GSSAPI library as warnings.
func ExampleTransport_logging() {
	s, url := server()
	defer s.Close()

	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		// For an example that prints the same each time.
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.LevelKey, slog.MessageKey, "component", "status":
				return a
			}
			return slog.Attr{}
		},
	}))
	client := &http.Client{Transport: &negotiate.Transport{Trace: negotiate.LogTrace(logger)}}
	show(client.Get(url))
	// Output:
	// level=DEBUG msg="server asks for Negotiate" component=negotiate
	// level=DEBUG msg=initiate component=gssapi
	// level=DEBUG msg="request done" component=negotiate status=200
	// 200 OK hello, user@NEGO.TEST
}

// A proxy that asks for Kerberos gets a token for itself, beside the one that the server gets.
func ExampleTransport_proxy() {
	s, url := server()
	defer s.Close()
	p, proxyURL := proxy()
	defer p.Close()

	client := &http.Client{Transport: &negotiate.Transport{
		Base:      &http.Transport{Proxy: http.ProxyURL(proxyURL)}, // or http.ProxyFromEnvironment, as Base nil has
		ProxyAuth: true,
	}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(url)
	show(resp, err)
	fmt.Println(resp.Header.Get("Via"))
	// Output:
	// 200 OK hello, user@NEGO.TEST
	// 1.1 user@NEGO.TEST
}

// proxy is one for http that asks for Negotiate.
func proxy() (*httptest.Server, *url.URL) {
	var forward http.Transport
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, data, _ := strings.Cut(r.Header.Get("Proxy-Authorization"), " ")
		token, _ := base64.StdEncoding.DecodeString(data)
		sc := gssapi.NewAcceptor(nil)
		defer sc.Close()
		if _, err := sc.Step(r.Context(), token); err != nil || !sc.Established() {
			w.Header().Set("Proxy-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		r.RequestURI = ""
		r.Header.Del("Proxy-Authorization")
		resp, err := forward.RoundTrip(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.Header().Set("Via", "1.1 "+sc.Info().Initiator.String())
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
	}))
	u, err := url.Parse(strings.Replace(s.URL, "127.0.0.1", "localhost", 1))
	if err != nil {
		log.Fatal(err)
	}
	return s, u
}

// Tokens are tied to the server's certificate (tls-server-end-point), so that they are of no use to whoever is in
// between.
func ExampleTransport_channelBinding() {
	s := httptest.NewTLSServer(new(negotiate.Authenticator).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := negotiate.FromContext(r.Context())
		fmt.Fprintf(w, "hello, %s", id.Initiator)
	})))
	defer s.Close()

	client := &http.Client{Transport: &negotiate.Transport{
		Base:           &http.Transport{TLSClientConfig: trust(s)},
		ChannelBinding: negotiate.BindRequired, // or BindIfTLS, which lets plain http pass
	}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(strings.Replace(s.URL, "127.0.0.1", "localhost", 1))
	show(resp, err)
	fmt.Println("bound:", negotiate.OutcomeOf(resp).ChannelBound)
	// Output:
	// 200 OK hello, user@NEGO.TEST
	// bound: true
}

// trust trusts a test server's certificate, which is for example.com.
func trust(s *httptest.Server) *tls.Config {
	c := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	c.ServerName = "example.com"
	return c
}

package negotiate_test

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
)

// server is one to try the client with, at http://localhost.
func server() (*httptest.Server, string) {
	s := httptest.NewServer(new(negotiate.Authenticator).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := negotiate.FromContext(r.Context())
		fmt.Fprintf(w, "hello, %s", id.Initiator)
	})))
	return s, strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
}

// The zero Transport uses the default ticket cache, as curl --negotiate -u : does.
func ExampleTransport() {
	s, url := server()
	defer s.Close()

	client := &http.Client{Transport: &negotiate.Transport{}}
	resp, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	if err := negotiate.OutcomeOf(resp).Err; err != nil {
		log.Fatal(err) // there is no ticket, say; resp is the server's 401
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", resp.Status, body)
	// Output: 200 OK: hello, user@NEGO.TEST
}

// Only hosts of one domain get a token, they must prove who they are, and what fails is an error.
func ExampleTransport_settings() {
	client := &http.Client{Transport: &negotiate.Transport{
		Mutual: negotiate.MutualRequired,
		Allow:  func(u *url.URL) bool { return strings.HasSuffix(u.Hostname(), ".example.com") },
		Target: func(u *url.URL) gssapi.Name {
			if u.Hostname() == "www.example.com" {
				return gssapi.Service("HTTP", "loadbalancer.example.com")
			}
			return gssapi.Name{} // HTTP at the host of the URL
		},
		Strict: true,
		Trace:  negotiate.LogTrace(slog.Default()),
	}}
	defer client.CloseIdleConnections()
}

func ExampleOutcomeOf() {
	s, url := server()
	defer s.Close()

	client := &http.Client{Transport: &negotiate.Transport{Mutual: negotiate.MutualRequired}}
	resp, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	o := negotiate.OutcomeOf(resp)
	fmt.Println(o.Target, o.Mutual, o.Legs, o.Err)
	// Output: HTTP@localhost true 1 <nil>
}

// A server: the handlers behind it know who the user is.
func ExampleAuthenticator() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		id, _ := negotiate.FromContext(r.Context())
		fmt.Fprintf(w, "hello, %s", id.Initiator)
	})
	a := new(negotiate.Authenticator) // any HTTP service in the default keytab
	s := httptest.NewServer(a.Handler(mux))
	defer s.Close()

	resp, err := http.Get(s.URL) // without a token
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status, resp.Header.Get("WWW-Authenticate"))
	// Output: 401 Unauthorized Negotiate
}

// A handler that decides by itself what to do.
func ExampleAuthenticator_Authenticate() {
	a := new(negotiate.Authenticator)
	http.HandleFunc("/whoami", func(w http.ResponseWriter, r *http.Request) {
		id, err := a.Authenticate(w, r)
		if err != nil {
			http.Error(w, "please log in", http.StatusUnauthorized)
			return
		}
		fmt.Fprintln(w, id.Initiator)
	})
}

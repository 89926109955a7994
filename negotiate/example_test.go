package negotiate_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"time"

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

// Handler is a middleware: it protects a single pattern of a mux, as here, or a whole router, as in router.Use(a.Handler).
func ExampleAuthenticator_Handler() {
	a := new(negotiate.Authenticator)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "for everybody")
	})
	mux.Handle("GET /items/{id}", a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := negotiate.FromContext(r.Context())
		fmt.Fprintf(w, "item %s of %s", r.PathValue("id"), id.Initiator)
	})))
	s := httptest.NewServer(mux)
	defer s.Close()

	client := &http.Client{Transport: &negotiate.Transport{}}
	for _, path := range []string{"/", "/items/7"} {
		resp, err := client.Get(strings.Replace(s.URL, "127.0.0.1", "localhost", 1) + path)
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(os.Stdout, resp.Body)
		resp.Body.Close()
		fmt.Println()
	}
	// Output:
	// for everybody
	// item 7 of user@NEGO.TEST
}

// Each user authenticates once in eight hours, whichever of several servers with the same key answers.
func ExampleSessions() {
	key, err := hex.DecodeString(os.Getenv("SESSION_KEY")) // openssl rand -hex 32
	if err != nil {
		log.Fatal(err)
	}
	a := &negotiate.Authenticator{Sessions: &negotiate.Sessions{Keys: [][]byte{key}, MaxAge: 8 * time.Hour}}
	http.Handle("/", a.Handler(http.FileServer(http.Dir("/srv/www"))))
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

// A log around everything, with the user's name. A middleware in front of the Authenticator has the request as it came, so it
// leaves a place for the name in its context, and the Trace fills it.
func ExampleTrace() {
	type place struct{}
	a := &negotiate.Authenticator{Trace: &negotiate.Trace{
		Accept: func(ctx context.Context, i negotiate.AcceptInfo) {
			if user, ok := ctx.Value(place{}).(*string); ok {
				*user = i.Identity.String()
			}
		},
	}}
	logged := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user := "-"
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), place{}, &user)))
			fmt.Println(user, r.Method, r.URL.Path)
		})
	}
	s := httptest.NewServer(logged(a.Handler(http.NotFoundHandler())))
	defer s.Close()

	client := &http.Client{Transport: &negotiate.Transport{}}
	resp, err := client.Get(strings.Replace(s.URL, "127.0.0.1", "localhost", 1) + "/page")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	// Output:
	// - GET /page
	// user@NEGO.TEST GET /page
}

package kerberos_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/nego-sso/nego/compat/kerberos"
	"github.com/nego-sso/nego/negotiate"
)

// The examples are those of requests-kerberos' documentation, in its order, against a server in a test realm.

// serve is a server that greets whom it has authenticated, at http://localhost.
func serve(answer http.HandlerFunc) (url string, end func()) {
	s := httptest.NewServer(new(negotiate.Authenticator).Handler(answer))
	return strings.Replace(s.URL, "127.0.0.1", "localhost", 1), s.Close
}

func greet(w http.ResponseWriter, r *http.Request) {
	id, _ := negotiate.FromContext(r.Context())
	fmt.Fprintf(w, "hello, %s", id.Initiator)
}

// mute proves nothing.
func mute(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Del("WWW-Authenticate")
		w.WriteHeader(status)
		greet(w, r)
	}
}

func show(resp *http.Response, err error) {
	if err != nil {
		fmt.Println("error:", errors.Is(err, negotiate.ErrMutual))
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.TrimSpace(resp.Status + " " + string(body)))
}

// Basic use: requests.get(url, auth=HTTPKerberosAuth()).
func Example() {
	url, end := serve(greet)
	defer end()
	client := &http.Client{Transport: &kerberos.HTTPKerberosAuth{}}
	show(client.Get(url))
	// Output: 200 OK hello, user@NEGO.TEST
}

// Client authentication failures: the caller gets the 401, and here the reason with it.
func Example_authenticationFailures() {
	s := httptest.NewServer(new(negotiate.Authenticator).Handler(http.HandlerFunc(greet)))
	defer s.Close()
	client := &http.Client{Transport: &kerberos.HTTPKerberosAuth{}}
	resp, err := client.Get(s.URL) // by the IP address, for which there is no service
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, negotiate.OutcomeOf(resp).Err != nil)
	// Output: 401 Unauthorized true
}

// HTTPKerberosAuth(mutual_authentication=REQUIRED, sanitize_mutual_error_response=False)
func Example_required() {
	url, end := serve(mute(http.StatusOK))
	defer end()
	failing, end := serve(mute(http.StatusNotFound))
	defer end()

	client := &http.Client{Transport: &kerberos.HTTPKerberosAuth{MutualAuthentication: kerberos.Required}}
	show(client.Get(url))
	show(client.Get(failing))
	client = &http.Client{Transport: &kerberos.HTTPKerberosAuth{
		MutualAuthentication:        kerberos.Required,
		SanitizeMutualErrorResponse: kerberos.False,
	}}
	show(client.Get(failing))
	// Output:
	// error: true
	// 404 Not Found
	// 404 Not Found hello, user@NEGO.TEST
}

// HTTPKerberosAuth(mutual_authentication=OPTIONAL)
func Example_optional() {
	url, end := serve(mute(http.StatusOK))
	defer end()
	client := &http.Client{Transport: &kerberos.HTTPKerberosAuth{MutualAuthentication: kerberos.Optional}}
	show(client.Get(url))
	// Output: 200 OK hello, user@NEGO.TEST
}

// HTTPKerberosAuth(mutual_authentication=DISABLED)
func Example_disabled() {
	url, end := serve(greet)
	defer end()
	client := &http.Client{Transport: &kerberos.HTTPKerberosAuth{MutualAuthentication: kerberos.Disabled}}
	show(client.Get(url))
	// Output: 200 OK hello, user@NEGO.TEST
}

// HTTPKerberosAuth(mutual_authentication=REQUIRED, force_preemptive=True)
func Example_preemptive() {
	url, end := serve(greet)
	defer end()
	client := &http.Client{Transport: &kerberos.HTTPKerberosAuth{ForcePreemptive: true}}
	resp, err := client.Post(url, "text/plain", strings.NewReader("sent once"))
	show(resp, err)
	// Output: 200 OK hello, user@NEGO.TEST
}

// HTTPKerberosAuth(hostname_override="internalhost.local")
func Example_hostnameOverride() {
	url, end := serve(greet)
	defer end()
	client := &http.Client{Transport: &kerberos.HTTPKerberosAuth{HostnameOverride: "internalhost.nego.test"}}
	resp, err := client.Get(url)
	show(resp, err)
	fmt.Println(negotiate.OutcomeOf(resp).Target)
	// Output:
	// 200 OK hello, user@NEGO.TEST
	// HTTP@internalhost.nego.test
}

// HTTPKerberosAuth(principal="user@REALM", password="SecretPassword")
func Example_password() {
	url, end := serve(greet)
	defer end()
	client := &http.Client{Transport: &kerberos.HTTPKerberosAuth{Principal: "alice@NEGO.TEST", Password: "wonderland"}}
	show(client.Get(url))
	// Output: 200 OK hello, alice@NEGO.TEST
}

// HTTPKerberosAuth(delegate=True)
func Example_delegate() {
	url, end := serve(greet)
	defer end()
	client := &http.Client{Transport: &kerberos.HTTPKerberosAuth{Delegate: true}}
	resp, err := client.Get(url)
	show(resp, err)
	fmt.Println("delegated:", negotiate.OutcomeOf(resp).Delegated)
	// Output:
	// 200 OK hello, user@NEGO.TEST
	// delegated: true
}

// Logging goes where the program says.
func Example_logging() {
	url, end := serve(greet)
	defer end()
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelWarn}))
	client := &http.Client{Transport: &kerberos.HTTPKerberosAuth{Trace: negotiate.LogTrace(logger)}}
	show(client.Get(url)) // and no warning
	// Output: 200 OK hello, user@NEGO.TEST
}

// HTTPKerberosAuth(send_cbt=False)
func Example_channelBinding() {
	url, end := serve(greet)
	defer end()
	client := &http.Client{Transport: &kerberos.HTTPKerberosAuth{SendCBT: kerberos.False}}
	show(client.Get(url))
	// Output: 200 OK hello, user@NEGO.TEST
}

package spnego_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/nego-sso/nego/compat/spnego"
	"github.com/nego-sso/nego/negotiate"
)

// The example of go-spnego's documentation. Only the import is another one.
func Example() {
	s := httptest.NewServer(new(negotiate.Authenticator).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := negotiate.FromContext(r.Context())
		fmt.Fprintf(w, "hello, %s", id.Initiator)
	})))
	defer s.Close()
	url := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)

	c := &http.Client{
		Transport: &spnego.Transport{},
	}

	resp, err := c.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status, string(body))
	// Output: 200 OK hello, user@NEGO.TEST
}

// A request of one's own, for another transport.
func ExampleNew() {
	req, err := http.NewRequest("GET", "http://localhost/", nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := spnego.New().SetSPNEGOHeader(req, true); err != nil {
		log.Fatal(err)
	}
	scheme, _, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	fmt.Println(scheme)
	// Output: Negotiate
}

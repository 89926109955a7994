//go:build !heimdal

package negotiate_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
)

// A server that calls another one as its user, who delegates nothing: constrained delegation. The KDC has to allow it, by
// krbAllowedToDelegateTo in LDAP or msDS-AllowedToDelegateTo in Active Directory.
func ExampleIdentity_TakeDelegated() {
	service, err := gssapi.Acquire(context.Background(), &gssapi.CredentialOptions{
		Name:  gssapi.Service("HTTP", "localhost"),
		Usage: gssapi.Both, // its keys, and the tickets that it gets with them
		Store: gssapi.Store{ClientKeytab: os.Getenv("KRB5_KTNAME"), CCache: "MEMORY:service"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()

	back, backURL := server() // of the same service here, which needs no permission
	defer back.Close()
	a := &negotiate.Authenticator{Credential: service}
	front := httptest.NewServer(a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := negotiate.FromContext(r.Context())
		user := id.TakeDelegated()
		if user == nil { // which a Transport would take for this program's own credential
			http.Error(w, "please come with Kerberos", http.StatusForbidden)
			return
		}
		defer user.Close()
		t := &negotiate.Transport{Credential: user, Strict: true}
		defer t.CloseIdleConnections()
		resp, err := (&http.Client{Transport: t}).Get(backURL)
		if err != nil {
			http.Error(w, "the back end does not answer", http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		fmt.Fprint(w, "the back end says: ")
		io.Copy(w, resp.Body)
	})))
	defer front.Close()

	client := &http.Client{Transport: &negotiate.Transport{}}
	resp, err := client.Get(strings.Replace(front.URL, "127.0.0.1", "localhost", 1))
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", body)
	// Output: the back end says: hello, user@NEGO.TEST
}

//go:build !heimdal

package kerberos_test

import (
	"net/http"

	"github.com/nego-sso/nego/compat/kerberos"
)

// HTTPKerberosAuth(principal="user@REALM")
func Example_principal() { // the ticket is in the collection, where Heimdal does not look
	url, end := serve(greet)
	defer end()
	client := &http.Client{Transport: &kerberos.HTTPKerberosAuth{Principal: "alice@NEGO.TEST"}}
	show(client.Get(url))
	// Output: 200 OK hello, alice@NEGO.TEST
}

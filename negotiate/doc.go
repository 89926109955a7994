// Package negotiate is HTTP Negotiate authentication (RFC 4559) for net/http, by the machine's own
// Kerberos library: single sign-on with the ticket cache, krb5.conf and keytab that every other program
// on the machine uses.
//
// A client is an http.Client with a [Transport]:
//
//	client := &http.Client{Transport: &negotiate.Transport{}}
//	resp, err := client.Get("https://intranet.example.com/")
//
// A server is a handler behind an [Authenticator]:
//
//	http.ListenAndServe(addr, new(negotiate.Authenticator).Handler(mux))
//
// where the handlers learn who the user is from [FromContext].
//
// docs/troubleshooting.md in the repository says what its errors mean, and docs/trust.md what tokens and proofs are worth.
//
// Tokens, tickets and keys are in no error, log or trace of this package; of tokens, lengths are.
package negotiate

// Package gssapi calls the machine's own GSSAPI library (RFC 2743, RFC 2744): MIT krb5's
// libgssapi_krb5. Ticket caches, krb5.conf, mechanisms and error texts are those of every other program
// on the machine.
//
// There are three nouns, [Name], [Credential] and [SecContext], and one verb, [SecContext.Step]:
//
//	c := gssapi.NewInitiator(gssapi.Service("HTTP", "www.example.com"), nil)
//	defer c.Close()
//	token, err := c.Step(ctx, nil)
//	…  send token, receive the answer …
//	token, err = c.Step(ctx, answer)
//
// Calls that may wait for a KDC, a daemon or DNS take a context and return as soon as it ends. The C
// library itself cannot be interrupted: an abandoned call ends on its own, and the number of OS
// threads that are inside the library at one time is bounded.
//
// Errors are of type [*Error] and unwrap to a [Code]. They hold what the library said, the ticket cache
// or keytab it looked in, and what can be done; never a token, key or password.
//
// Where the program is built without cgo, or for a system that is not Unix, every call returns
// [ErrUnavailable].
package gssapi

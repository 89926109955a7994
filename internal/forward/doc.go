// Package forward is the engine of `nego proxy`: a forward proxy that signs on, with the system's tickets, for
// programs that cannot.
//
// There are two ways through it. A request with an http URL goes through a [negotiate.Transport], which answers the
// upstream proxy and the origins that may have a token. A CONNECT makes a tunnel, whose bytes are not looked at; the
// upstream proxy gets its token with the CONNECT that goes on. net/http has no way to hand out the connection behind a
// CONNECT, and a server may ask for several tokens on it, so that one is written here, on gssapi.
//
// Whoever may use the proxy signs on as its user. So it serves the processes of that user alone, as the kernel knows
// them, or those who know a secret.
package forward

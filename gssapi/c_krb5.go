//go:build cgo && unix

package gssapi

// #cgo noescape nego_krb5_cache
// #cgo nocallback nego_krb5_cache
// #cgo noescape nego_krb5_keytab
// #cgo nocallback nego_krb5_keytab
// #cgo noescape nego_krb5_ticket
// #cgo nocallback nego_krb5_ticket
// #cgo noescape nego_krb5_initiator
// #cgo nocallback nego_krb5_initiator
// #include "shim.h"
import "C"
import "strings"

func krb5Cache(name string) result {
	s, n := stringArg(name)
	return take(C.nego_krb5_cache(s, n))
}

func krb5Keytab(keytab string, name Name) result {
	s, n := stringArg(keytab)
	t, tn := stringArg(name.text)
	y, yn := stringArg(name.typ)
	return take(C.nego_krb5_keytab(s, n, t, tn, y, yn))
}

func krb5Ticket(keytab string, ticket []byte) result {
	s, n := stringArg(keytab)
	t, m := bytesArg(ticket)
	return take(C.nego_krb5_ticket(s, n, t, m))
}

func krb5Initiator(target Name, ticket []byte) result {
	service, host := target.text, ""
	if target.typ == NTHostBased {
		service, host, _ = strings.Cut(service, "@")
	}
	s, n := stringArg(service)
	h, m := stringArg(host)
	t, tn := bytesArg(ticket)
	return take(C.nego_krb5_initiator(s, n, h, m, t, tn))
}

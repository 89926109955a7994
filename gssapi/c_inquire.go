//go:build cgo && unix

package gssapi

// #cgo noescape nego_ctx_inquire
// #cgo nocallback nego_ctx_inquire
// #cgo noescape nego_ctx_authdata
// #cgo nocallback nego_ctx_authdata
// #cgo nocallback nego_ctx_ticket
// #cgo nocallback nego_ctx_lucid
// #cgo noescape nego_ctx_option
// #cgo nocallback nego_ctx_option
// #cgo noescape nego_ctx_process
// #cgo nocallback nego_ctx_process
// #include "shim.h"
import "C"
import "unsafe"

func ctxInquire(ctx box, object OID) result {
	o, n := stringArg(object)
	return take(C.nego_ctx_inquire(unsafe.Pointer(ctx), o, n))
}

func ctxAuthData(ctx box, adType int32, object OID) result {
	o, n := stringArg(object)
	return take(C.nego_ctx_authdata(unsafe.Pointer(ctx), C.int(adType), o, n))
}

func ctxTicket(ctx box) result { return take(C.nego_ctx_ticket(unsafe.Pointer(ctx))) }

func ctxLucid(ctx box) result { return take(C.nego_ctx_lucid(unsafe.Pointer(ctx))) }

func ctxOption(ctx box, object OID, value []byte) result {
	o, n := stringArg(object)
	v, m := bytesArg(value)
	return take(C.nego_ctx_option(unsafe.Pointer(ctx), o, n, v, m))
}

func ctxProcess(ctx box, token []byte) result {
	p, n := bytesArg(token)
	return take(C.nego_ctx_process(unsafe.Pointer(ctx), p, n))
}

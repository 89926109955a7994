//go:build cgo && unix

package gssapi

// #cgo noescape nego_ctx_new
// #cgo nocallback nego_ctx_new
// #cgo noescape nego_init_step
// #cgo nocallback nego_init_step
// #cgo noescape nego_accept_step
// #cgo nocallback nego_accept_step
// #cgo nocallback nego_ctx_info
// #cgo nocallback nego_ctx_initiator
// #cgo noescape nego_ctx_attributes
// #cgo nocallback nego_ctx_attributes
// #cgo nocallback nego_ctx_export
// #cgo noescape nego_ctx_import
// #cgo nocallback nego_ctx_import
// #cgo nocallback nego_ctx_free
// #include "shim.h"
import "C"
import "unsafe"

func ctxNew(target Name, mech OID, bindings []byte, flags Flags, lifetime uint32) result {
	t, tn := stringArg(target.text)
	y, yn := stringArg(target.typ)
	m, mn := stringArg(mech)
	b, bn := bytesArg(bindings)
	return take(C.nego_ctx_new(t, tn, y, yn, m, mn, b, bn, C.uint32_t(flags), C.uint32_t(lifetime)))
}

func initStep(ctx, cred box, in []byte) result {
	p, n := bytesArg(in)
	return take(C.nego_init_step(unsafe.Pointer(ctx), unsafe.Pointer(cred), p, n))
}

func acceptStep(ctx, cred box, in []byte) result {
	p, n := bytesArg(in)
	return take(C.nego_accept_step(unsafe.Pointer(ctx), unsafe.Pointer(cred), p, n))
}

// ctxInfo asks for the names. The acceptor's is left out where it is known.
func ctxInfo(ctx box, mech OID, acceptor Name) result {
	ask := C.int(C.NEGO_ASK_WARILY)
	switch {
	case mech == KRB5 && acceptor.IsZero():
		ask = C.NEGO_ASK_BOTH
	case mech == KRB5:
		ask = C.NEGO_ASK_INITIATOR
	}
	return take(C.nego_ctx_info(unsafe.Pointer(ctx), ask))
}

func ctxInitiator(ctx box) result { return take(C.nego_ctx_initiator(unsafe.Pointer(ctx))) }

func ctxAttributes(ctx box, names []byte) result {
	p, n := bytesArg(names)
	return take(C.nego_ctx_attributes(unsafe.Pointer(ctx), p, n))
}

func ctxExport(ctx box) result { return take(C.nego_ctx_export(unsafe.Pointer(ctx))) }

func ctxImport(token []byte) result {
	p, n := bytesArg(token)
	return take(C.nego_ctx_import(p, n))
}

func ctxFree(ctx box) { take(C.nego_ctx_free(unsafe.Pointer(ctx))) }

//go:build cgo && unix

package gssapi

// #cgo noescape nego_wrap_iov
// #cgo nocallback nego_wrap_iov
// #cgo noescape nego_unwrap_iov
// #cgo nocallback nego_unwrap_iov
// #cgo noescape nego_mic_iov
// #cgo nocallback nego_mic_iov
// #cgo noescape nego_verify_mic_iov
// #cgo nocallback nego_verify_mic_iov
// #cgo noescape nego_wrap_aead
// #cgo nocallback nego_wrap_aead
// #cgo noescape nego_unwrap_aead
// #cgo nocallback nego_unwrap_aead
// #cgo noescape nego_prf
// #cgo nocallback nego_prf
// #include "shim.h"
import "C"
import "unsafe"

func wrapIOV(ctx box, iov []byte, count int, confidential bool) result {
	p, _ := bytesArg(iov)
	return take(C.nego_wrap_iov(unsafe.Pointer(ctx), p, C.uint32_t(count), cBool(confidential)))
}

func unwrapIOV(ctx box, iov []byte, count int) result {
	p, _ := bytesArg(iov)
	return take(C.nego_unwrap_iov(unsafe.Pointer(ctx), p, C.uint32_t(count)))
}

func micIOV(ctx box, iov []byte, count int) result {
	p, _ := bytesArg(iov)
	return take(C.nego_mic_iov(unsafe.Pointer(ctx), p, C.uint32_t(count)))
}

func verifyMICIOV(ctx box, iov []byte, count int) result {
	p, _ := bytesArg(iov)
	return take(C.nego_verify_mic_iov(unsafe.Pointer(ctx), p, C.uint32_t(count)))
}

func wrapAEAD(ctx box, assoc, msg []byte, confidential bool) result {
	a, an := bytesArg(assoc)
	p, n := bytesArg(msg)
	return take(C.nego_wrap_aead(unsafe.Pointer(ctx), a, an, p, n, cBool(confidential)))
}

func unwrapAEAD(ctx box, assoc, token []byte) result {
	a, an := bytesArg(assoc)
	p, n := bytesArg(token)
	return take(C.nego_unwrap_aead(unsafe.Pointer(ctx), a, an, p, n))
}

func prf(ctx box, full bool, in []byte, want int) result {
	p, n := bytesArg(in)
	return take(C.nego_prf(unsafe.Pointer(ctx), cBool(full), p, n, C.size_t(want)))
}

//go:build cgo && unix

package gssapi

// #cgo noescape nego_wrap
// #cgo nocallback nego_wrap
// #cgo noescape nego_unwrap
// #cgo nocallback nego_unwrap
// #cgo noescape nego_mic
// #cgo nocallback nego_mic
// #cgo noescape nego_verify_mic
// #cgo nocallback nego_verify_mic
// #cgo nocallback nego_wrap_size
// #include "shim.h"
import "C"
import "unsafe"

func cBool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func wrap(ctx box, msg []byte, confidential bool) result {
	p, n := bytesArg(msg)
	return take(C.nego_wrap(unsafe.Pointer(ctx), p, n, cBool(confidential)))
}

func unwrap(ctx box, token []byte) result {
	p, n := bytesArg(token)
	return take(C.nego_unwrap(unsafe.Pointer(ctx), p, n))
}

func mic(ctx box, msg []byte) result {
	p, n := bytesArg(msg)
	return take(C.nego_mic(unsafe.Pointer(ctx), p, n))
}

func verifyMIC(ctx box, msg, mic []byte) result {
	p, n := bytesArg(msg)
	q, m := bytesArg(mic)
	return take(C.nego_verify_mic(unsafe.Pointer(ctx), p, n, q, m))
}

func wrapSize(ctx box, max uint32, confidential bool) result {
	return take(C.nego_wrap_size(unsafe.Pointer(ctx), C.uint32_t(max), cBool(confidential)))
}

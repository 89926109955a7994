//go:build cgo && unix

package gssapi

// #cgo CFLAGS: -Wall -Wextra
// #cgo noescape nego_release
// #cgo nocallback nego_release
// #cgo nocallback nego_live
// #include "shim.h"
import "C"
import (
	"bytes"
	"unsafe"
)

// take turns the result of a shim function into Go memory and frees what the C side made for it.
// It is the only place where that happens.
func take(r C.nego_result) result { return takeAs(r, bytes.Clone) }

// takeAs is take for output that copy makes into something else on its way.
func takeAs(r C.nego_result, copy func([]byte) []byte) result {
	res := result{
		major:    uint32(r.major),
		minor:    uint32(r.minor),
		flags:    uint32(r.flags),
		lifetime: uint32(r.lifetime),
		mech:     internOID(unsafe.Slice((*byte)(r.mech), r.mech_len)),
		box:      box(r.box),
	}
	if r.out != nil {
		res.out = copy(unsafe.Slice((*byte)(r.out), r.out_len))
	}
	if r.text != nil {
		res.text = C.GoStringN(r.text, C.int(r.text_len))
	}
	if r.out != nil || r.text != nil {
		C.nego_release(r.out, r.out_len, r.gss_out, unsafe.Pointer(r.text))
	}
	return res
}

func bytesArg(b []byte) (unsafe.Pointer, C.size_t) {
	return unsafe.Pointer(unsafe.SliceData(b)), C.size_t(len(b))
}

func stringArg[S ~string](s S) (unsafe.Pointer, C.size_t) {
	return unsafe.Pointer(unsafe.StringData(string(s))), C.size_t(len(s))
}

// liveObjects counts the credentials, contexts and buffers that the C side has handed to Go and
// that were not freed yet.
func liveObjects() int64 { return int64(C.nego_live()) }

//go:build cgo && unix && !heimdal

package gssapi

// #cgo noescape nego_keys_new
// #cgo nocallback nego_keys_new
// #cgo nocallback nego_keys_changed
// #cgo nocallback nego_keys_free
// #include "shim.h"
import "C"
import "unsafe"

func keysNew(keytab, service string, host bool) result {
	k, n := stringArg(keytab)
	s, m := stringArg(service)
	var h C.int
	if host {
		h = 1
	}
	return take(C.nego_keys_new(k, n, s, m, h))
}

func keysChanged(keys box) bool { return C.nego_keys_changed(unsafe.Pointer(keys)) != 0 }

func keysFree(keys box) { take(C.nego_keys_free(unsafe.Pointer(keys))) }

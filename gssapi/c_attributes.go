//go:build cgo && unix

package gssapi

// #cgo noescape nego_name_attributes
// #cgo nocallback nego_name_attributes
// #cgo noescape nego_name_set
// #cgo nocallback nego_name_set
// #cgo nocallback nego_ctx_composite
// #include "shim.h"
import "C"
import "unsafe"

func nameAttributes(n Name, names []byte) result {
	t, tn := stringArg(n.text)
	y, yn := stringArg(n.typ)
	p, pn := bytesArg(names)
	return take(C.nego_name_attributes(t, tn, y, yn, p, pn))
}

func nameSet(n Name, attribute, values []byte, complete bool) result {
	t, tn := stringArg(n.text)
	y, yn := stringArg(n.typ)
	a, _ := bytesArg(attribute)
	v, vn := bytesArg(values)
	return take(C.nego_name_set(t, tn, y, yn, a, v, vn, cBool(complete)))
}

func ctxComposite(ctx box) result { return take(C.nego_ctx_composite(unsafe.Pointer(ctx))) }

//go:build cgo && unix

package gssapi

// #cgo noescape nego_mech_info
// #cgo nocallback nego_mech_info
// #cgo noescape nego_mechs_by_attrs
// #cgo nocallback nego_mechs_by_attrs
// #cgo noescape nego_mech_attr
// #cgo nocallback nego_mech_attr
// #include "shim.h"
import "C"

func mechInfo(mech OID) result {
	m, n := stringArg(mech)
	return take(C.nego_mech_info(m, n))
}

func mechsByAttrs(desired, except, critical []byte) result {
	d, dn := bytesArg(desired)
	e, en := bytesArg(except)
	c, cn := bytesArg(critical)
	return take(C.nego_mechs_by_attrs(d, dn, e, en, c, cn))
}

func mechAttr(attr OID) result {
	a, n := stringArg(attr)
	return take(C.nego_mech_attr(a, n))
}

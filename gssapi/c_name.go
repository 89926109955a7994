//go:build cgo && unix

package gssapi

// #cgo noescape nego_name_equal
// #cgo nocallback nego_name_equal
// #cgo noescape nego_name_canonical
// #cgo nocallback nego_name_canonical
// #cgo noescape nego_name_export
// #cgo nocallback nego_name_export
// #cgo noescape nego_name_local
// #cgo nocallback nego_name_local
// #include "shim.h"
import "C"

func nameEqual(a, b Name) result {
	at, atn := stringArg(a.text)
	ay, ayn := stringArg(a.typ)
	bt, btn := stringArg(b.text)
	by, byn := stringArg(b.typ)
	return take(C.nego_name_equal(at, atn, ay, ayn, bt, btn, by, byn))
}

func nameCanonical(n Name, mech OID) result {
	t, tn := stringArg(n.text)
	y, yn := stringArg(n.typ)
	m, mn := stringArg(mech)
	return take(C.nego_name_canonical(t, tn, y, yn, m, mn))
}

func nameExport(n Name, mech OID) result {
	t, tn := stringArg(n.text)
	y, yn := stringArg(n.typ)
	m, mn := stringArg(mech)
	return take(C.nego_name_export(t, tn, y, yn, m, mn))
}

func nameLocal(n Name, mech OID) result {
	t, tn := stringArg(n.text)
	y, yn := stringArg(n.typ)
	m, mn := stringArg(mech)
	return take(C.nego_name_local(t, tn, y, yn, m, mn))
}

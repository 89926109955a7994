//go:build cgo && unix

package gssapi

// #cgo noescape nego_cred_by_mech
// #cgo nocallback nego_cred_by_mech
// #cgo noescape nego_cred_by_oid
// #cgo nocallback nego_cred_by_oid
// #cgo noescape nego_cred_add
// #cgo nocallback nego_cred_add
// #cgo noescape nego_cred_set
// #cgo nocallback nego_cred_set
// #cgo nocallback nego_cred_export
// #cgo noescape nego_cred_import
// #cgo nocallback nego_cred_import
// #include "shim.h"
import "C"
import "unsafe"

func credByMech(cred box, mech OID) result {
	m, mn := stringArg(mech)
	return goUsage(take(C.nego_cred_by_mech(unsafe.Pointer(cred), m, mn)))
}

func credByOID(cred box, oid OID) result {
	o, n := stringArg(oid)
	return take(C.nego_cred_by_oid(unsafe.Pointer(cred), o, n))
}

func credAdd(cred box, a *acquisition) result {
	t, tn := stringArg(a.name.text)
	y, yn := stringArg(a.name.typ)
	m, mn := bytesArg(a.mechs)
	s, sn := bytesArg(a.store)
	return take(C.nego_cred_add(unsafe.Pointer(cred), t, tn, y, yn, m, mn, s, sn, cUsage[a.usage], C.uint32_t(a.lifetime)))
}

func credSet(cred box, enctypes []int32, exactFlags bool) result {
	return take(C.nego_cred_set(unsafe.Pointer(cred), unsafe.Pointer(unsafe.SliceData(enctypes)), C.size_t(len(enctypes)), cBool(exactFlags)))
}

func credExport(cred box) result { return take(C.nego_cred_export(unsafe.Pointer(cred))) }

func credImport(token []byte) result {
	p, n := bytesArg(token)
	return goUsage(take(C.nego_cred_import(p, n)))
}

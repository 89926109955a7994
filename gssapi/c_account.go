//go:build cgo && unix

package gssapi

// #cgo noescape nego_name_display
// #cgo nocallback nego_name_display
// #cgo noescape nego_name_mechs
// #cgo nocallback nego_name_mechs
// #cgo noescape nego_name_may_log_in
// #cgo nocallback nego_name_may_log_in
// #cgo noescape nego_name_uid
// #cgo nocallback nego_name_uid
// #include "shim.h"
import "C"

func nameDisplay(n Name, as OID) result {
	t, tn := stringArg(n.text)
	y, yn := stringArg(n.typ)
	a, an := stringArg(as)
	return take(C.nego_name_display(t, tn, y, yn, a, an))
}

func nameMechs(n Name) result {
	t, tn := stringArg(n.text)
	y, yn := stringArg(n.typ)
	return take(C.nego_name_mechs(t, tn, y, yn))
}

func nameMayLogIn(n Name, mech OID, user string) result {
	t, tn := stringArg(n.text)
	y, yn := stringArg(n.typ)
	m, mn := stringArg(mech)
	u, un := stringArg(user)
	return take(C.nego_name_may_log_in(t, tn, y, yn, m, mn, u, un))
}

func nameUID(n Name, mech OID) result {
	t, tn := stringArg(n.text)
	y, yn := stringArg(n.typ)
	m, mn := stringArg(mech)
	return take(C.nego_name_uid(t, tn, y, yn, m, mn))
}

//go:build cgo && unix

package gssapi

// #cgo nocallback nego_mechs
// #cgo noescape nego_mech_by_sasl_name
// #cgo nocallback nego_mech_by_sasl_name
// #include "shim.h"
import "C"

func mechList() result { return take(C.nego_mechs()) }

func mechBySASLName(name string) result {
	s, n := stringArg(name)
	return take(C.nego_mech_by_sasl_name(s, n))
}

//go:build cgo && unix

package gssapi

// #cgo nocallback nego_krb5_config
// #include "shim.h"
import "C"

func krb5Config() result { return take(C.nego_krb5_config()) }

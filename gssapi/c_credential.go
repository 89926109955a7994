//go:build cgo && unix

package gssapi

// #cgo noescape nego_acquire
// #cgo nocallback nego_acquire
// #cgo noescape nego_impersonate
// #cgo nocallback nego_impersonate
// #cgo nocallback nego_cred_info
// #cgo nocallback nego_cred_impersonator
// #cgo noescape nego_cred_store
// #cgo nocallback nego_cred_store
// #cgo nocallback nego_cred_share
// #cgo nocallback nego_cache_free
// #cgo nocallback nego_cred_free
// #include "shim.h"
import "C"
import "unsafe"

// The library numbers usage otherwise than Usage, whose zero is Initiate.
var cUsage = [...]C.int{Initiate: C.GSS_C_INITIATE, Accept: C.GSS_C_ACCEPT, Both: C.GSS_C_BOTH}

func acquire(a *acquisition) result {
	t, tn := stringArg(a.name.text)
	y, yn := stringArg(a.name.typ)
	m, mn := bytesArg(a.mechs)
	g, gn := bytesArg(a.neg)
	s, sn := bytesArg(a.store)
	return take(C.nego_acquire(t, tn, y, yn, m, mn, g, gn, s, sn, cUsage[a.usage], C.uint32_t(a.lifetime)))
}

func impersonate(cred box, user Name) result {
	t, tn := stringArg(user.text)
	y, yn := stringArg(user.typ)
	return take(C.nego_impersonate(unsafe.Pointer(cred), t, tn, y, yn))
}

func credInfo(cred box) result {
	return goUsage(take(C.nego_cred_info(unsafe.Pointer(cred))))
}

// goUsage renumbers the usage in a result's flags.
func goUsage(r result) result {
	for usage, n := range cUsage {
		if uint32(n) == r.flags {
			r.flags = uint32(usage)
			break
		}
	}
	return r
}

func credImpersonator(cred box) result { return take(C.nego_cred_impersonator(unsafe.Pointer(cred))) }

func credStore(cred box, store []byte, overwrite bool) result {
	s, n := bytesArg(store)
	return take(C.nego_cred_store(unsafe.Pointer(cred), s, n, cBool(overwrite)))
}

func credShare(cred box) result { return take(C.nego_cred_share(unsafe.Pointer(cred))) }

func cacheFree(name box) { take(C.nego_cache_free(unsafe.Pointer(name))) }

func credFree(cred box) { take(C.nego_cred_free(unsafe.Pointer(cred))) }

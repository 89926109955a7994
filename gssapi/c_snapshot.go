//go:build cgo && unix && !heimdal

package gssapi

// #cgo nocallback nego_watch_new
// #cgo nocallback nego_watch_changed
// #cgo nocallback nego_watch_looks
// #cgo nocallback nego_watch_free
// #cgo noescape nego_snapshot_new
// #cgo nocallback nego_snapshot_new
// #cgo nocallback nego_snapshot_changed
// #cgo noescape nego_snapshot_step
// #cgo nocallback nego_snapshot_step
// #cgo noescape nego_snapshot_request
// #cgo nocallback nego_snapshot_request
// #cgo noescape nego_snapshot_open
// #cgo nocallback nego_snapshot_open
// #cgo nocallback nego_snapshot_free
// #include "shim.h"
import "C"
import "unsafe"

// Why there is no snapshot, or no token of one: what the C side puts into flags.
const (
	snapshotLater = C.NEGO_SNAPSHOT_LATER
	snapshotNever = C.NEGO_SNAPSHOT_NEVER
)

func watchNew(credential bool) result {
	var c C.int
	if credential {
		c = 1
	}
	return take(C.nego_watch_new(c))
}

func watchChanged(watch box) bool { return C.nego_watch_changed(unsafe.Pointer(watch)) != 0 }

// watchLooks is how often files that are watched were looked at, for tests: most questions whether they have changed need no look.
func watchLooks() int64 { return int64(C.nego_watch_looks()) }

func watchFree(watch box) { take(C.nego_watch_free(unsafe.Pointer(watch))) }

func snapshotNew(watch box, target Name, mech OID) result {
	t, tn := stringArg(target.text)
	y, yn := stringArg(target.typ)
	m, mn := stringArg(mech)
	return take(C.nego_snapshot_new(unsafe.Pointer(watch), t, tn, y, yn, m, mn))
}

func snapshotChanged(watch, snapshot box) bool {
	return C.nego_snapshot_changed(unsafe.Pointer(watch), unsafe.Pointer(snapshot)) != 0
}

func snapshotStep(watch, snapshot box, target Name, mech OID, bindings []byte, flags Flags, lifetime uint32) result {
	t, tn := stringArg(target.text)
	y, yn := stringArg(target.typ)
	m, mn := stringArg(mech)
	b, bn := bytesArg(bindings)
	return take(C.nego_snapshot_step(unsafe.Pointer(watch), unsafe.Pointer(snapshot), t, tn, y, yn, m, mn, b, bn, C.uint32_t(flags), C.uint32_t(lifetime)))
}

// snapshotRequest makes a token by a stencil.
func snapshotRequest(watch, snapshot box, s *stencil) result {
	c, n := bytesArg(s.checksum)
	made := takeAs(C.nego_snapshot_request(unsafe.Pointer(watch), unsafe.Pointer(snapshot), c, n), s.token)
	if made.out == nil {
		return made
	}
	r := s.like
	r.out, r.lifetime, r.by = made.out, made.lifetime, s
	return r
}

// snapshotOpen decrypts an authenticator. The caller wipes it.
func snapshotOpen(snapshot box, cipher []byte) []byte {
	plain := make([]byte, len(cipher))
	c, n := bytesArg(cipher)
	p, _ := bytesArg(plain)
	return plain[:max(0, C.nego_snapshot_open(unsafe.Pointer(snapshot), c, n, p))]
}

func snapshotFree(snapshot box) { take(C.nego_snapshot_free(unsafe.Pointer(snapshot))) }

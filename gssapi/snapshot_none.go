//go:build !cgo || !unix || heimdal

package gssapi

// Without MIT krb5 every token is made and accepted the library's own way.

const (
	snapshotLater = 1
	snapshotNever = 2
)

func watchNew(credential bool) result { return result{flags: snapshotNever} }
func watchChanged(watch box) bool     { return false }
func watchFree(watch box)             {}
func snapshotFree(snapshot box)       {}

func snapshotNew(watch box, target Name, mech OID) result { return result{} }

func snapshotChanged(watch, snapshot box) bool { return true }

func snapshotStep(watch, snapshot box, target Name, mech OID, bindings []byte, flags Flags, lifetime uint32) result {
	return result{}
}

func snapshotRequest(watch, snapshot box, s *stencil) result { return result{} }

func snapshotOpen(snapshot box, cipher []byte) []byte { return nil }

func keysChanged(keys box) bool { return true }
func keysFree(keys box)         {}

func keysNew(keytab, service string, host bool) result { return result{flags: snapshotNever} }

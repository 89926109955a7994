//go:build cgo && unix && heimdal

package gssapi

// #cgo pkg-config: heimdal-gssapi heimdal-krb5
// #cgo LDFLAGS: -lasn1
import "C"

// heimdal says which of the two families of libraries this build is for.
const heimdal = true

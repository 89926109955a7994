//go:build cgo && unix && !heimdal

package gssapi

// #cgo pkg-config: mit-krb5-gssapi mit-krb5
import "C"

// heimdal says which of the two families of libraries this build is for.
const heimdal = false

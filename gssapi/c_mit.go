//go:build cgo && unix && !heimdal

package gssapi

// #cgo pkg-config: mit-krb5-gssapi mit-krb5
import "C"

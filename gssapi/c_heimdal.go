//go:build cgo && unix && heimdal

package gssapi

// #cgo pkg-config: heimdal-gssapi heimdal-krb5
import "C"

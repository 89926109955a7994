//go:build !heimdal

package kerberos

// onHeimdal says which library the tests run with.
const onHeimdal = false

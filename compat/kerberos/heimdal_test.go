//go:build heimdal

package kerberos

// onHeimdal says which library the tests run with. Heimdal looks for a principal in the default cache alone.
const onHeimdal = true

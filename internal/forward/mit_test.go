//go:build !heimdal

package forward

// onHeimdal says which library the tests run with.
const onHeimdal = false

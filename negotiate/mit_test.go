//go:build !heimdal

package negotiate

// onHeimdal says which library the tests run with.
const onHeimdal = false

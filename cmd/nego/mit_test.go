//go:build !heimdal

package main

// onHeimdal says which library the tests run with.
const onHeimdal = false

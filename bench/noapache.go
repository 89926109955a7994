//go:build !interop

package main

import "errors"

func startApache([]string) (url string, stop func() error, err error) {
	return "", nil, errors.New("this program knows how to start Apache when it is built with -tags interop")
}

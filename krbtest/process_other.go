//go:build !unix

package krbtest

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

// supported says whether a realm can run on this system.
func supported() error {
	return fmt.Errorf("krbtest: MIT's KDC does not run on %s; run this test on Linux or macOS", runtime.GOOS)
}

// newGroup is never used here.
func newGroup() *syscall.SysProcAttr { return nil }

// killGroup is never used here.
func killGroup(int) {}

var errInUse = errors.New("the address is in use")

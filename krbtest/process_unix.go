//go:build unix

package krbtest

import "syscall"

// supported says whether a realm can run on this system.
func supported() error { return nil }

// newGroup makes a process the leader of a process group of its own, so that
// Ctrl-C in a terminal reaches the test but not the KDC that the test needs
// until its end.
func newGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// killGroup kills all processes of a group. That the group is gone is no error.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// errInUse says that an address is taken.
var errInUse error = syscall.EADDRINUSE

//go:build !unix

package main

import "os"

// Where there is no Kerberos of the system there is not much to colour, and no realm to interrupt.

func isTerminal(*os.File) bool { return false }

func inForeground() bool { return false }

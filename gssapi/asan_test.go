//go:build asan

package gssapi

import (
	"os"
	"strings"
)

// leaksCount reports whether the address sanitizer looks for leaks at the end.
func leaksCount() bool { return !strings.Contains(os.Getenv("ASAN_OPTIONS"), "detect_leaks=0") }

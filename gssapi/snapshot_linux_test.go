//go:build cgo && !heimdal

package gssapi

import (
	"path/filepath"
	"testing"
)

// The file system on which there is no .k5identity counts as well: a server that does not answer keeps whoever looks there.
func TestSnapshotAndHome(t *testing.T) {
	for _, tc := range []struct{ home, time, want string }{
		{filepath.Join(t.TempDir(), "nobody/has/this"), "20s", "kept"},
		{"/proc", "300ms", "never kept"}, // which is none that asks this machine alone
		{"/proc/nobody/has/this", "300ms", "never kept"},
	} {
		if out := child(t, "kept", "HOME="+tc.home, "TEST_FOR="+tc.time); out != tc.want {
			t.Errorf("%s: %s, want %s", tc.home, out, tc.want)
		}
	}
}

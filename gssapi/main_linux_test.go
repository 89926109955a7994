package gssapi

import (
	"os"
	"syscall"
)

// goLocal has tests make their files where snapshots are taken of them: containers may have all theirs on FUSE, say, of which
// nobody can tell whether it is another machine's.
func goLocal() error {
	const ext, overlay, tmpfs = 0xef53, 0x794c7630, 0x1021994
	const shared = "/dev/shm"
	var fs syscall.Statfs_t
	if err := syscall.Statfs(os.TempDir(), &fs); err != nil {
		return err
	}
	switch fs.Type {
	case ext, overlay, tmpfs:
		return nil
	}
	if err := os.Setenv("HOME", shared); err != nil {
		return err
	}
	return os.Setenv("TMPDIR", shared)
}

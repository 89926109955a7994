package gssapi

import (
	"os"
	"syscall"
)

const (
	shared                = "/dev/shm"
	ext, overlayfs, tmpfs = 0xef53, 0x794c7630, 0x1021994
)

// fileSystem is the type of the one that temporary files are on.
func fileSystem() (int64, error) {
	var fs syscall.Statfs_t
	err := syscall.Statfs(os.TempDir(), &fs)
	return int64(fs.Type), err
}

// goLocal has tests make their files where snapshots are taken of them: containers may have all theirs on FUSE, say, of which
// nobody can tell whether it is another machine's.
func goLocal() error {
	switch fs, err := fileSystem(); {
	case err != nil:
		return err
	case fs == ext, fs == overlayfs, fs == tmpfs:
		return nil
	}
	if err := os.Setenv("HOME", shared); err != nil {
		return err
	}
	return os.Setenv("TMPDIR", shared)
}

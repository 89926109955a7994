package negotiate

import (
	"os"
	"syscall"
)

// localFiles is the environment for a test that needs tokens without a context. There are none where files may be another
// machine's, and containers may have all theirs on FUSE, say, of which nobody can tell.
func localFiles() []string {
	const ext, overlayfs, tmpfs, shared = 0xef53, 0x794c7630, 0x1021994, "/dev/shm"
	var fs syscall.Statfs_t
	if err := syscall.Statfs(os.TempDir(), &fs); err != nil || fs.Type == ext || fs.Type == overlayfs || fs.Type == tmpfs {
		return nil
	}
	return []string{"HOME=" + shared, "TMPDIR=" + shared}
}

package serve

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
)

// newFiles makes the handler of files.
func newFiles(root *os.Root) http.Handler {
	files := http.FileServerFS(visible{root})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		files.ServeHTTP(w, r)
	})
}

// visible is a directory without what begins with a dot, which is where programs keep their secrets, and without what is
// neither file nor directory. Links out of it lead nowhere.
type visible struct{ root *os.Root }

func (v visible) Open(name string) (fs.File, error) {
	if hidden(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	// Before it is opened: that of a FIFO waits for somebody to write.
	info, err := v.root.Stat(name)
	if err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, notThere(name, err)
	}
	f, err := v.root.Open(name)
	if err != nil {
		return nil, notThere(name, err)
	}
	if info.IsDir() {
		return visibleDir{f}, nil
	}
	return f, nil
}

// notThere makes an error that the name itself is to blame for the one of a file that is not there. Package os has no
// name for a link that leads out of a Root, but it is no error of the system.
func notThere(name string, err error) error {
	errno, ofSystem := errors.AsType[syscall.Errno](err)
	if !ofSystem || errno == syscall.EINVAL || errno == syscall.ENAMETOOLONG || errno == syscall.ELOOP {
		return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return err
}

func hidden(name string) bool {
	return name != "." && (strings.HasPrefix(name, ".") || strings.Contains(name, "/."))
}

// visibleDir lists what can be opened.
type visibleDir struct{ *os.File }

func (d visibleDir) ReadDir(n int) ([]fs.DirEntry, error) {
	list, err := d.File.ReadDir(n)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool { return hidden(e.Name()) }), err
}

package krbtest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// programs maps the names of Kerberos programs to their files.
type programs map[string]string

// programPackages are the programs needed, and the packages that have them.
var programPackages = [...]struct{ name, debian, fedora, alpine string }{
	{"krb5kdc", "krb5-kdc", "krb5-server", "krb5-server"},
	{"kdb5_util", "krb5-kdc", "krb5-server", "krb5-server"},
	{"kadmin.local", "krb5-admin-server", "krb5-server", "krb5-server"},
	{"kinit", "krb5-user", "krb5-workstation", "krb5"},
}

// programDirs returns the directories to search after PATH. Servers live in
// sbin, which is often not in the PATH of an ordinary user, and Homebrew's krb5
// is in no PATH at all.
func programDirs() []string {
	return []string{
		"/usr/sbin",
		"/usr/lib/mit/sbin", // openSUSE
		"/usr/lib/mit/bin",
		"/opt/homebrew/opt/krb5/sbin",
		"/opt/homebrew/opt/krb5/bin",
		"/usr/local/opt/krb5/sbin",
		"/usr/local/opt/krb5/bin",
		"/usr/local/sbin",
		"/usr/local/bin",
		"/usr/bin",
	}
}

// findPrograms finds the programs in path and then in dirs. The KDC is found
// first, and then the others in its own installation before anywhere else:
// the kinit in the PATH of macOS is Heimdal's.
func findPrograms(path string, dirs []string) (programs, error) {
	search := slices.Concat(filepath.SplitList(path), dirs)
	found := programs{}
	var missing, debian, fedora, alpine []string
	for _, p := range programPackages {
		file, ok := findProgram(p.name, search)
		if !ok {
			missing = append(missing, p.name)
			debian = appendNew(debian, p.debian)
			fedora = appendNew(fedora, p.fedora)
			alpine = appendNew(alpine, p.alpine)
			continue
		}
		found[p.name] = file
		if p.name == "krb5kdc" {
			dir := filepath.Dir(file)
			search = append([]string{dir, filepath.Join(dir, "../bin"), filepath.Join(dir, "../sbin")}, search...)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("krbtest: %s not found in PATH or %s; install MIT Kerberos: "+
			"apt install %s (Debian, Ubuntu), dnf install %s (Fedora, RHEL), apk add %s (Alpine), brew install krb5 (Homebrew)",
			strings.Join(missing, ", "), strings.Join(dirs, ", "),
			strings.Join(debian, " "), strings.Join(fedora, " "), strings.Join(alpine, " "))
	}
	return found, nil
}

func findProgram(name string, dirs []string) (string, bool) {
	for _, dir := range dirs {
		// A relative directory in PATH is a way to run what the caller does
		// not mean, and our commands may have another working directory.
		if !filepath.IsAbs(dir) {
			continue
		}
		if file, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return file, true
		}
	}
	return "", false
}

// appendNew appends s to list unless it is there.
func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

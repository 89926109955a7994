//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/nego-sso/nego/krbtest"
)

// A body of a GiB goes through in memory that does not grow with it, in each direction, behind a challenge.
func TestFetchStreams(t *testing.T) {
	const size = 1 << 30
	realm := krbtest.Start(t, nil)
	env := append(append(os.Environ(), realm.Env()...), "no_proxy=*")
	url := startProtect(t, env)
	file := filepath.Join(t.TempDir(), "zeroes") // which takes no room
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]struct {
		args  []string
		stdin io.Reader
		want  string
	}{
		"download":       {[]string{"-o", os.DevNull, fmt.Sprintf("%s/zeroes/%d", url, size)}, nil, ""},
		"upload":         {[]string{"-T", file, url + "/sink"}, nil, fmt.Sprintf("%d bytes\n", size)},
		"standard input": {[]string{"-T", "-", url + "/sink"}, io.LimitReader(zeroes{}, size), fmt.Sprintf("%d bytes\n", size)},
		"form":           {[]string{"--data-binary", "@" + file, url + "/sink"}, nil, fmt.Sprintf("%d bytes\n", size)},
	} {
		t.Run(name, func(t *testing.T) {
			c := exec.Command("nego", append([]string{"fetch", "-fS", "--strict"}, v.args...)...)
			c.Env, c.Stdin = env, v.stdin
			out, err := c.CombinedOutput()
			if err != nil || string(out) != v.want {
				t.Fatalf("%s%v", out, err)
			}
			most := c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
			if runtime.GOOS != "darwin" {
				most <<= 10
			}
			if most > size/4 { // a race detector has a few times of what it should be
				t.Errorf("it took %d MiB", most>>20)
			}
			t.Logf("%d MiB", most>>20)
		})
	}
}

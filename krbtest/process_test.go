//go:build unix

package krbtest

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A child is a helper process with a realm.
type child struct {
	cmd       *exec.Cmd
	dir, addr string
}

func startChild(t *testing.T, kind string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(exe)}
	c.cmd.Env = append(os.Environ(), helperVar+"="+kind)
	c.cmd.Stderr = os.Stderr
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = c.cmd.Wait() // again, if it was killed
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	c.dir, c.addr, _ = strings.Cut(strings.TrimSpace(line), "\t")
	return c
}

func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait()
}

// A process that is killed leaves no KDC, no port in use and no file behind.
func TestParentKilled(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"running", "stopped"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := startChild(t, kind)
			if isGone(c.dir) {
				t.Fatal("no directory")
			}
			if isFree(c.addr) != (kind == "stopped") {
				t.Fatalf("KDC not %s", kind)
			}
			c.kill(t)
			eventually(t, "directory removed", func() bool { return isGone(c.dir) })
			eventually(t, "port free", func() bool { return isFree(c.addr) })
			// The command lines of the shells have the directory.
			eventually(t, "shells ended", func() bool { return !isInCommandLine(c.dir) })
		})
	}
}

// isFree tells whether an address can be bound, which a KDC does not share.
func isFree(addr string) bool {
	tcp, err := net.Listen("tcp4", addr)
	if err != nil {
		return false
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", addr)
	if err != nil {
		return false
	}
	return udp.Close() == nil
}

// isInCommandLine tells whether a process has text in its command line, where
// the system has a /proc like Linux's.
func isInCommandLine(text string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte(text)) {
			return true
		}
	}
	return false
}

// A process that is killed at any time while a realm starts.
func TestParentKilledEarly(t *testing.T) {
	tmp := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), helperVar+"=running", "TMPDIR="+tmp)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Killed when that many files exist, so at another stage each time.
		eventually(t, "files appear", func() bool {
			dirs, _ := os.ReadDir(tmp)
			if len(dirs) == 0 {
				return false
			}
			files, _ := os.ReadDir(tmp + "/" + dirs[0].Name())
			return len(files) >= i
		})
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		stdin.Close()
		eventually(t, "directory removed", func() bool {
			dirs, err := os.ReadDir(tmp)
			return err == nil && len(dirs) == 0
		})
	}
}

// Realms of several processes at once do not disturb each other.
func TestProcesses(t *testing.T) {
	t.Parallel()
	addrs := map[string]bool{}
	for range 3 {
		c := startChild(t, "running")
		r := Start(t, nil)
		for _, addr := range []string{c.addr, r.Addr} {
			if addrs[addr] {
				t.Errorf("two realms on %s", addr)
			}
			addrs[addr] = true
		}
		for range 5 {
			if err := r.Kinit(t.Context(), "user", ""); err != nil {
				t.Error(err)
			}
		}
	}
}

// The KDC is not in the process group of the terminal.
func TestProcessGroup(t *testing.T) {
	t.Parallel()
	r := Start(t, nil)
	group, err := syscall.Getpgid(r.kdc.cmd.Process.Pid)
	if err != nil || group != r.kdc.cmd.Process.Pid || group == syscall.Getpgrp() {
		t.Errorf("group %d of %d, %v", group, r.kdc.cmd.Process.Pid, err)
	}
}

package krbtest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// output runs a program of MIT Kerberos against the realm.
func output(t *testing.T, r *Realm, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), r.Env()...)
	b, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, b)
	}
	return string(b)
}

func mustContain(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("got %q, want it to contain %q", text, p)
		}
	}
}

func isGone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// eventually waits for a condition that another process brings about.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(20 * time.Second)
	for !cond() {
		select {
		case <-ticker.C:
		case <-timeout:
			t.Fatal("timeout: ", what)
		}
	}
}

func TestStartDefaults(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*Options{"nil": nil, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			r := Start(t, o)
			if r.Name != "NEGO.TEST" {
				t.Errorf("realm %q", r.Name)
			}
			mustContain(t, output(t, r, "klist", "-f", "-e"),
				"user@NEGO.TEST", "krbtgt/NEGO.TEST@NEGO.TEST", "Flags: F", "aes256-cts")
			mustContain(t, output(t, r, "klist", "-k", "-e", r.KeytabFile),
				"HTTP/localhost@NEGO.TEST", "aes256-cts", "aes128-cts")
			// The service ticket, and that it is for the key in the keytab.
			mustContain(t, output(t, r, "kvno", "-k", r.KeytabFile, "HTTP/localhost"), "kvno = 1")
			fi, err := os.Stat(r.Dir)
			if err != nil || fi.Mode().Perm() != 0o700 {
				t.Errorf("directory: %v, %v", fi, err)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	r := Start(t, &Options{
		Realm:       "OTHER.EXAMPLE",
		Users:       []string{"alice", "bob"},
		Services:    []string{"HTTP/a.other.example", "host/b"},
		ExtraConfig: "[libdefaults]\n ticket_lifetime = 2m\n forwardable = false\n[domain_realm]\n elsewhere.test = OTHER.EXAMPLE\n",
	})
	text := output(t, r, "klist", "-f")
	mustContain(t, text, "alice@OTHER.EXAMPLE")
	if strings.Contains(text, "Flags: F") {
		t.Errorf("forwardable in spite of ExtraConfig:\n%s", text)
	}
	mustContain(t, output(t, r, "klist", "-k"), "HTTP/a.other.example@OTHER.EXAMPLE", "host/b@OTHER.EXAMPLE")
	if err := r.Kinit(t.Context(), "bob@OTHER.EXAMPLE", ""); err != nil {
		t.Error(err)
	}
	mustContain(t, output(t, r, "klist"), "bob@OTHER.EXAMPLE")
}

func TestNothing(t *testing.T) {
	t.Parallel()
	r := Start(t, &Options{Users: []string{}, Services: []string{}})
	for _, file := range []string{strings.TrimPrefix(r.CCache, "FILE:"), r.KeytabFile} {
		if !isGone(file) {
			t.Errorf("%s exists", file)
		}
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{Realm: "A B"}, {Realm: "A}"}, {Realm: "A\n"},
		{Users: []string{""}}, {Users: []string{"-pw"}}, {Services: []string{"HTTP/a\nquit"}},
		{Users: []string{"a", "a"}}, // noticed by kadmin.local
	} {
		r, err := New(t.Context(), &o)
		if err == nil {
			r.Close()
			t.Errorf("%+v: no error", o)
			continue
		}
		mustContain(t, err.Error(), "krbtest: ")
	}
}

// No variable of the machine may change a realm.
func TestHermetic(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir()))
	dir := filepath.Join(os.Getenv("TMPDIR"), `a "dir" with $(odd) 'characters'`)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	for _, name := range []string{"KRB5_CONFIG", "KRB5_KDC_PROFILE", "KRB5CCNAME", "KRB5_KTNAME", "KRB5_CLIENT_KTNAME", "KRB5RCACHENAME", "GSS_MECH_CONFIG"} {
		t.Setenv(name, "/nonexistent/"+name)
	}
	t.Setenv("KRB5_TRACE", "/dev/stderr")
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	r := Start(t, nil)
	if filepath.Dir(r.Dir) != dir {
		t.Errorf("directory %s", r.Dir)
	}
	if err := r.AddService("HTTP/other"); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(dir); len(files) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestMissingPrograms(t *testing.T) {
	t.Parallel()
	_, err := newRealm(t.Context(), nil, hooks{reserve: reserve})
	if err == nil {
		t.Fatal("no error")
	}
	mustContain(t, err.Error(), "krb5kdc", "kdb5_util", "kadmin.local", "kinit",
		"krb5-kdc krb5-admin-server krb5-user", "krb5-server krb5-workstation", "krb5-server krb5 ", "brew install krb5")

	// Only what is missing is named.
	all, err := findPrograms(os.Getenv("PATH"), programDirs())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "sbin")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"krb5kdc", "kdb5_util", "kadmin.local"} {
		if err := os.Symlink(all[name], filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	_, err = findPrograms("", []string{dir})
	if err == nil {
		t.Fatal("no error")
	}
	mustContain(t, err.Error(), "krbtest: kinit not found", "apt install krb5-user (")
	if strings.Contains(err.Error(), "krb5-kdc") {
		t.Error(err)
	}
}

// The kinit of the KDC's installation is preferred to the one in PATH.
func TestSameInstallation(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, file := range []string{"sbin/krb5kdc", "sbin/kdb5_util", "sbin/kadmin.local", "bin/kinit", "heimdal/kinit"} {
		file = filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	found, err := findPrograms(filepath.Join(root, "heimdal"), []string{filepath.Join(root, "sbin")})
	if err != nil || found["kinit"] != filepath.Join(root, "bin/kinit") {
		t.Errorf("%v, %v", found, err)
	}
}

// A KDC that cannot run: the log is in the error, and nothing is left.
func TestBrokenKDC(t *testing.T) {
	bin, tmp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	script := "#!/bin/sh\necho cannot do this >&2\nexit 3\n"
	if err := os.WriteFile(filepath.Join(bin, "krb5kdc"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := newRealm(t.Context(), nil, hooks{path: bin, dirs: programDirs(), reserve: reserve})
	if err == nil || !errors.Is(err, errEnded) {
		t.Fatal(err)
	}
	mustContain(t, err.Error(), "krb5kdc", "127.0.0.1:", "kdc.log", "cannot do this")
	if files, err := os.ReadDir(tmp); len(files) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	r, err := New(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.StopKDC(); err != nil {
		t.Error(err)
	}
	if err := r.StartKDC(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if !isGone(r.Dir) {
		t.Errorf("%s still exists", r.Dir)
	}
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before })

	if err := r.StopKDC(); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"AddUser":     r.AddUser("a", "b"),
		"AddService":  r.AddService("a"),
		"AddToKeytab": r.AddToKeytab(filepath.Join(t.TempDir(), "kt"), "user"),
		"Kinit":       r.Kinit(t.Context(), "user", ""),
		"StartKDC":    r.StartKDC(),
	} {
		if !errors.Is(err, errClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Close from several goroutines, while all else is going on.
func TestCloseConcurrent(t *testing.T) {
	t.Parallel()
	r := Start(t, nil)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { _ = r.Kinit(context.Background(), "user", "") })
		wg.Go(func() { _ = r.AddService("HTTP/x") })
		wg.Go(func() { _ = r.StopKDC(); _ = r.StartKDC() })
		wg.Go(func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if !isGone(r.Dir) {
				t.Errorf("%s exists after Close", r.Dir)
			}
		})
	}
	wg.Wait()
}

func TestNewCancelled(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	var last error
	for d := time.Duration(0); ; d += 3 * time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		r, err := New(ctx, nil)
		cancel()
		if err == nil {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v", d, err)
		}
		if files, err := os.ReadDir(tmp); len(files) > 0 || err != nil {
			t.Fatalf("after %v: left behind: %v, %v", d, files, err)
		}
		if err == nil {
			break
		}
		last = err
	}
	t.Log("last error: ", last)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// No password in the log, the configuration, or errors.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	r := Start(t, nil)
	const secret = "correct horse battery"
	if err := r.AddUser("alice", secret); err != nil {
		t.Fatal(err)
	}
	err := r.AddUser("alice", secret)
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("second AddUser: %v", err)
	}
	if err := r.Kinit(t.Context(), "alice", ""); err != nil {
		t.Error(err)
	}
	secrets := []string{secret, r.passwords["user@NEGO.TEST"]}
	files, err := os.ReadDir(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(r.Dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range secrets {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s has a password", f.Name())
			}
		}
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		r, err := New(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

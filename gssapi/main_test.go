package gssapi

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nego-sso/nego/krbtest"
)

// realm serves all tests of the package. It has the users alice and bob beside user, whose ticket is in
// the default cache.
var realm *krbtest.Realm

func TestMain(m *testing.M) {
	if name := os.Getenv("GSSAPI_TEST_CHILD"); name != "" {
		children[name]()
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := goLocal(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var err error
	realm, err = krbtest.New(context.Background(), &krbtest.Options{
		Users:    []string{"user", "alice", "bob"},
		Services: []string{"HTTP/localhost", "HTTP/www.nego.test", "host/www.nego.test", "host/silent.nego.test"},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer realm.Close()
	// Before the first call of the library, as setenv races with its getenv.
	for _, kv := range realm.Env() {
		k, v, _ := strings.Cut(kv, "=")
		os.Setenv(k, v)
	}
	if plugIns != "" { // make fuzz MECHS=…
		os.Setenv("GSS_MECH_CONFIG", plugIns)
		users := filepath.Join(realm.Dir, "ntlm")
		if err := os.WriteFile(users, []byte("TEST:user:password\n"), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		os.Setenv("NTLM_USER_FILE", users)
	}
	return m.Run()
}

// plugIns is a file of /etc/gss/mech.d, whose mechanisms fuzzing is to have beside Kerberos: NTLM is meant. Other tests have none.
var plugIns = os.Getenv("NEGO_FUZZ_MECHS")

// children are the functions that run in a process of their own, because they need another environment.
var children = map[string]func(){}

// child runs one of them and returns what it printed.
func child(t *testing.T, name string, env ...string) string {
	t.Helper()
	return childOf(t, nil, name, env...)
}

// childOf is child, run by another program.
func childOf(t *testing.T, program []string, name string, env ...string) string {
	t.Helper()
	if children[name] == nil {
		t.Fatalf("no child %q", name)
	}
	args := append(slices.Clone(program), os.Args[0])
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(append(os.Environ(), env...), "GSSAPI_TEST_CHILD="+name)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// either is what a test wants of MIT krb5, or of Heimdal where that is different by design of its own.
func either[T any](mit, other T) T {
	if heimdal {
		return other
	}
	return mit
}

var serial atomic.Int64

// unique makes a name that no other test has, nor this one when it runs again.
func unique(name string) string { return fmt.Sprintf("%s%d", name, serial.Add(1)) }

func env(name string) string { return os.Getenv(name) }

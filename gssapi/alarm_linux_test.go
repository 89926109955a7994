//go:build cgo && !heimdal

package gssapi

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func init() {
	begin := func() (p place) {
		p.dir = env("TEST_DIR")
		b, err := os.ReadFile(env("KRB5_CONFIG"))
		must(err)
		p.conf = string(b)
		p.reset()
		return p
	}
	ready := func() string {
		must(warm(www, nil))
		return fmt.Sprint(unheard(20*time.Second), " ", whose())
	}

	// Files are looked at when something has happened, and else now and then.
	children["looks"] = func() {
		begin()
		const tokens = 1000
		var looks int64 = tokens
		for end := time.Now().Add(20 * time.Second); looks > tokens/100 && time.Now().Before(end); {
			ready()
			looks = -watchLooks()
			for range tokens {
				c, _, _, err := first(www, nil)
				must(err)
				c.Close()
			}
			looks += watchLooks()
		}
		fmt.Println(looks <= tokens/100)
	}

	children["mounts"] = func() {
		p := begin()
		os.Unsetenv("KRB5CCNAME")
		for user, name := range []string{"f", "g"} {
			must(os.MkdirAll(p.path(name), 0o700))
			p.config(fmt.Sprint(user), name+"/krb5.conf")
		}
		os.Setenv("KRB5_CONFIG", p.path("f/krb5.conf"))
		fmt.Println(ready())
		must(syscall.Mount(p.path("g"), p.path("f"), "", syscall.MS_BIND, ""))
		fmt.Println(whose())
		fmt.Println(ready())
		must(syscall.Unmount(p.path("f"), 0))
		fmt.Println(whose())
		fmt.Println(ready())
		must(syscall.Mount(p.path("g/krb5.conf"), p.path("f/krb5.conf"), "", syscall.MS_BIND, ""))
		fmt.Println(whose())
	}

	// Other threads make tokens all the time, and for them nothing changes.
	children["a root of its own"] = func() {
		p := begin()
		for user, name := range []string{"f", "g"} {
			must(os.MkdirAll(p.path(name), 0o700))
			p.copy(fmt.Sprint(user), name+"/cc")
		}
		os.Setenv("KRB5CCNAME", "FILE:"+p.path("f/cc"))
		fmt.Println(ready())
		var stop atomic.Bool
		var others sync.WaitGroup
		others.Go(func() {
			for !stop.Load() {
				c, _, _, err := first(www, nil)
				must(err)
				c.Close()
			}
		})
		defer others.Wait()
		defer stop.Store(true)
		runtime.LockOSThread()
		must(syscall.Unshare(syscall.CLONE_NEWNS))
		must(syscall.Mount(p.path("g"), p.path("f"), "", syscall.MS_BIND, ""))
		for range 10 {
			if who := strings.TrimSuffix(whose(), ", by a snapshot"); who != env("TEST_USER1")+"@NEGO.TEST" {
				fmt.Println("a token of", who)
			}
		}
	}

	// No event tells of what is written to memory.
	children["mapped"] = func() {
		p := begin()
		os.Unsetenv("KRB5CCNAME")
		p.config("0", "krb5.conf")
		p.config("1", "other")
		b, err := os.ReadFile(p.path("other"))
		must(err)
		f, err := os.OpenFile(p.path("krb5.conf"), os.O_RDWR, 0)
		must(err)
		m, err := syscall.Mmap(int(f.Fd()), 0, len(b), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
		must(err)
		fmt.Println(ready())
		copy(m, b)
		for start := time.Now(); strings.HasPrefix(whose(), env("TEST_USER0")) && time.Since(start) < 20*time.Second; {
		}
		fmt.Println(strings.TrimSuffix(whose(), ", by a snapshot"))
	}
}

func alarmChild(t *testing.T, name string, wrapper ...string) string {
	dir := t.TempDir()
	if fs, err := fileSystem(); err != nil {
		t.Fatal(err)
	} else if fs == overlayfs { // where each token looks: the directories of most containers
		if dir, err = os.MkdirTemp(shared, "alarm"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	users := twoUsers(t, dir)
	out := childOf(t, wrapper, name, "TEST_DIR="+dir, "TEST_USER0="+users[0], "TEST_USER1="+users[1], "KRB5RCACHENAME=none:")
	return strings.NewReplacer(users[0]+"@NEGO.TEST", "0", users[1]+"@NEGO.TEST", "1").Replace(out)
}

func TestAlarmSparesLooks(t *testing.T) {
	if out := alarmChild(t, "looks"); out != "true\n" {
		t.Error("the files are looked at for each token")
	}
}

// mounting is how a program is run that may mount things, for itself alone.
func mounting(t *testing.T) []string {
	wrapper := []string{"unshare", "--mount", "--propagation", "private"}
	if exec.Command(wrapper[0], append(wrapper[1:], "true")...).Run() != nil {
		wrapper = append(wrapper, "--map-root-user")
	}
	if out, err := exec.Command(wrapper[0], append(wrapper[1:], "true")...).CombinedOutput(); err != nil {
		t.Logf("nobody can mount anything here: %s", out)
		return nil
	}
	return wrapper
}

// What is mounted over krb5.conf, or over a directory above it, takes effect on the very next token.
func TestAlarmAndMounts(t *testing.T) {
	wrapper := mounting(t)
	if wrapper == nil {
		return
	}
	const want = `true 0, by a snapshot
1
true 1, by a snapshot
0
true 0, by a snapshot
1
`
	if out := alarmChild(t, "mounts", wrapper...); out != want {
		t.Errorf("%swant\n%s", out, want)
	}
}

// Whose cache it is depends on the thread that asks.
func TestThreadWithItsOwnRoot(t *testing.T) {
	wrapper := mounting(t)
	if wrapper == nil {
		return
	}
	if out := alarmChild(t, "a root of its own", wrapper...); out != "true 0, by a snapshot\n" {
		t.Error(out)
	}
}

func TestAlarmIsNotTrustedForLong(t *testing.T) {
	const want = "true 0, by a snapshot\n1\n"
	if out := alarmChild(t, "mapped"); out != want {
		t.Errorf("%swant\n%s", out, want)
	}
}

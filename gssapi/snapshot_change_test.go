//go:build cgo && unix && !heimdal

package gssapi

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// asked is what children ask tokens of.
var asked = &Options{AuthOnly: env("TEST_AUTH_ONLY") != ""}

// wholeAndBare runs a test with children that ask for tokens with a context behind them, and without.
func wholeAndBare(t *testing.T, test func(t *testing.T, env string)) {
	t.Run("whole", func(t *testing.T) { test(t, "TEST_AUTH_ONLY=") })
	t.Run("bare", func(t *testing.T) { test(t, "TEST_AUTH_ONLY=1") })
}

// whose says for whom an acceptor takes a token of the default credential, or why there is none.
func whose() string {
	c, token, snapped, err := first(www, asked)
	var e *Error
	if errors.As(err, &e) {
		return e.Code.Error()
	}
	defer c.Close()
	a := NewAcceptor(nil)
	defer a.Close()
	if _, err := a.Step(ctx, token); err != nil {
		return err.Error()
	}
	if who := c.Info().Initiator; who != a.Info().Initiator {
		return fmt.Sprintf("%v, and the initiator says %v", a.Info().Initiator, who)
	}
	if snapped {
		return a.Info().Initiator.String() + ", by a snapshot"
	}
	return a.Info().Initiator.String()
}

// initiator is whom a token would be for, and why that is not known.
func initiator() string {
	n, err := DefaultInitiator(ctx, www)
	var e *Error
	if errors.As(err, &e) {
		return e.Code.Error()
	}
	return n.String()
}

// unheard makes tokens until one comes without a look at the files, or none has for a while.
func unheard(patience time.Duration) (silent bool) {
	for end := time.Now().Add(patience); !silent && time.Now().Before(end); {
		before := watchLooks()
		whose()
		silent = watchLooks() == before
	}
	return silent
}

// place is where a child changes what decides whose ticket is used.
type place struct{ dir, conf string }

func (p place) path(name string) string { return filepath.Join(p.dir, name) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// write writes a file in place.
func (p place) write(name, text string) { must(os.WriteFile(p.path(name), []byte(text), 0o600)) }

// copy copies one file over another, in place.
func (p place) copy(from, to string) {
	b, err := os.ReadFile(p.path(from))
	must(err)
	p.write(to, string(b))
}

func (p place) run(program string, args ...string) {
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%s: %v\n%s", program, err, out))
	}
}

func (p place) kinit(user, cc string) {
	p.run("kinit", "-k", "-t", p.path("keys"), "-c", cc, env("TEST_USER"+user))
}

// config writes a krb5.conf with a user's cache as the default one.
func (p place) config(user, name string) { p.write(name, p.named(p.path(user))+p.conf) }

// reset makes the default cache one of user 0.
func (p place) reset() {
	for _, name := range []string{"cc", "before", "d", "e", "f", "home/.k5identity"} {
		must(os.RemoveAll(p.path(name)))
	}
	p.copy("0", "cc")
	p.write("krb5.conf", p.conf)
	must(os.Chmod(p.path("krb5.conf"), 0o644)) // for nobody
	os.Setenv("KRB5CCNAME", "FILE:"+p.path("cc"))
	os.Setenv("KRB5_CONFIG", p.path("krb5.conf"))
	os.Setenv("HOME", p.path("home"))
}

// named is a krb5.conf that names the default cache.
func (p place) named(cc string) string { return "[libdefaults]\n default_ccache_name = " + cc + "\n" }

type change struct {
	name           string
	prepare, apply func(place)
	want           string // by the users' numbers
}

// changes each take effect on the very next token. The last one cannot be taken back.
var changes = slices.Concat(ways("cache", place.copy, func(p place, name string) { os.Setenv("KRB5CCNAME", "FILE:"+p.path(name)) }),
	ways("krb5.conf", place.config, func(p place, name string) {
		os.Unsetenv("KRB5CCNAME")
		os.Setenv("KRB5_CONFIG", p.path(name))
	}), others)

// ways to make one file another. Put makes one that leads to a user, and use has the process use it.
func ways(what string, put func(p place, user, name string), use func(p place, name string)) []change {
	var opened *os.File // until the process ends
	open := func(p place, name string) {
		var err error
		opened, err = os.OpenFile(p.path(name), os.O_RDWR, 0)
		must(err)
	}
	overwrite := func(p place) {
		put(p, "1", "f/other")
		b, err := os.ReadFile(p.path("f/other"))
		must(err)
		_, err = opened.WriteAt(b, 0)
		must(err)
	}
	two := func(p place) {
		for user, dir := range []string{"f/g/x", "f/h/x"} {
			must(os.MkdirAll(p.path(dir), 0o700))
			put(p, fmt.Sprint(user), dir+"/file")
		}
	}
	exchange := func(p place) {
		must(os.Rename(p.path("f/g"), p.path("f/i")))
		must(os.Rename(p.path("f/h"), p.path("f/g")))
	}
	all := []change{
		{"overwritten, by who has it open", func(p place) { put(p, "0", "f/file"); open(p, "f/file") }, overwrite, "1"},
		{"overwritten, by who has it open by a name that is gone", func(p place) {
			put(p, "0", "f/gone")
			open(p, "f/gone")
			must(os.Link(p.path("f/gone"), p.path("f/file")))
			must(os.Remove(p.path("f/gone")))
		}, overwrite, "1"},
		{"overwritten, under another name", func(p place) { put(p, "0", "f/file"); must(os.Link(p.path("f/file"), p.path("f/link"))) },
			func(p place) { put(p, "1", "f/link") }, "1"},
		{"replaced, and kept under another name", func(p place) {
			put(p, "0", "f/file")
			put(p, "1", "f/other")
			must(os.Link(p.path("f/file"), p.path("f/link")))
		}, func(p place) { must(os.Rename(p.path("f/other"), p.path("f/file"))) }, "1"},
		{"replaced, when it had gone", func(p place) { put(p, "0", "f/file") }, func(p place) {
			must(os.Remove(p.path("f/file")))
			put(p, "1", "f/file")
		}, "1"},
		{"of another directory in the place of one above it", func(p place) { two(p); use(p, "f/g/x/file") }, exchange, "1"},
		{"behind a link", func(p place) { two(p); must(os.Symlink("g", p.path("f/link"))); use(p, "f/link/x/file") }, func(p place) {
			must(os.Remove(p.path("f/link")))
			must(os.Symlink("h", p.path("f/link")))
		}, "1"},
		{"behind a link to something else", func(p place) { two(p); must(os.Symlink("g", p.path("f/link"))); use(p, "f/link/x/file") }, exchange, "1"},
	}
	for i, c := range all {
		all[i].name = what + " " + c.name
		all[i].prepare = func(p place) {
			must(os.Mkdir(p.path("f"), 0o700))
			use(p, "f/file")
			c.prepare(p)
		}
	}
	return all
}

var others = []change{
	{"nothing", nil, func(p place) {}, "0, by a snapshot"},
	{"kinit", nil, func(p place) { p.kinit("0", "FILE:"+p.path("cc")) }, "0"},
	{"kinit as another", nil, func(p place) { p.kinit("1", "FILE:"+p.path("cc")) }, "1"},
	{"kdestroy", nil, func(p place) { p.run("kdestroy") }, ErrNoCred.Error()},
	{"KRB5CCNAME", nil, func(p place) { os.Setenv("KRB5CCNAME", "FILE:"+p.path("1")) }, "1"},
	{"KRB5CCNAME of another type", func(p place) {
		must(os.MkdirAll(p.path("collection"), 0o700))
		p.kinit("1", "DIR:"+p.path("collection"))
	}, func(p place) { os.Setenv("KRB5CCNAME", "DIR:"+p.path("collection")) }, "1"},
	{"KRB5CCNAME to nothing", nil, func(p place) { os.Setenv("KRB5CCNAME", "FILE:"+p.path("nothing")) }, ErrNoCred.Error()},
	{"cache overwritten", nil, func(p place) { p.copy("1", "cc") }, "1"},
	{"cache overwritten, with its old time", func(p place) { must(os.Chtimes(p.path("cc"), time.Unix(1e9, 0), time.Unix(1e9, 0))) }, func(p place) {
		p.copy("1", "cc")
		must(os.Chtimes(p.path("cc"), time.Unix(1e9, 0), time.Unix(1e9, 0)))
	}, "1"},
	{"an expired ticket", func(p place) {
		c, err := ReadCache(ctx, "FILE:"+p.path("expired"))
		for must(err); c.Tickets[0].End.After(time.Now()); {
		}
	}, func(p place) { p.copy("expired", "cc") }, ErrFailure.Error()},
	{"cache replaced, with its old time", func(p place) {
		p.copy("1", "other")
		must(os.Chtimes(p.path("cc"), time.Unix(1e9, 0), time.Unix(1e9, 0)))
		must(os.Chtimes(p.path("other"), time.Unix(1e9, 0), time.Unix(1e9, 0)))
	}, func(p place) { must(os.Rename(p.path("other"), p.path("cc"))) }, "1"},
	{"cache is a link", func(p place) {
		must(os.Remove(p.path("cc")))
		must(os.Symlink(p.path("0"), p.path("cc")))
	}, func(p place) {
		must(os.Remove(p.path("cc")))
		must(os.Symlink(p.path("1"), p.path("cc")))
	}, "1"},
	{"default_ccache_name", func(p place) {
		os.Unsetenv("KRB5CCNAME")
		p.write("krb5.conf", p.named(p.path("cc"))+p.conf)
	}, func(p place) { p.write("krb5.conf", p.named("FILE:"+p.path("1"))+p.conf) }, "1"},
	{"default_ccache_name, in a new file", func(p place) {
		os.Unsetenv("KRB5CCNAME")
		p.write("krb5.conf", p.named(p.path("cc"))+p.conf)
	}, func(p place) {
		p.write("new", p.named(p.path("1"))+p.conf)
		must(os.Rename(p.path("new"), p.path("krb5.conf")))
	}, "1"},
	{"KRB5_CONFIG", func(p place) {
		os.Unsetenv("KRB5CCNAME")
		p.write("krb5.conf", p.named(p.path("cc"))+p.conf)
		p.write("other.conf", p.named(p.path("1"))+p.conf)
	}, func(p place) { os.Setenv("KRB5_CONFIG", p.path("other.conf")) }, "1"},
	{"a file before krb5.conf", func(p place) {
		os.Unsetenv("KRB5CCNAME")
		os.Setenv("KRB5_CONFIG", p.path("before")+":"+p.path("krb5.conf"))
		p.write("krb5.conf", p.named(p.path("cc"))+p.conf)
	}, func(p place) { p.write("before", p.named(p.path("1"))) }, "1"},
	{"krb5.conf", nil, func(p place) {
		p.write("krb5.conf", "[libdefaults]\n permitted_enctypes = camellia256-cts-cmac\n"+p.conf)
	}, ErrFailure.Error()},
	{"included file", func(p place) {
		os.Unsetenv("KRB5CCNAME")
		p.write("included", p.named(p.path("cc")))
		p.write("krb5.conf", "include "+p.path("included")+"\n"+p.conf)
	}, func(p place) { p.write("included", p.named(p.path("1"))) }, "1"},
	{"file of an included directory", func(p place) {
		os.Unsetenv("KRB5CCNAME")
		must(os.MkdirAll(p.path("d"), 0o700))
		p.write("d/20", p.named(p.path("cc")))
		p.write("krb5.conf", "includedir "+p.path("d")+"\n"+p.conf)
	}, func(p place) { p.write("d/20", p.named(p.path("1"))) }, "1"},
	{"file put into an included directory", func(p place) {
		os.Unsetenv("KRB5CCNAME")
		must(os.MkdirAll(p.path("e"), 0o700))
		p.write("e/20", p.named(p.path("cc")))
		p.write("krb5.conf", "includedir "+p.path("e")+"\n"+p.conf)
	}, func(p place) { p.write("e/10", p.named(p.path("1"))) }, "1"},
	{"file of an included file", func(p place) {
		os.Unsetenv("KRB5CCNAME")
		p.write("inner", p.named(p.path("cc")))
		p.write("outer", "include "+p.path("inner")+"\n")
		p.write("krb5.conf", "include "+p.path("outer")+"\n"+p.conf)
	}, func(p place) { p.write("inner", p.named(p.path("1"))) }, "1"},
	{".k5identity", nil, func(p place) { p.write("home/.k5identity", env("TEST_USER1")+" service=HTTP\n") }, ErrNoCred.Error()},
	{"HOME", func(p place) {
		must(os.MkdirAll(p.path("home2"), 0o700))
		p.write("home2/.k5identity", env("TEST_USER1")+" service=HTTP\n")
	}, func(p place) { os.Setenv("HOME", p.path("home2")) }, ErrNoCred.Error()},
	{".k5identity in a home that comes to be", func(p place) { os.Setenv("HOME", p.path("f/g")) }, func(p place) {
		must(os.MkdirAll(p.path("f/g"), 0o700))
		p.write("f/g/.k5identity", env("TEST_USER1")+" service=HTTP\n")
	}, ErrNoCred.Error()},
	{".k5identity in a home that has gone while somebody was in it", func(p place) {
		must(os.MkdirAll(p.path("f/g"), 0o700))
		_, err := os.Open(p.path("f/g")) // until the garbage is collected
		must(err)
		os.Setenv("HOME", p.path("f/g"))
	}, func(p place) {
		must(os.Remove(p.path("f/g")))
		must(os.Mkdir(p.path("f/g"), 0o700))
		p.write("f/g/.k5identity", env("TEST_USER1")+" service=HTTP\n")
	}, ErrNoCred.Error()},
	{".k5identity in a home that takes the place of another", func(p place) {
		must(os.MkdirAll(p.path("f/g"), 0o700))
		must(os.MkdirAll(p.path("f/h"), 0o700))
		os.Setenv("HOME", p.path("f/g"))
	}, func(p place) {
		must(os.Rename(p.path("f/g"), p.path("f/i")))
		must(os.Rename(p.path("f/h"), p.path("f/g")))
		unheard(200 * time.Millisecond)
		p.write("f/g/.k5identity", env("TEST_USER1")+" service=HTTP\n")
	}, ErrNoCred.Error()},
	{"the process is another user's", nil, func(p place) {
		if os.Geteuid() == 0 {
			becomeNobody()
		} else {
			must(os.Chmod(p.path("cc"), 0))
		}
	}, ErrNoCred.Error()},
}

func init() {
	children["changes"] = func() {
		p := place{dir: env("TEST_DIR")}
		b, err := os.ReadFile(env("KRB5_CONFIG"))
		must(err)
		p.conf = string(b)
		begin := func(prepare func(place)) {
			p.reset()
			if prepare != nil {
				prepare(p)
			}
			must(warm(www, asked))
			unheard(200 * time.Millisecond)
		}
		for _, c := range changes[:len(changes)-1] {
			begin(c.prepare)
			initiator()
			c.apply(p)
			got := initiator()
			dropSnapshots()
			if want := initiator(); got != want {
				fmt.Printf("%s: the default initiator is %s, and not %s\n", c.name, want, got)
			}
		}
		for _, c := range changes {
			begin(c.prepare)
			before := whose()
			c.apply(p)
			fmt.Printf("%s: %s; %s\n", c.name, before, whose())
		}
	}
}

func init() {
	children["overlooked"] = func() {
		p := place{dir: env("TEST_DIR")}
		b, err := os.ReadFile(env("KRB5_CONFIG"))
		must(err)
		p.reset()
		os.Unsetenv("KRB5CCNAME")
		p.write("included", p.named(p.path("0")))
		p.write("krb5.conf", "include "+p.path("included")+"\n"+string(b))
		c, _, _, err := first(www, nil)
		must(err)
		must(warm(www, asked))
		p.write("included", p.named(p.path("1")))
		for start := time.Now(); time.Since(start) < 100*time.Millisecond; {
			whose()
		}
		fmt.Println(whose())
		c.Close()
		fmt.Println(whose())
	}

	// Calls that have nothing to do with snapshots.
	children["other calls"] = func() {
		p := place{dir: env("TEST_DIR")}
		b, err := os.ReadFile(env("KRB5_CONFIG"))
		must(err)
		p.reset()
		os.Unsetenv("KRB5CCNAME")
		p.write("included", p.named(p.path("0")))
		p.write("krb5.conf", "include "+p.path("included")+"\n"+string(b))
		for user, call := range []func() string{
			func() string { c, err := ReadCache(ctx, ""); must(err); return c.Principal },
			func() string { n, err := DefaultInitiator(ctx, www); must(err); return n.String() },
			func() string {
				c, err := Acquire(ctx, nil)
				must(err)
				defer c.Close()
				info, err := c.Info()
				must(err)
				return info.Name.String()
			},
			func() string {
				i := NewInitiator(www, &Options{Flags: FlagDelegate})
				defer i.Close()
				_, err := i.Step(ctx, nil)
				must(err)
				return i.Info().Initiator.String()
			},
		} {
			must(warm(www, nil))
			p.write("included", p.named(p.path(fmt.Sprint((user+1)%2))))
			fmt.Println(call())
		}
	}
}

// Snapshots have libkrb5 keep krb5.conf, and nobody notices.
func TestSnapshotAndOtherCalls(t *testing.T) {
	dir := t.TempDir()
	users := twoUsers(t, dir)
	out := child(t, "other calls", "TEST_DIR="+dir)
	zero, one := users[0]+"@NEGO.TEST\n", users[1]+"@NEGO.TEST\n"
	if want := one + zero + one + zero; out != want {
		t.Errorf("%swant\n%s", out, want)
	}
}

// A context that is alive has libkrb5 overlook that an included file has changed, for as long as it lives and no longer.
func TestSnapshotOfOverlookedFile(t *testing.T) {
	dir := t.TempDir()
	users := twoUsers(t, dir)
	wholeAndBare(t, func(t *testing.T, how string) {
		out := child(t, "overlooked", how, "TEST_DIR="+dir, "TEST_USER0="+users[0], "TEST_USER1="+users[1], "KRB5RCACHENAME=none:")
		if want := users[0] + "@NEGO.TEST\n" + users[1] + "@NEGO.TEST\n"; out != want {
			t.Errorf("%swant\n%s", out, want)
		}
	})
}

func TestSnapshotChanges(t *testing.T) {
	dir := t.TempDir()
	must(os.Chmod(filepath.Dir(dir), 0o755)) // for nobody
	must(os.Chmod(dir, 0o755))
	users := twoUsers(t, dir)
	place{dir: dir}.run("kinit", "-l", "1s", "-k", "-t", filepath.Join(dir, "keys"), "-c", "FILE:"+filepath.Join(dir, "expired"), users[0])
	wholeAndBare(t, func(t *testing.T, how string) {
		out := child(t, "changes", how, "TEST_DIR="+dir, "TEST_USER0="+users[0], "TEST_USER1="+users[1], "KRB5RCACHENAME=none:")
		named := strings.NewReplacer(users[0]+"@NEGO.TEST", "0", users[1]+"@NEGO.TEST", "1").Replace(out)
		lines := strings.Split(strings.TrimSuffix(named, "\n"), "\n")
		if len(lines) != len(changes) {
			t.Fatalf("%d lines of %d:\n%s", len(lines), len(changes), named)
		}
		for n, c := range changes {
			if want := c.name + ": 0, by a snapshot; " + c.want; lines[n] != want {
				t.Errorf("%s\nwant\n%s", lines[n], want)
			}
		}
	})
}

// The default cache becomes another's and back, in place and in the same size, and each token is of whom it belongs to at the time.
func TestSnapshotFlips(t *testing.T) {
	dir := t.TempDir()
	users := twoUsers(t, dir)
	wholeAndBare(t, func(t *testing.T, how string) {
		out := child(t, "flips", how, "TEST_DIR="+dir, "TEST_USER0="+users[0], "TEST_USER1="+users[1], "KRB5RCACHENAME=none:")
		if want := "of another: 0, too early: 0, by a snapshot: some\n"; out != want {
			t.Errorf("%swant %s", out, want)
		}
	})
}

func init() {
	children["flips"] = func() {
		const tokens = 10000
		p := place{dir: env("TEST_DIR")}
		os.Setenv("KRB5CCNAME", "FILE:"+p.path("cc"))
		long := time.Unix(1e9, 0)
		wrong, early, snapped := 0, 0, 0
		for n, flip := 0, 0; n < tokens; flip++ {
			user := flip % 2
			p.copy(fmt.Sprint(user), "cc")
			if flip%3 == 0 {
				must(os.Chtimes(p.path("cc"), long, long))
			}
			// Most are over before a snapshot can be taken; each tenth goes on until there were some tokens of it.
			for more, deadline := 2, time.Now().Add(20*time.Second); more > 0; n++ {
				switch got := whose(); got {
				case env("TEST_USER"+fmt.Sprint(user)) + "@NEGO.TEST":
					if flip%10 > 0 || time.Now().After(deadline) {
						more--
					} else {
						more = 100
					}
				case env("TEST_USER"+fmt.Sprint(user)) + "@NEGO.TEST, by a snapshot":
					snapped++
					more--
					// The next write must be at another time, which not every kernel shows in a test.
					if st, err := os.Stat(p.path("cc")); err != nil || time.Since(st.ModTime()) < 20*time.Millisecond {
						early++
					}
				default:
					wrong++
					more--
				}
			}
		}
		some := "none"
		if snapped > tokens/10 {
			some = "some"
		}
		fmt.Printf("of another: %d, too early: %d, by a snapshot: %s\n", wrong, early, some)
	}

	// Makes tokens until one comes of a snapshot, or the time is over.
	children["kept"] = func() {
		d, err := time.ParseDuration(env("TEST_FOR"))
		must(err)
		for start := time.Now(); time.Since(start) < d; {
			c, _, snapped, err := first(www, nil)
			c.Close()
			must(err)
			if snapped {
				fmt.Print("kept")
				return
			}
		}
		fmt.Print("never kept")
	}
}

// Tickets that the library may exchange for others, or that are for others to use, are left to it.
func TestSnapshotIsNeverTaken(t *testing.T) {
	dir := t.TempDir()
	users := twoUsers(t, dir)
	p := place{dir: dir}
	kinit := func(cc, life string) string {
		p.run("kinit", "-l", life, "-k", "-t", p.path("keys"), "-c", cc, users[0])
		return "KRB5CCNAME=" + cc
	}
	conf, err := os.ReadFile(realm.Config)
	must(err)
	p.write("short.conf", "[libdefaults]\n ticket_lifetime = 100s\n"+string(conf))
	must(os.Mkdir(p.path("collection"), 0o700))
	service, err := Acquire(ctx, &CredentialOptions{Name: www, Usage: Both, Store: Store{ClientKeytab: realm.KeytabFile, CCache: "MEMORY:" + unique("service")}})
	must(err)
	defer service.Close()
	_, a := pair(t, nil, &Options{Credential: service})
	proxy := a.Delegated()
	defer proxy.Close()
	must(proxy.StoreInto(ctx, Store{CCache: "FILE:" + p.path("proxy")}, false))
	const while = "TEST_FOR=300ms"
	for _, tc := range []struct {
		name string
		env  []string
		want string
	}{
		{"half a day", []string{kinit("FILE:"+p.path("day"), "12h"), "TEST_FOR=20s"}, "kept"},
		{"a ticket of 50 seconds", []string{kinit("FILE:"+p.path("ending"), "50s"), while}, "never kept"},
		{"a ticket of 100 seconds", []string{kinit("FILE:"+p.path("short"), "100s"), "TEST_FOR=20s"}, "kept"},
		{"the same, by a client keytab, which renews it after 50", []string{"KRB5CCNAME=FILE:" + p.path("renewed"),
			"KRB5_CLIENT_KTNAME=FILE:" + p.path("keys"), "KRB5_CONFIG=" + p.path("short.conf"), while}, "never kept"},
		{"constrained delegation", []string{"KRB5CCNAME=FILE:" + p.path("proxy"), while}, "never kept"},
		{"a collection", []string{kinit("DIR:"+p.path("collection"), "12h"), while}, "never kept"},
		{"a cache of a collection", []string{"KRB5CCNAME=DIR::" + p.path("collection/tkt"), while}, "never kept"},
		{"a module for the cache", []string{kinit("FILE:"+p.path("day"), "12h"), "KRB5_CONFIG=" + p.path("select.conf"), while}, "never kept"},
	} {
		p.write("select.conf", "[plugins]\n ccselect = {\n  module = mine:mine.so\n }\n"+string(conf))
		if out := child(t, "kept", append(tc.env, "HOME="+dir)...); out != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, out, tc.want)
		}
	}
}

// What a process gets with a client keytab is the user's as well, and it is gotten again when that is gone.
func TestSnapshotBesideClientKeytab(t *testing.T) {
	dir := t.TempDir()
	users := twoUsers(t, dir)
	cc := filepath.Join(dir, "cc")
	out := child(t, "beside a client keytab", "KRB5CCNAME=FILE:"+cc, "KRB5_CLIENT_KTNAME=FILE:"+filepath.Join(dir, "keys"),
		"KRB5RCACHENAME=none:", "HOME="+dir, "TEST_CACHE="+cc)
	who := users[0] + "@NEGO.TEST"
	if want := who + "\n" + who + ", by a snapshot\n" + who + "\n" + who + " 2\n"; out != want {
		t.Errorf("%swant\n%s", out, want)
	}
}

func init() {
	children["beside a client keytab"] = func() {
		fmt.Println(whose())
		must(warm(www, nil))
		fmt.Println(whose())
		must(os.Remove(env("TEST_CACHE")))
		fmt.Println(whose())
		c, err := ReadCache(ctx, "")
		must(err)
		fmt.Println(c.Principal, len(c.Tickets))
	}
}

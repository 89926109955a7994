//go:build cgo && unix && !heimdal

package gssapi

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// verdict is what became of a token: for whom it was accepted or why it was not, whether with keys in memory.
type verdict struct {
	text string
	kept bool
}

func judge(t *testing.T, cred *Credential, token []byte) verdict {
	t.Helper()
	a := NewAcceptor(&Options{Credential: cred})
	defer a.Close()
	before := cred.pool.keyring.tokens.Load()
	_, err := a.Step(t.Context(), token)
	v := verdict{kept: cred.pool.keyring.tokens.Load() != before}
	var e *Error
	switch info := a.Info(); {
	case errors.As(err, &e):
		v.text = fmt.Sprint(e.Code, e.Minor, e.Text, e.Detail, e.Hint)
	case err != nil:
		t.Fatal(err)
	default:
		v.text = fmt.Sprint(info.Initiator, " ", info.Acceptor, " ", info.Acceptor.Type(), " ", info.Mech, " ", info.Flags)
	}
	return v
}

// natively is what the library itself has to say: its own text, of a credential without keys in memory.
func natively(t *testing.T, keytab string, name Name, token []byte) string {
	t.Helper()
	a := acceptor(t, name, keytab)
	defer a.Close()
	a.pool.keyring.closed = true
	v := judge(t, a, token)
	if v.kept {
		t.Fatal("with keys in memory")
	}
	return v.text
}

// keep accepts tokens until one comes that is accepted with keys in memory.
func keep(t *testing.T, cred *Credential, service string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		v := judge(t, cred, firstToken(t, nil, service, SPNEGO))
		if v.kept {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no keys in memory: %s", v.text)
		}
		r := cred.pool.keyring
		r.mu.Lock()
		r.next = time.Time{} // at once, instead of in a second
		r.mu.Unlock()
	}
}

const (
	localKey = "HTTP/localhost@NEGO.TEST"
	wwwKey   = "HTTP/www.nego.test@NEGO.TEST"
	hostKey  = "host/www.nego.test@NEGO.TEST"
)

// What is accepted with keys in memory is told as the library tells it, for each credential that may have some.
func TestKeyringAccepts(t *testing.T) {
	dir := t.TempDir()
	one, all := addKeys(t, filepath.Join(dir, "one"), localKey), addKeys(t, filepath.Join(dir, "all"), hostKey, wwwKey, localKey)
	for _, tc := range []struct {
		name   Name
		keytab string
		single bool
	}{
		{Name{}, one, true}, {Name{}, all, false}, {Service("HTTP", ""), one, true}, {Service("HTTP", ""), all, false},
		{Service("host", ""), all, true}, {Service("HTTP", "localhost"), one, true}, {Service("HTTP", "localhost"), all, false},
	} {
		cred := acceptor(t, tc.name, tc.keytab)
		service := localKey
		if tc.name.String() == "host" {
			service = hostKey
		}
		keep(t, cred, service)
		for _, service := range []string{localKey, wwwKey, hostKey, localKey} {
			for _, mech := range []OID{SPNEGO, KRB5} {
				token := firstToken(t, nil, service, mech)
				got := judge(t, cred, token)
				if want := natively(t, tc.keytab, tc.name, firstToken(t, nil, service, mech)); got.text != want {
					t.Errorf("%v, %s: %s, want %s", tc.name, service, got.text, want)
				}
				if accepted := strings.HasPrefix(got.text, "user@NEGO.TEST "); got.kept != accepted {
					t.Errorf("%v, %s: %+v", tc.name, service, got)
				}
				if again := judge(t, cred, token); !strings.Contains(again.text, "replay") && got.kept {
					t.Errorf("%v, %s, a second time: %+v", tc.name, service, again)
				}
			}
		}
		r := cred.pool.keyring
		if r.now.single != tc.single || r.now.acceptor.IsZero() == tc.single {
			t.Errorf("%v: single: %v, %v", tc.name, r.now.single, r.now.acceptor)
		}
		if oneHost := strings.Contains(tc.name.String(), "@"); (len(r.now.known) == 0) != (oneHost && !tc.single) {
			t.Errorf("%v: %d tickets are known", tc.name, len(r.now.known))
		}
	}
}

// A change of the keytab takes effect with the very next token, however it is made.
func TestKeyringChanges(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	read := func(name string) []byte {
		b, err := os.ReadFile(file(name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	write := func(name string, b []byte) {
		if err := os.WriteFile(file(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addKeys(t, file("local"), localKey)
	addKeys(t, file("www"), wwwKey)
	addKeys(t, file("both"), localKey, wwwKey)
	for name, change := range map[string]func(keytab string) error{
		"written":   func(string) error { write("keytab", read("www")); return nil },
		"added to":  func(string) error { write("keytab", read("both")); return nil },
		"emptied":   func(keytab string) error { return os.Truncate(keytab, 0) },
		"removed":   os.Remove,
		"damaged":   func(string) error { write("keytab", append([]byte{5, 1}, read("local")[2:]...)); return nil },
		"replaced":  func(keytab string) error { write("new", read("www")); return os.Rename(file("new"), keytab) },
		"directory": func(keytab string) error { return errors.Join(os.Remove(keytab), os.Mkdir(keytab, 0o700)) },
		"replaced by an old one": func(keytab string) error {
			write("new", read("www"))
			info, err := os.Stat(keytab)
			if err != nil {
				return err
			}
			return errors.Join(os.Chtimes(file("new"), info.ModTime(), info.ModTime()), os.Rename(file("new"), keytab))
		},
		"link": func(keytab string) error { return errors.Join(os.Remove(keytab), os.Symlink(file("www"), keytab)) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.RemoveAll(file("keytab")); err != nil {
				t.Fatal(err)
			}
			write("keytab", read("local"))
			cred := acceptor(t, Name{}, file("keytab"))
			keep(t, cred, localKey)
			if err := change(file("keytab")); err != nil {
				t.Fatal(err)
			}
			services := []string{localKey, wwwKey}
			var got [2]verdict
			for i, service := range services {
				got[i] = judge(t, cred, firstToken(t, nil, service, SPNEGO))
			}
			cred.pool.keyring.close() // and back to the library's own way
			for i, service := range services {
				if want := judge(t, cred, firstToken(t, nil, service, SPNEGO)); got[i].text != want.text || want.kept {
					t.Errorf("%s: %s, want %+v", service, got[i].text, want)
				}
			}
		})
	}
}

// A keytab that turns to and fro is followed, with keys in memory in between.
func TestKeyringFlips(t *testing.T) {
	dir := t.TempDir()
	keytab := filepath.Join(dir, "keytab")
	keys := map[string]string{localKey: addKeys(t, filepath.Join(dir, "local"), localKey), wwwKey: addKeys(t, filepath.Join(dir, "www"), wwwKey)}
	flip := func(to string) {
		next := filepath.Join(dir, "next")
		if err := errors.Join(os.Link(keys[to], next), os.Rename(next, keytab)); err != nil {
			t.Fatal(err)
		}
	}
	flip(localKey)
	cred := acceptor(t, Name{}, keytab)
	for i := range 40 {
		is, other := localKey, wwwKey
		if i%2 == 1 {
			is, other = wwwKey, localKey
		}
		flip(is)
		for _, service := range []string{is, other} {
			v := judge(t, cred, firstToken(t, nil, service, SPNEGO))
			if accepted := strings.HasPrefix(v.text, "user@NEGO.TEST "+service+" "); accepted != (service == is) {
				t.Fatalf("%d, a token for %s where the keytab has %s: %+v", i, service, is, v)
			}
		}
		if err := os.Remove(filepath.Join(dir, "next")); err != nil && !errors.Is(err, os.ErrNotExist) { // rename leaves a link to the same file alone
			t.Fatal(err)
		}
		keep(t, cred, is)
	}
}

// Whom a token is for is said by the key that opens the ticket, and not by what the client writes on it.
func TestKeyringAlias(t *testing.T) {
	dir := t.TempDir()
	one := addKeys(t, filepath.Join(dir, "one"), localKey)
	two := addKeys(t, filepath.Join(dir, "two"), localKey, wwwKey)
	b, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.ReplaceAll(b, []byte("localhost"), []byte("otherhost"))
	www, err := os.ReadFile(two)
	if err != nil {
		t.Fatal(err)
	}
	join := func(first []byte, more ...[]byte) []byte {
		first = bytes.Clone(first)
		for _, b := range more {
			first = append(first, b[2:]...) // without the version of the format
		}
		return first
	}
	for name, c := range map[string]struct {
		keytab []byte
		as     Name
		single bool
	}{
		"one":                   {b, Service("HTTP", ""), true},
		"same key first":        {join(other, b), Service("HTTP", ""), true},
		"same key last":         {join(b, other), Service("HTTP", ""), true},
		"same key, any service": {join(b, other), Name{}, true},
		"same key, one host":    {join(other, b), Service("HTTP", "localhost"), false},
		"two":                   {www, Service("HTTP", ""), false},
		"two, and the same key": {join(other, www), Service("HTTP", ""), false},
	} {
		file := filepath.Join(dir, "alias")
		if err := os.WriteFile(file, c.keytab, 0o600); err != nil {
			t.Fatal(err)
		}
		cred := acceptor(t, c.as, file)
		keep(t, cred, localKey)
		if got := cred.pool.keyring.now.single; got != c.single {
			t.Errorf("%s: single: %v", name, got)
		}
		for _, as := range []string{"localhost", "otherhost", "elsewhere"} {
			forged := func() []byte {
				token := firstToken(t, nil, localKey, KRB5)
				if !bytes.Contains(token, []byte("localhost")) {
					t.Fatal("no name in the ticket")
				}
				return bytes.ReplaceAll(token, []byte("localhost"), []byte(as))
			}
			got := judge(t, cred, forged())
			if want := natively(t, file, c.as, forged()); got.text != want || !got.kept {
				t.Errorf("%s, as %s: %+v, want %s", name, as, got, want)
			}
		}
	}
}

// put puts a keytab in the place of another.
func put(t *testing.T, from, keytab string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(keytab+".new", b, 0o600), os.Rename(keytab+".new", keytab)); err != nil {
		t.Fatal(err)
	}
}

// Where a context takes several legs, whom it is for is said by the keys of the first one, and the last one tells nobody else so.
func TestKeyringLegs(t *testing.T) {
	dir := t.TempDir()
	local, www := addKeys(t, filepath.Join(dir, "local"), localKey), addKeys(t, filepath.Join(dir, "www"), wwwKey)
	keytab := filepath.Join(dir, "keytab")
	for _, mech := range []OID{KRB5, SPNEGO} {
		for _, told := range []bool{false, true} {
			put(t, www, keytab)
			cred := acceptor(t, Name{}, keytab)
			keep(t, cred, wwwKey)
			i := NewInitiator(Principal(wwwKey), &Options{Mech: mech, Flags: FlagMutual | FlagDCEStyle})
			defer i.Close()
			a := NewAcceptor(&Options{Credential: cred})
			defer a.Close()
			var token []byte
			var err error
			for leg := range 3 {
				from := []*SecContext{i, a, i}[leg]
				if token, err = from.Step(t.Context(), token); err != nil || a.Established() {
					t.Fatal(leg, err, a.Established())
				}
			}
			put(t, local, keytab)
			if told {
				keep(t, cred, localKey)
			} else { // the leg is the first to be accepted with the new keys
				judge(t, cred, firstToken(t, nil, localKey, KRB5))
				r := cred.pool.keyring
				for end := time.Now().Add(20 * time.Second); r.now == nil; r.now = r.read() {
					if time.Now().After(end) {
						t.Fatal("no keys in memory")
					}
				}
			}
			if _, err := a.Step(t.Context(), token); err != nil || !a.Established() {
				t.Fatal(err, a.Established())
			}
			if got := a.Info().Acceptor.String(); got != wwwKey {
				t.Errorf("%v: a context for %s is told to be for %s", mech, wwwKey, got)
			}
			if v := judge(t, cred, firstToken(t, nil, localKey, KRB5)); !v.kept || !strings.HasPrefix(v.text, "user@NEGO.TEST "+localKey+" ") {
				t.Errorf("%v: a token for %s behind it: %+v", mech, localKey, v)
			}
		}
	}
}

// The keys are those of the file that is looked at, even where the path leads elsewhere while they are taken.
func TestKeyringElsewhereMeanwhile(t *testing.T) {
	dir := t.TempDir()
	local, www := addKeys(t, filepath.Join(dir, "local"), localKey), addKeys(t, filepath.Join(dir, "www"), wwwKey)
	link := filepath.Join(dir, "keytab")
	point := func(to string) error {
		return errors.Join(os.Symlink(to, link+".new"), os.Rename(link+".new", link))
	}
	if err := point(local); err != nil {
		t.Fatal(err)
	}
	r := acceptor(t, Name{}, link).pool.keyring
	var still sync.Mutex // nothing changes while it is held
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			still.Lock()
			err := point(www)
			still.Unlock()
			still.Lock()
			err = errors.Join(err, point(local))
			still.Unlock()
			if err != nil {
				done <- err
				return
			}
		}
	}()
	var seen [2]int
	for end := time.Now().Add(20 * time.Second); min(seen[0], seen[1]) < 60 && time.Now().Before(end); {
		k := r.read()
		if k == nil {
			continue
		}
		is := krb5Keytab(string(bytes.Split(k.copies.store, []byte{0})[1]), Name{})
		_, keys := readKeytab(&is)
		still.Lock()
		if err := point(local); err != nil {
			t.Error(err)
		}
		switch same := !keysChanged(k.box); {
		case keys[0].Principal.String() == localKey:
			seen[0]++
		case same:
			t.Error("other keys than those of the file that is looked at")
			fallthrough
		default:
			seen[1]++
		}
		still.Unlock()
		k.close()
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if seen[0] == 0 || seen[1] == 0 {
		t.Errorf("keys were taken %d and %d times", seen[0], seen[1])
	}
}

// A credential has the keytab that it was acquired with, whatever the environment comes to say.
func TestKeyringEnvironment(t *testing.T) {
	if out := child(t, "keytab of the environment", "TEST_DIR="+t.TempDir()); out != "" {
		t.Error(out)
	}
}

func init() {
	children["keytab of the environment"] = func() {
		local, www := env("TEST_DIR")+"/local", env("TEST_DIR")+"/www"
		for file, key := range map[string]string{local: localKey, www: wwwKey} {
			place{}.run("kadmin.local", "-r", "NEGO.TEST", "-q", "ktadd -norandkey -k "+file+" "+key)
		}
		os.Setenv("KRB5_KTNAME", local)
		cred, err := Acquire(ctx, &CredentialOptions{Usage: Accept})
		must(err)
		defer cred.Close()
		accept := func(service string) (accepted, kept bool) {
			_, token, _, err := first(Principal(service), nil)
			must(err)
			a := NewAcceptor(&Options{Credential: cred})
			defer a.Close()
			before := cred.pool.keyring.tokens.Load()
			_, err = a.Step(ctx, token)
			return err == nil, cred.pool.keyring.tokens.Load() != before
		}
		os.Setenv("KRB5_KTNAME", www)
		for end, kept := time.Now().Add(20*time.Second), false; !kept; {
			var accepted bool
			if accepted, kept = accept(localKey); !accepted {
				fmt.Println("a token for its key is refused")
			}
			if time.Now().After(end) {
				panic("no keys in memory")
			}
			cred.pool.keyring.next = time.Time{}
		}
		if accepted, _ := accept(wwwKey); accepted {
			fmt.Println("a token for the other keytab's key is accepted")
		}
		for _, l := range cred.pool.idle {
			l.close()
		}
		cred.pool.idle = nil // and an equal one that is acquired now
		cred.pool.keyring.close()
		if accepted, _ := accept(localKey); !accepted {
			fmt.Println("an equal credential has another keytab")
		}
		if keys, err := cred.Keys(ctx); err != nil || len(keys) == 0 || keys[0].Principal.String() != localKey {
			fmt.Println(keys, err)
		}
		// What fails is explained by that keytab, too.
		refused := func(service string) error {
			_, token, _, err := first(Principal(service), nil)
			must(err)
			a := NewAcceptor(&Options{Credential: cred})
			defer a.Close()
			_, err = a.Step(ctx, token)
			return err
		}
		for _, service := range []string{wwwKey, hostKey} {
			if err := refused(service); err == nil || !strings.Contains(err.Error(), local) {
				fmt.Println(service, err)
			}
		}
		must(os.Remove(local))
		if err := refused(localKey); err == nil || strings.Contains(err.Error(), www) {
			fmt.Println(err)
		}
		if _, err := cred.Keys(ctx); err == nil || strings.Contains(err.Error(), www) {
			fmt.Println(err)
		}
	}
}

// A keytab by a name that is no UTF-8 is itself, and not the file beside it whose name is what JSON makes of that.
func TestKeyringName(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "sch\xfcssel")
	addKeys(t, filepath.Join(dir, "sch\uFFFDssel"), wwwKey)
	if err := os.Rename(addKeys(t, filepath.Join(dir, "keytab"), localKey), odd); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KRB5_KTNAME", odd)
	for _, cred := range []*Credential{acceptor(t, Name{}, odd), acceptor(t, Name{}, "")} {
		if cred.pool.keyring != nil {
			t.Error("its name is known")
		}
		for range 3 {
			for service, ok := range map[string]bool{localKey: true, wwwKey: false} {
				a := NewAcceptor(&Options{Credential: cred})
				if _, err := a.Step(t.Context(), firstToken(t, nil, service, KRB5)); (err == nil) != ok {
					t.Errorf("%s: %v", service, err)
				}
				a.Close()
			}
		}
	}
}

// Who may no longer read the keytab accepts nothing with it, whatever the right was that is gone. It takes root to lose one.
func TestKeyringRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("nobody can lose a right here")
		return
	}
	// Nobody may trace a process that was another user, which the leak sanitizer would have to.
	if out := child(t, "keytab of a group", "TEST_DIR="+t.TempDir(), "ASAN_OPTIONS=detect_leaks=0"); out != "" {
		t.Error(out)
	}
}

func init() {
	children["keytab of a group"] = func() {
		const group, nobody = 4242, 65534
		keytab := env("TEST_DIR") + "/keytab"
		place{}.run("kadmin.local", "-r", "NEGO.TEST", "-q", "ktadd -norandkey -k "+keytab+" "+localKey)
		must(errors.Join(os.Chown(keytab, 0, group), os.Chmod(keytab, 0o640)))
		for dir := filepath.Dir(keytab); strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
			must(os.Chmod(dir, 0o755))
		}
		must(errors.Join(os.Chmod(filepath.Dir(env("KRB5_CONFIG")), 0o755), os.Chmod(env("KRB5_CONFIG"), 0o644)))
		_, token, _, err := first(Principal(localKey), nil)
		must(err)
		must(errors.Join(syscall.Setgroups([]int{group}), syscall.Setegid(nobody), syscall.Seteuid(nobody)))
		cred, err := Acquire(ctx, &CredentialOptions{Usage: Accept, Store: Store{Keytab: keytab, RCache: "none:"}})
		must(err)
		defer cred.Close()
		accept := func() error {
			a := NewAcceptor(&Options{Credential: cred})
			defer a.Close()
			_, err := a.Step(ctx, token) // there is no replay cache
			return err
		}
		for end := time.Now().Add(20 * time.Second); cred.pool.keyring.tokens.Load() == 0; {
			must(accept())
			if time.Now().After(end) {
				panic("no keys in memory")
			}
			cred.pool.keyring.next = time.Time{}
		}
		must(errors.Join(syscall.Seteuid(0), syscall.Setgroups(nil), syscall.Seteuid(nobody)))
		if err := accept(); err == nil {
			fmt.Println("accepted with a keytab that cannot be read")
		}
	}
}

// Other credentials accept the library's own way, and what is asked of a credential with keys in memory is told of its keytab.
func TestKeyringElsewhere(t *testing.T) {
	keytab := addKeys(t, filepath.Join(t.TempDir(), "keytab"), localKey)
	for what, o := range map[string]CredentialOptions{
		"principal":   {Usage: Accept, Name: Principal(localKey), Store: Store{Keytab: keytab}},
		"both":        {Usage: Both, Store: Store{Keytab: keytab}},
		"SPNEGO":      {Usage: Accept, Mechs: []OID{SPNEGO}, Store: Store{Keytab: keytab}},
		"initiator's": {Name: Principal("user@NEGO.TEST")},
	} {
		c, err := Acquire(t.Context(), &o)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		defer c.Close()
		for range 4 {
			if o.Usage == Initiate {
				continue
			}
			a := NewAcceptor(&Options{Credential: c})
			if _, err := a.Step(t.Context(), firstToken(t, nil, localKey, SPNEGO)); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			a.Close()
		}
		if r := c.pool.keyring; r != nil && (r.now != nil || r.tokens.Load() > 0) {
			t.Errorf("%s: keys in memory", what)
		}
	}

	c := acceptor(t, Name{}, keytab)
	keep(t, c, localKey)
	exported, err := c.Export(t.Context())
	if err != nil || !bytes.Contains(exported, []byte("FILE:"+keytab)) {
		t.Errorf("%q, %v", exported, err)
	}
	if keys, err := c.Keys(t.Context()); err != nil || len(keys) == 0 {
		t.Errorf("%v, %v", keys, err)
	}
	imported, err := ImportCredential(t.Context(), exported)
	if err != nil {
		t.Fatal(err)
	}
	defer imported.Close()
	if imported.pool.keyring != nil {
		t.Error("an imported one has keys in memory")
	}
}

// Close leaves nothing behind, while tokens are accepted as well.
func TestKeyringClose(t *testing.T) {
	settle(t)
	before := held()
	keytab := addKeys(t, filepath.Join(t.TempDir(), "keytab"), localKey)
	for i := range 100 {
		cred := acceptor(t, Name{}, keytab)
		if i%5 == 0 {
			keep(t, cred, localKey)
		} else {
			judge(t, cred, firstToken(t, nil, localKey, SPNEGO)) // and behind the next one the keys are taken
		}
		tokens := make([][]byte, 1+i%5*2)
		for i := range tokens {
			tokens[i] = firstToken(t, nil, localKey, SPNEGO)
		}
		var all sync.WaitGroup
		for i, token := range tokens {
			all.Go(func() {
				if i == len(tokens)/2 {
					cred.Close()
				}
				a := NewAcceptor(&Options{Credential: cred})
				defer a.Close()
				_, err := a.Step(t.Context(), token)
				if err == nil && a.Info().Acceptor.String() != localKey || err != nil && !errors.Is(err, ErrClosed) {
					t.Errorf("%v, %v", a.Info(), err)
				}
			})
		}
		all.Wait()
	}
	if n := held(); n != before {
		t.Errorf("%d C objects are alive, %d before", n, before)
	}
}

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
			for _, service := range []string{localKey, wwwKey} {
				got := judge(t, cred, firstToken(t, nil, service, SPNEGO))
				cred.pool.keyring.close() // and back to the library's own way
				if want := judge(t, cred, firstToken(t, nil, service, SPNEGO)); got.text != want.text || want.kept {
					t.Errorf("%s: %s, want %+v", service, got.text, want)
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

// Other credentials accept the library's own way, and what is asked of a credential with keys in memory is told of its keytab.
func TestKeyringElsewhere(t *testing.T) {
	keytab := addKeys(t, filepath.Join(t.TempDir(), "keytab"), localKey)
	for what, o := range map[string]CredentialOptions{
		"principal":   {Usage: Accept, Name: Principal(localKey), Store: Store{Keytab: keytab}},
		"both":        {Usage: Both, Store: Store{Keytab: keytab}},
		"SPNEGO":      {Usage: Accept, Mechs: []OID{SPNEGO}, Store: Store{Keytab: keytab}},
		"write":       {Usage: Accept, Store: Store{Keytab: "WRFILE:" + keytab}},
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

package gssapi

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nego-sso/nego/krbtest"
)

// Who initiates with a target, where there are alice and bob of ONE.TEST and zaphod of TWO.TEST, who do not trust each other.
var selections = []struct {
	realm  string // the default one
	rules  bool   // there is a .k5identity
	name   Name   // of the credential; zero: there is none
	target Name
	want   string
}{
	{"ONE.TEST", false, Principal("alice@ONE.TEST"), Principal("host/www@ONE.TEST"), "alice@ONE.TEST"},
	{"TWO.TEST", false, Principal("zaphod@TWO.TEST"), Principal("host/www@TWO.TEST"), "zaphod@TWO.TEST"},
	// By the service's realm.
	{"ONE.TEST", false, Name{}, Principal("host/www@ONE.TEST"), "alice@ONE.TEST"},
	{"TWO.TEST", false, Name{}, Principal("host/www@TWO.TEST"), "zaphod@TWO.TEST"},
	// The primary cache, where that is not known.
	{"TWO.TEST", false, Name{}, Principal("host/www@"), "zaphod@TWO.TEST"},
	// By what the realm of the host might be: its domain, one above it, the default one.
	{"ONE.TEST", false, Name{}, Service("host", "foo.one.test"), "alice@ONE.TEST"},
	{"TWO.TEST", false, Name{}, Service("host", "foo.two.test"), "zaphod@TWO.TEST"},
	{"ONE.TEST", false, Name{}, Service("host", "foo.bar.one.test"), "alice@ONE.TEST"},
	{"ONE.TEST", false, Name{}, Service("host", "localhost"), "alice@ONE.TEST"},
	{"TWO.TEST", false, Name{}, Service("host", "localhost"), "zaphod@TWO.TEST"},
	// By a rule, or else the primary cache, which is bob's by then.
	{"ONE.TEST", true, Name{}, Principal("host/www@ONE.TEST"), "alice@ONE.TEST"},
	{"TWO.TEST", true, Name{}, Service("host", "localhost"), "zaphod@TWO.TEST"},
	{"ONE.TEST", true, Name{}, Principal("host/www@"), "bob@ONE.TEST"},
	{"ONE.TEST", true, Name{}, Service("bogus", "foo.two.test"), "Can't find client principal noprinc"},
}

// Mirrors t_ccselect.c with its driver, but for a credential that is acquired without a name: here that has one identity from then on.
func TestCacheSelection(t *testing.T) {
	if heimdal { // which does not select: see TestDefaultInitiator
		return
	}
	hosts := []string{"host/www", "host/localhost", "host/foo.one.test", "host/foo.two.test", "host/foo.bar.one.test"}
	one := krbtest.Start(t, &krbtest.Options{Realm: "ONE.TEST", Users: []string{"alice", "bob"}, Services: hosts})
	two := krbtest.Start(t, &krbtest.Options{Realm: "TWO.TEST", Users: []string{"zaphod"}, Services: hosts})
	dir := t.TempDir()
	keytab, caches := filepath.Join(dir, "keytab"), filepath.Join(dir, "caches")
	for _, r := range []*krbtest.Realm{one, two} {
		if err := r.AddToKeytab(keytab, hosts...); err != nil {
			t.Fatal(err)
		}
	}
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	login := func(r *krbtest.Realm, user string) {
		t.Helper()
		if err := r.Kinit(t.Context(), user, "DIR::"+filepath.Join(caches, "tkt"+user)); err != nil {
			t.Fatal(err)
		}
		write("caches/primary", "tkt"+user+"\n")
	}
	run := func(realm, rules string) {
		t.Helper()
		conf := filepath.Join(dir, "krb5.conf")
		writeConf(t, conf, "default_realm = "+realm, one, two)
		out := child(t, "cache selection", "KRB5_CONFIG="+conf, "KRB5CCNAME=DIR:"+caches, "KRB5_KTNAME="+keytab,
			"HOME="+dir, "TEST_REALM="+realm, "TEST_RULES="+rules)
		lines := strings.Split(out, "\n")
		for n, tc := range selections {
			if tc.realm == realm && tc.rules == (rules != "") && !strings.Contains(lines[n], tc.want) {
				t.Errorf("%+v: %s", tc, lines[n])
			}
		}
	}
	if err := os.Mkdir(caches, 0o700); err != nil {
		t.Fatal(err)
	}
	login(one, "alice")
	login(two, "zaphod")
	run("ONE.TEST", "")
	run("TWO.TEST", "")
	login(one, "bob")
	write(".k5identity", "alice@ONE.TEST realm=ONE.TEST\nzaphod@TWO.TEST service=ho*t host=localhost\nnoprinc service=bogus\n")
	run("ONE.TEST", "yes")
	run("TWO.TEST", "yes")
}

// writeConf writes a krb5.conf that knows the realms by name, and no host of them.
func writeConf(t *testing.T, file, settings string, realms ...*krbtest.Realm) {
	t.Helper()
	conf := "[libdefaults]\n dns_lookup_kdc = false\n dns_lookup_realm = false\n dns_canonicalize_hostname = false\n qualify_shortname = \"\"\n " + settings + "\n[realms]\n"
	for _, r := range realms {
		conf += fmt.Sprintf(" %s = {\n  kdc = %s\n }\n", r.Name, r.Addr)
	}
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
}

func init() {
	children["cache selection"] = func() {
		for _, tc := range selections {
			if tc.realm != env("TEST_REALM") || tc.rules != (env("TEST_RULES") != "") {
				fmt.Println()
				continue
			}
			fmt.Println(selected(tc.name, tc.target))
		}
	}
}

// selected is who an acceptor sees.
func selected(name, target Name) (Name, error) {
	ctx := context.Background()
	o := &Options{Mech: KRB5, Flags: FlagReplay | FlagSequence}
	if !name.IsZero() {
		var err error
		if o.Credential, err = Acquire(ctx, &CredentialOptions{Name: name}); err != nil {
			return Name{}, err
		}
		defer o.Credential.Close()
	}
	i, a := NewInitiator(target, o), NewAcceptor(nil)
	defer i.Close()
	defer a.Close()
	if err := handshake(i, a); err != nil {
		return Name{}, err
	}
	seen := a.Info().Initiator
	if name.IsZero() {
		if said, err := DefaultInitiator(ctx, target); err != nil || said != seen {
			return Name{}, fmt.Errorf("the default initiator is said to be %v, and the acceptor sees %v: %w", said, seen, err)
		}
		m := NewInitiator(target, &Options{Flags: FlagMutual})
		defer m.Close()
		if _, err := m.Step(ctx, nil); err != nil || m.Info().Initiator != seen {
			return Name{}, fmt.Errorf("a token is said to be of %v, and the acceptor sees %v: %w", m.Info().Initiator, seen, err)
		}
	}
	return seen, nil
}

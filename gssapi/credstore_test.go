package gssapi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nego-sso/nego/krbtest"
)

func init() {
	// Stores the ticket of each cache that it is given in the environment's own, and says whose that is afterwards.
	children["store in the default cache"] = func() {
		ctx := context.Background()
		for _, step := range strings.Fields(env("TEST_STEPS")) {
			cc, overwrite := strings.CutPrefix(step, "overwrite:")
			c, err := Acquire(ctx, &CredentialOptions{Store: Store{CCache: cc}})
			if err != nil {
				fmt.Println(err)
				return
			}
			err = c.StoreInto(ctx, Store{}, overwrite)
			c.Close()
			now, read := ReadCache(ctx, "")
			fmt.Println(errors.Is(err, ErrDuplicateElement), now.Principal, read)
		}
	}
}

// Mirrors t_store_cred.c with its driver, for the environment's own cache; TestStoreInto does for named ones.
func TestStoreDefault(t *testing.T) {
	dir := t.TempDir()
	alice, bob := "FILE:"+filepath.Join(dir, "alice"), "FILE:"+filepath.Join(dir, "bob")
	for cc, user := range map[string]string{alice: "alice", bob: "bob"} {
		if err := realm.Kinit(t.Context(), user, cc); err != nil {
			t.Fatal(err)
		}
	}
	steps := "TEST_STEPS=" + strings.Join([]string{alice, alice, bob, "overwrite:" + bob, "overwrite:" + alice}, " ")
	out := child(t, "store in the default cache", steps, "KRB5CCNAME=FILE:"+filepath.Join(dir, "cc"))
	if want := "false alice@NEGO.TEST <nil>\ntrue alice@NEGO.TEST <nil>\ntrue alice@NEGO.TEST <nil>\nfalse bob@NEGO.TEST <nil>\nfalse alice@NEGO.TEST <nil>\n"; out != want {
		t.Errorf("in a file:\n%s\nwant\n%s", out, want)
	}
	// In a collection the other user's is not in the way, and what is stored becomes the primary one.
	out = child(t, "store in the default cache", steps, "KRB5CCNAME=DIR:"+t.TempDir())
	bobs := either("false bob", "true alice") // Heimdal's environment names one cache of the collection
	if want := "false alice@NEGO.TEST <nil>\ntrue alice@NEGO.TEST <nil>\n" + bobs + "@NEGO.TEST <nil>\nfalse bob@NEGO.TEST <nil>\nfalse alice@NEGO.TEST <nil>\n"; out != want {
		t.Errorf("in a directory:\n%s\nwant\n%s", out, want)
	}
}

// Mirrors the part "matching" of t_credstore.py: which names a cache satisfies.
func TestCacheMatchesName(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	service := unique("svc")
	principal := service + "/" + strings.ToLower(host)
	if err := realm.AddService(principal); err != nil {
		t.Fatal(err)
	}
	cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
	keys := Store{ClientKeytab: realm.KeytabFile, CCache: cc}
	if i := info(t, acquired(t, CredentialOptions{Name: Principal(principal), Store: keys})); i.Name.String() != principal+"@NEGO.TEST" {
		t.Fatalf("%+v", i)
	}
	for _, tc := range []struct {
		name Name
		ok   bool
	}{
		{Principal(principal), true},
		{Service(service, ""), true}, // on this machine
		{Service(service, host), true},
		{Principal("wrong"), false},
		{Service(service, "-nomatch-"), false},
		{Service("HTTP", ""), false},
	} {
		c, err := Acquire(t.Context(), &CredentialOptions{Name: tc.name, Store: Store{CCache: cc}})
		if err == nil {
			c.Close()
		}
		if (err == nil) != tc.ok || err != nil && !errors.Is(err, ErrNoCred) {
			t.Errorf("%v: %v", tc.name, err)
		}
	}
}

// Mirrors the part "rcache" of t_credstore.py: a replayed token is refused, but by an acceptor without a replay cache.
func TestReplayCacheOfStore(t *testing.T) {
	for _, tc := range []struct {
		rcache string
		ok     bool
	}{{"", false}, {"none:", true}, {"dfl:", false}} {
		i := NewInitiator(www, &Options{Mech: KRB5})
		defer i.Close()
		token, err := i.Step(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		o := CredentialOptions{Usage: Accept, Name: Principal(wwwPrincipal), Store: Store{RCache: tc.rcache}}
		if heimdal && tc.rcache != "" {
			c, err := Acquire(t.Context(), &o)
			if c.Close(); !errors.Is(err, ErrUnavailable) {
				t.Errorf("%q: %v", tc.rcache, err)
			}
			continue
		}
		c := acquired(t, o)
		for n, want := range []bool{true, tc.ok || heimdal} { // which has no replay cache
			a := NewAcceptor(&Options{Credential: c})
			if _, err := a.Step(t.Context(), token); (err == nil) != want {
				t.Errorf("%q, use %d: %v", tc.rcache, n+1, err)
			}
			a.Close()
		}
	}
}

// Mirrors the parts "password" and "verify" of t_credstore.py, but for a verification that fails: MIT krb5 1.20 loses the ticket
// then, which the leak sanitizer finds.
func TestPasswordOfStore(t *testing.T) {
	ctx := t.Context()
	user, service := unique("pat"), unique("svc/verify")
	if err := realm.AddUser(user, "pat's"); err != nil {
		t.Fatal(err)
	}
	if err := realm.AddService(service); err != nil {
		t.Fatal(err)
	}
	keytab := filepath.Join(t.TempDir(), "keytab")
	if err := realm.AddToKeytab(keytab, service); err != nil {
		t.Fatal(err)
	}
	verify := map[string]string{"verify": service + "@NEGO.TEST"}
	for _, tc := range []struct {
		name string
		o    CredentialOptions
		ok   bool
	}{
		{"no name", CredentialOptions{Store: Store{Password: "pat's"}}, false},
		{"client keytab as well", CredentialOptions{Name: User(user), Store: Store{Password: "pat's", ClientKeytab: keytab}}, false},
		{"cache as well", CredentialOptions{Name: User(user), Store: Store{Password: "pat's", CCache: "MEMORY:" + user}}, false},
		{"acceptor", CredentialOptions{Name: User(user), Usage: Accept, Store: Store{Password: "pat's"}}, false},
		{"alone", CredentialOptions{Name: User(user), Store: Store{Password: "pat's"}}, true},
		{"verified", CredentialOptions{Name: User(user), Store: Store{Password: "pat's", Keytab: keytab, Extra: verify}}, !heimdal}, // which has no such key
	} {
		c, err := Acquire(ctx, &tc.o)
		if (err == nil) != tc.ok || err != nil && strings.Contains(err.Error(), "pat's") {
			t.Errorf("%s: %v", tc.name, err)
		}
		c.Close()
	}
}

func init() {
	// Says with whose ticket the named users initiate, in the order given; "-" is nobody in particular.
	children["client keytab"] = func() {
		ctx := context.Background()
		for user := range strings.FieldsSeq(env("TEST_USERS")) {
			var o CredentialOptions
			if user != "-" {
				o.Name = Principal(user)
			}
			c, err := Acquire(ctx, &o)
			if err != nil {
				fmt.Println(user, errors.Is(err, ErrNoCred))
				continue
			}
			i, a := NewInitiator(www, &Options{Credential: c, Mech: KRB5}), NewAcceptor(nil)
			err = handshake(i, a)
			fmt.Println(user, a.Info().Initiator, err)
			c.Close()
		}
	}
}

// Mirrors t_client_keytab.py: which ticket an initiator has, where its keys may get one.
func TestClientKeytab(t *testing.T) {
	keytab := filepath.Join(t.TempDir(), "client.keytab")
	if err := realm.AddToKeytab(keytab, "alice", "bob"); err != nil {
		t.Fatal(err)
	}
	const none = "- true|bob true|- true|alice true|bob true|- true|user true|nobody true|" // the environment's is MIT krb5's
	const users = "TEST_USERS=- bob - alice bob - user nobody"
	for _, tc := range []struct{ cc, want string }{
		// A file has one user, the first who came.
		{"FILE:" + filepath.Join(t.TempDir(), "cc"), either("- alice <nil>|bob true|- alice <nil>|alice alice <nil>|bob true|- alice <nil>|user true|nobody true|", none)},
		// A collection has all, and the first who came is who is meant by default.
		{"DIR:" + t.TempDir(), either("- alice <nil>|bob bob <nil>|- alice <nil>|alice alice <nil>|bob bob <nil>|- alice <nil>|user true|nobody true|", none)},
	} {
		out := child(t, "client keytab", users, "KRB5CCNAME="+tc.cc, "KRB5_CLIENT_KTNAME="+keytab)
		if want := strings.ReplaceAll(strings.ReplaceAll(tc.want, " <nil>", "@NEGO.TEST <nil>"), "|", "\n"); out != want {
			t.Errorf("%s:\n%s\nwant\n%s", tc.cc, out, want)
		}
	}
}

func init() {
	// Says how many days things last.
	children["lifetimes"] = func() {
		ctx := context.Background()
		days := func(t time.Time) any {
			if t.IsZero() {
				return "for ever"
			}
			return int((time.Until(t) + 12*time.Hour) / (24 * time.Hour))
		}
		for _, usage := range []Usage{Initiate, Accept} {
			c, err := Acquire(ctx, &CredentialOptions{Usage: usage, Mechs: []OID{KRB5}, Lifetime: 8000 * 24 * time.Hour})
			if err != nil {
				fmt.Println(usage, either(err, errors.Unwrap(err)))
				return
			}
			whole, err := c.Info()
			one, err1 := c.InfoByMech(KRB5)
			fmt.Println(usage, days(whole.Expires), err, days(one.Expires), err1)
		}
		i, a := NewInitiator(www, &Options{Mech: KRB5, Lifetime: 8000 * 24 * time.Hour}), NewAcceptor(nil)
		err := handshake(i, a)
		fmt.Println(days(i.Info().Expires), days(a.Info().Expires), err)
	}
}

// Mirrors t_lifetime.c with its driver: credentials last as long as the ticket, contexts as long as was asked for, beyond 2038, too.
// For Heimdal such a ticket has expired.
func TestLifetimes(t *testing.T) {
	r := krbtest.Start(t, &krbtest.Options{Services: []string{"HTTP/www.nego.test"}, Users: []string{"user"},
		ExtraConfig: "[libdefaults]\n ticket_lifetime = 8500d\n"})
	if err := r.StopKDC(); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(r.Dir, "kdc.conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(strings.Replace(string(text), "max_life = 1d", "max_life = 9000d", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"krbtgt/NEGO.TEST", "user", "HTTP/www.nego.test"} {
		if _, err := r.Kadmin("modprinc", "-maxlife", "9000d", p); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.StartKDC(); err != nil {
		t.Fatal(err)
	}
	if err := r.Kinit(t.Context(), "user", r.CCache); err != nil {
		t.Fatal(err)
	}
	if out, want := child(t, "lifetimes", r.Env()...), "initiate 8500 <nil> 8500 <nil>\naccept for ever <nil> for ever <nil>\n8000 8000 <nil>\n"; out != either(want, "initiate there are no credentials\n") {
		t.Errorf("%s\nwant\n%s", out, want)
	}
}

// Mirrors t_accname.c with t_gssapi.py: which keys an acceptor's name admits.
func TestAcceptorNames(t *testing.T) {
	r := krbtest.Start(t, &krbtest.Options{Services: []string{"service1/abraham", "service1/barack", "service2/calvin", "http/localhost"}})
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	here := "host/" + strings.ToLower(host)
	for _, service := range []string{here, "host/-nomatch-"} {
		if err := r.AddService(service); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"renprinc", "-force", "service1/abraham", "service1/andrew"}, {"addprinc", "-randkey", "service2/dwight"}} {
		if _, err := r.Kadmin(args[0], args[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	for _, tc := range []struct{ settings, target, name, want string }{
		{ours, "p:service1/andrew", "", "service1/abraham@NEGO.TEST"},
		{ours, "p:service1/barack", "", "service1/barack@NEGO.TEST"},
		{ours, "p:service2/calvin", "", "service2/calvin@NEGO.TEST"},
		{ours, "p:service2/dwight", "", "refused"},
		{ours, "p:service1/andrew", "h:service1", "service1/abraham@NEGO.TEST"},
		{ours, "p:service1/andrew", "h:service2", "refused"},
		{ours, "p:service2/calvin", "h:service2", "service2/calvin@NEGO.TEST"},
		{ours, "p:service2/calvin", "h:service1", "refused"},
		{ours, "p:service1/andrew", "h:service1@", either("service1/abraham@NEGO.TEST", "the name is not valid")},
		{ours, "h:http@localhost", "", "http/localhost@NEGO.TEST"},
		{"", "h:http@localhost", "", either("http/localhost@NEGO.TEST", "Unable to find realm of host localhost")},
		{ours, "p:" + here, "h:host@" + host, here + "@NEGO.TEST"},
		{ours, "p:host/-nomatch-", "h:host@" + host, "refused"},
		{ours + "\n ignore_acceptor_hostname = true", "p:host/-nomatch-", "h:host@" + host, either("host/-nomatch-@NEGO.TEST", "refused")},
	} {
		writeConf(t, conf, tc.settings, r)
		out := child(t, "acceptor name", append(r.Env(), "KRB5_CONFIG="+conf, "TEST_TARGET="+tc.target, "TEST_NAME="+tc.name)...)
		if !strings.Contains(out, tc.want) {
			t.Errorf("%+v: %s", tc, out)
		}
	}
}

const ours = "default_realm = NEGO.TEST"

// transitedRealms starts three realms, whose tickets go from A.X to B.X by X. Heimdal has to be told the way. The environment is that of
// user@A.X and of the service HTTP/b@B.X.
func transitedRealms(t *testing.T) (env []string) {
	t.Helper()
	services := map[string][]string{"A.X": {}, "X": {}, "B.X": {"HTTP/b"}}
	trust := map[string][]string{"A.X": {"krbtgt/X@A.X"}, "X": {"krbtgt/X@A.X", "krbtgt/B.X@X"}, "B.X": {"krbtgt/B.X@X"}}
	var realms []*krbtest.Realm
	for _, name := range []string{"A.X", "X", "B.X"} {
		r := krbtest.Start(t, &krbtest.Options{Realm: name, Services: services[name]})
		for _, principal := range trust[name] {
			if out, err := r.Kadmin("addprinc", "-pw", principal, principal); err != nil {
				t.Fatal(err, out)
			}
		}
		realms = append(realms, r)
	}
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	writeConf(t, conf, "default_realm = A.X"+either("", "\n[capaths]\n A.X = {\n  B.X = X\n }"), realms...)
	return append(realms[0].Env(), "KRB5_CONFIG="+conf, "KRB5_KTNAME="+realms[2].KeytabFile)
}

// A ticket of another realm says which ones it came through. Mirrors the case of t_gssapi.py with three realms.
func TestTransitedRealms(t *testing.T) {
	out := child(t, "acceptor name", append(transitedRealms(t), "TEST_TARGET=p:HTTP/b@B.X", "TEST_NAME=h:HTTP")...)
	if out != "HTTP/b@B.X user@A.X\n" {
		t.Error(out)
	}
}

func init() {
	children["acceptor name"] = func() {
		read := func(s string) Name { // with its type before it, as MIT's tests have it
			letter, text, _ := strings.Cut(s, ":")
			return NewName(text, map[string]OID{"p": NTKRB5Principal, "h": NTHostBased}[letter])
		}
		o := CredentialOptions{Usage: Accept}
		if name := env("TEST_NAME"); name != "" {
			o.Name = read(name)
		}
		c, err := Acquire(context.Background(), &o)
		if err != nil {
			fmt.Println(err)
			return
		}
		i, a := NewInitiator(read(env("TEST_TARGET")), &Options{Mech: KRB5}), NewAcceptor(&Options{Credential: c})
		if err := handshake(i, a); err != nil {
			fmt.Println("refused:", err)
			return
		}
		fmt.Println(a.Info().Acceptor, a.Info().Initiator)
	}
}

// Mirrors t_imp_cred.c: tickets and keys of places that are named, as gss_krb5_import_cred takes them by handle.
func TestPlacesByName(t *testing.T) {
	c := acquired(t, CredentialOptions{Store: Store{CCache: realm.CCache}})
	for _, tc := range []struct {
		keys   Name
		target Name
		ok     bool
	}{
		{Name{}, www, true},
		{Principal(wwwPrincipal), www, true},
		{Principal("HTTP/localhost@NEGO.TEST"), Service("HTTP", "localhost"), true},
		{Principal("HTTP/localhost@NEGO.TEST"), www, false},
	} {
		k := acquired(t, CredentialOptions{Usage: Accept, Name: tc.keys, Store: Store{Keytab: realm.KeytabFile}})
		i, a := NewInitiator(tc.target, &Options{Credential: c}), NewAcceptor(&Options{Credential: k})
		if err := handshake(i, a); (err == nil) != tc.ok {
			t.Errorf("%v with the keys of %v: %v", tc.target, tc.keys, err)
		}
		i.Close()
		a.Close()
	}
	if _, err := Acquire(t.Context(), &CredentialOptions{Usage: Accept, Store: Store{Keytab: filepath.Join(t.TempDir(), "none")}}); !errors.Is(err, ErrNoCred) {
		t.Error(err)
	}
}

package gssapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Mirrors t_inq_cred.c for the default initiator.
func TestAcquireDefault(t *testing.T) {
	c, err := Acquire(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	info, err := c.Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.Name != Principal("user@NEGO.TEST") || info.Usage != Initiate || time.Until(info.Expires) < time.Hour || !slices.Contains(info.Mechs, KRB5) {
		t.Errorf("%+v", info)
	}
	_, a := pair(t, &Options{Credential: c}, nil)
	if got := a.Info().Initiator.String(); got != "user@NEGO.TEST" {
		t.Error(got)
	}
}

// A private credential leaves the cache that it is from as it is.
func TestAcquirePrivate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cc")
	if err := realm.Kinit(t.Context(), "alice", "FILE:"+file); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Acquire(t.Context(), &CredentialOptions{Store: Store{CCache: "FILE:" + file}, Private: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		_, a := pair(t, &Options{Credential: c}, nil)
		if got := a.Info().Initiator.String(); got != "alice@NEGO.TEST" {
			t.Error(got)
		}
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the cache has changed: %d bytes, and %d before (%v)", len(after), len(before), err)
	}
}

func TestAcquireStore(t *testing.T) {
	ctx := t.Context()
	carol := unique("carol")
	if err := realm.AddUser(carol, "carol's \"password\" \\ 1"); err != nil {
		t.Fatal(err)
	}
	cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
	if err := realm.Kinit(ctx, "alice", cc); err != nil {
		t.Fatal(err)
	}
	client := filepath.Join(t.TempDir(), "client.keytab")
	if err := realm.AddToKeytab(client, "bob"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, want string
		o          CredentialOptions
	}{
		{"cache", "alice@NEGO.TEST", CredentialOptions{Store: Store{CCache: cc}}},
		{"cache and name", "alice@NEGO.TEST", CredentialOptions{Name: Principal("alice@NEGO.TEST"), Store: Store{CCache: cc}}},
		{"cache and user", "alice@NEGO.TEST", CredentialOptions{Name: User("alice"), Store: Store{CCache: cc}}},
		{"client keytab", "bob@NEGO.TEST", CredentialOptions{Store: Store{ClientKeytab: client, CCache: "MEMORY:bob"}}},
		{"password", carol + "@NEGO.TEST", CredentialOptions{Name: User(carol), Store: Store{Password: "carol's \"password\" \\ 1"}}},
		{"krb5 alone", "alice@NEGO.TEST", CredentialOptions{Mechs: []OID{KRB5}, Store: Store{CCache: cc}}},
		{"SPNEGO alone", "alice@NEGO.TEST", CredentialOptions{Mechs: []OID{SPNEGO}, Store: Store{CCache: cc}}},
		{"further key", "alice@NEGO.TEST", CredentialOptions{Store: Store{Extra: map[string]string{"ccache": cc}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := Acquire(ctx, &tc.o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for _, mech := range []OID{SPNEGO, KRB5} {
				if mech == KRB5 && slices.Contains(tc.o.Mechs, SPNEGO) {
					continue
				}
				_, a := pair(t, &Options{Credential: c, Mech: mech, Flags: FlagMutual}, nil)
				if got := a.Info().Initiator.String(); got != tc.want {
					t.Errorf("the acceptor saw %s through %v", got, mech)
				}
			}
		})
	}
}

func TestAcquireRefused(t *testing.T) {
	cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
	if err := realm.Kinit(t.Context(), "alice", cc); err != nil {
		t.Fatal(err)
	}
	missing := "FILE:" + filepath.Join(t.TempDir(), "keytab")
	for _, tc := range []struct {
		name, want, hint string
		o                CredentialOptions
	}{
		{"another's cache", cc + " of alice@NEGO.TEST", "run kinit for that principal", CredentialOptions{Name: Principal("bob@NEGO.TEST"), Store: Store{CCache: cc}}},
		{"wrong password", "initiate alice: ", "check the name and the password", CredentialOptions{Name: User("alice"), Store: Store{Password: "guess"}}},
		{"password of nobody", "initiate: ", "CredentialOptions.Name", CredentialOptions{Store: Store{Password: "guess"}}},
		{"unknown user", either("'nobody@NEGO.TEST' not found", "CLIENT_NOT_FOUND"), "check the name", CredentialOptions{Name: User("nobody"), Store: Store{Password: "guess"}}},
		{"no client keytab", missing, "put the client's key there", CredentialOptions{Store: Store{ClientKeytab: missing, CCache: cc + ".none"}}},
		{"key given twice", "there already", "", CredentialOptions{Store: Store{CCache: cc, Extra: map[string]string{"ccache": cc}}}},
		{"NUL byte", "NUL", "", CredentialOptions{Store: Store{CCache: cc + "\x00"}}},
		{"usage", "Usage(7)", "", CredentialOptions{Usage: 7}},
	} {
		c, err := Acquire(t.Context(), &tc.o)
		if err == nil {
			c.Close()
			t.Errorf("%s: no error", tc.name)
			continue
		}
		if text := err.Error(); !strings.Contains(text, tc.want) || !strings.Contains(text, tc.hint) || strings.Contains(text, "guess") {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestAcceptorCredential(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    CredentialOptions
		ok   bool
	}{
		{"any key", CredentialOptions{}, true},
		{"any key of the service", CredentialOptions{Name: Service("HTTP", "")}, true},
		{"the service", CredentialOptions{Name: www}, true},
		{"the principal", CredentialOptions{Name: Principal("HTTP/www.nego.test@NEGO.TEST")}, true},
		{"another service", CredentialOptions{Name: Service("host", "")}, false},
		{"another host", CredentialOptions{Name: Service("HTTP", "localhost")}, false},
		{"keytab", CredentialOptions{Store: Store{Keytab: realm.KeytabFile}}, true},
		{"no replay cache", CredentialOptions{Store: Store{Keytab: realm.KeytabFile, RCache: "none:"}}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.o.Usage = Accept
			c, err := Acquire(t.Context(), &tc.o)
			if heimdal && tc.o.Store.RCache != "" {
				if !errors.Is(err, ErrUnavailable) {
					t.Error(err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if info, err := c.Info(); err != nil || info.Usage != Accept {
				t.Errorf("%+v, %v", info, err)
			}
			for _, mech := range []OID{SPNEGO, KRB5} {
				i, a := NewInitiator(www, &Options{Mech: mech, Flags: FlagMutual}), NewAcceptor(&Options{Credential: c})
				defer i.Close()
				defer a.Close()
				if err := handshake(i, a); (err == nil) != tc.ok {
					t.Errorf("%v: %v", mech, err)
				}
			}
		})
	}
}

func TestCredentialBoth(t *testing.T) {
	o := &CredentialOptions{Usage: Both}
	if heimdal { // where it is one principal's, who has the key too
		if c, err := Acquire(t.Context(), o); !errors.Is(err, ErrNoCred) {
			c.Close()
			t.Error(err)
		}
		o.Store.Keytab = filepath.Join(t.TempDir(), "keytab")
		if err := realm.AddToKeytab(o.Store.Keytab, "user"); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Acquire(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if info, err := c.Info(); err != nil || info.Usage != Both {
		t.Errorf("%+v, %v", info, err)
	}
	pair(t, &Options{Credential: c}, nil)
	if !heimdal {
		pair(t, nil, &Options{Credential: c})
	}
}

// A KDC counts wrong passwords, and locks who has too many of them out: it is told of each once. Heimdal
// tells it of a wrong one twice.
func TestPasswordAsksOnce(t *testing.T) {
	for _, mechs := range [][]OID{nil, {KRB5}} {
		name := unique("frank")
		if err := realm.AddUser(name, "frank's"); err != nil {
			t.Fatal(err)
		}
		acquire := func(password string) error {
			c, err := Acquire(t.Context(), &CredentialOptions{Name: User(name), Mechs: mechs, Store: Store{Password: password}})
			if err == nil {
				err = c.Close()
			}
			return err
		}
		if acquire("guess") == nil {
			t.Fatal("a wrong password is right")
		}
		if err := acquire("frank's"); err != nil {
			t.Fatal(err)
		}
		log, err := os.ReadFile(filepath.Join(realm.Dir, "kdc.log"))
		if err != nil {
			t.Fatal(err)
		}
		counts := map[string]int{}
		for line := range strings.Lines(string(log)) {
			for _, what := range []string{" PREAUTH_FAILED: ", " ISSUE: "} {
				if strings.Contains(line, what) && strings.Contains(line, " "+name+"@") {
					counts[what]++
				}
			}
		}
		if counts[" PREAUTH_FAILED: "] != either(1, 2) || counts[" ISSUE: "] != 1 {
			t.Errorf("for %v the KDC has seen: %v", mechs, counts)
		}
	}
}

func TestStoreHidesPassword(t *testing.T) {
	s := Store{CCache: "FILE:/x", Password: "hunter2"}
	o := CredentialOptions{Name: User("alice"), Store: s}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "store", s, "options", o)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "store", s, "options", o, "pointer", &o)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&log, verb+"\n", s)
		fmt.Fprintf(&log, verb+"\n", o)
		fmt.Fprintf(&log, verb+"\n", &o)
	}
	for _, secret := range []string{"hunter2", fmt.Sprintf("%x", "hunter2")} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s is printed:\n%s", secret, log.String())
		}
	}
	if got := s.String(); got != "ccache=FILE:/x password=***" {
		t.Error(got)
	}
}

func TestCredentialClose(t *testing.T) {
	c := newTicket(t, "alice")
	i := NewInitiator(www, &Options{Credential: c})
	defer i.Close()
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Info(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := i.Step(context.Background(), nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestReadCache(t *testing.T) {
	pair(t, nil, nil) // so that there is a service ticket
	c, err := ReadCache(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != realm.CCache || c.Principal != "user@NEGO.TEST" {
		t.Errorf("%+v", c)
	}
	tgt := c.tgt()
	if tgt == nil || tgt.Flags&TicketInitial == 0 || tgt.Flags&TicketForwardable == 0 || time.Until(tgt.End) < time.Hour || tgt.Start.After(time.Now()) {
		t.Errorf("%+v", tgt)
	}
	if got := tgt.Flags.String(); !strings.HasPrefix(got, "forwardable,") || !strings.Contains(got, "initial,pre-authent") {
		t.Error(got)
	}
	if !slices.ContainsFunc(c.Tickets, func(t Ticket) bool {
		return t.Server == "HTTP/www.nego.test@NEGO.TEST" && strings.HasPrefix(t.Encryption, "aes")
	}) {
		t.Errorf("%+v", c.Tickets)
	}
	missing := "FILE:" + filepath.Join(t.TempDir(), "cc")
	if _, err := ReadCache(t.Context(), missing); err == nil || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), "kinit") {
		t.Error(err)
	}
}

func init() {
	children["initiators"] = func() {
		for _, target := range []Name{{}, www, Service("HTTP", "localhost"), Principal("host/www.nego.test@NEGO.TEST")} {
			n, err := DefaultInitiator(context.Background(), target)
			if err != nil {
				fmt.Println(err)
				continue
			}
			fmt.Println(n)
			if target.IsZero() {
				continue
			}
			i, a := NewInitiator(target, nil), NewAcceptor(nil)
			err = handshake(i, a)
			fmt.Println(a.Info().Initiator, err)
		}
	}
}

// What DefaultInitiator says is what the acceptor sees. Mirrors t_ccselect.c with its driver, for .k5identity.
func TestDefaultInitiator(t *testing.T) {
	n, err := DefaultInitiator(t.Context(), www)
	if err != nil || n != Principal("user@NEGO.TEST") {
		t.Errorf("%v, %v", n, err)
	}
	dir := t.TempDir()
	for _, user := range []string{"bob", "alice"} { // the last one is the primary
		if err := realm.Kinit(t.Context(), user, "DIR::"+filepath.Join(dir, "tkt"+user)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "primary"), []byte("tktalice\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".k5identity"), []byte("bob@NEGO.TEST host=www.nego.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := child(t, "initiators", "KRB5CCNAME=DIR:"+dir, "HOME="+home)
	const alice, bob, ok = "alice@NEGO.TEST", "bob@NEGO.TEST", " <nil>"
	want := strings.Join([]string{alice, bob, bob + ok, alice, alice + ok, alice, alice + ok, ""}, "\n")
	if heimdal { // which does not select, and whose acceptors do not survive such a default
		if strings.Count(out, alice+"\n") != 4 || strings.Count(out, "of type DIR") != 3 {
			t.Error(out)
		}
	} else if out != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
	missing := filepath.Join(t.TempDir(), "cc")
	if out := child(t, "initiators", "KRB5CCNAME=FILE:"+missing); strings.Count(out, missing) < 3 || !strings.Contains(out, "run kinit") {
		t.Error(out)
	}
}

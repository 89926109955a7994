//go:build cgo && heimdal

package gssapi

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// What Heimdal does not survive is refused.
func TestHeimdalRefused(t *testing.T) {
	ctx := t.Context()
	for _, cred := range []*Credential{nil, newTicket(t, "alice")} {
		for _, mech := range []OID{SPNEGO, KRB5} {
			i := NewInitiator(Name{}, &Options{Credential: cred, Mech: mech})
			defer i.Close()
			if _, err := i.Step(ctx, nil); !errors.Is(err, ErrBadName) {
				t.Errorf("no target: %v", err)
			}
		}
	}
	for _, mech := range []OID{SPNEGO, KRB5} {
		i := NewInitiator(www, &Options{Mech: mech, Flags: FlagMutual})
		defer i.Close()
		if _, err := i.Step(ctx, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := i.Step(ctx, nil); !errors.Is(err, ErrDefectiveToken) {
			t.Errorf("a second leg without a token: %v", err)
		}
	}
	good := canonical(t, User("alice")).String()
	for _, bad := range []string{"\x04", "\x04\x01", good[:6], good[:len(good)-len("alice@NEGO.TEST")-1], "\x04\x01\x00\x0b\x06\xff" + good[6:], "\x04\x01\xff\xff" + good[4:]} {
		if c, err := NewName(bad, NTExported).Canonical(ctx, KRB5); !errors.Is(err, ErrBadName) {
			t.Errorf("%x is %v, %v", bad, c, err)
		}
	}
	acceptor, err := Acquire(ctx, &CredentialOptions{Usage: Accept})
	if err != nil {
		t.Fatal(err)
	}
	defer acceptor.Close()
	if info, err := acceptor.Info(); err != nil || !info.Name.IsZero() {
		t.Errorf("any key has the name %v, %v", info.Name, err)
	}
}

// An acceptor's answer that is none, or an error of Kerberos, does not come near it.
func TestHeimdalAnswers(t *testing.T) {
	wrap := func(tag byte, parts ...string) string {
		s := strings.Join(parts, "")
		return string([]byte{tag, 0x82, byte(len(s) >> 8), byte(len(s))}) + s
	}
	oid := func(o OID) string { return wrap(0x06, string(o)) }
	krb5 := func(id string) string { return wrap(0x60, oid(KRB5), id, "and more") }
	spnego := func(fields ...string) string { return wrap(0xa1, wrap(0x30, fields...)) }
	token := func(s string) string { return wrap(0xa2, wrap(0x04, s)) }
	krb5Chosen, ntlmChosen := wrap(0xa1, oid(KRB5)), wrap(0xa1, oid(NTLMSSP))
	for _, tc := range []struct {
		mech  OID
		flags Flags
		in    string
		reads bool
	}{
		{KRB5, 0, krb5("\x02\x00"), true},
		{KRB5, 0, krb5("\x03\x00"), false},
		{KRB5, 0, krb5(""), false},
		{KRB5, 0, wrap(0x60, oid(SPNEGO), "\x02\x00"), false},
		{KRB5, 0, krb5("\x02\x00") + "x", false},
		{KRB5, 0, "noise", false},
		{KRB5, 0, "", false},
		{KRB5, FlagDCEStyle, "\x6f\x03abc", true},
		{KRB5, FlagDCEStyle, krb5("\x03\x00"), false},
		{SPNEGO, 0, spnego("\xa0\x03\x0a\x01\x00"), true},
		{SPNEGO, 0, spnego("\xa0\x03\x0a\x01\x00", krb5Chosen, token(krb5("\x02\x00"))), true},
		{SPNEGO, 0, spnego("\xa0\x03\x0a\x01\x00", krb5Chosen, token(krb5("\x03\x00"))), false},
		{SPNEGO, 0, spnego(token(krb5("\x02\x00"))), true},
		{SPNEGO, 0, spnego(token("NTLMSSP\x00")), false},
		{SPNEGO, 0, spnego(ntlmChosen, token("NTLMSSP\x00")), true},
		{SPNEGO, 0, spnego(ntlmChosen, token(krb5("\x02\x00"))), false},
		{SPNEGO, 0, spnego(token(krb5("\x02\x00")), krb5Chosen), false},
		{SPNEGO, 0, spnego(token(krb5("\x02\x00")), token("x")), false},
		{SPNEGO, 0, spnego() + "x", false},
		{SPNEGO, 0, "\xa1\x80\x30\x00", false},
		{SPNEGO, 0, "\xa1\x84\xff\xff\xff\xff", false},
		{SPNEGO, 0, "noise", false},
	} {
		if got := heimdalReads(tc.mech, KRB5, tc.flags, []byte(tc.in)); got != tc.reads {
			t.Errorf("%v: %x is read: %v", tc.mech, tc.in, got)
		}
		i := NewInitiator(www, &Options{Mech: tc.mech, Flags: FlagMutual | tc.flags})
		if _, err := i.Step(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := i.Step(t.Context(), []byte(tc.in)); err == nil && i.Established() || !tc.reads && !errors.Is(err, ErrDefectiveToken) {
			t.Errorf("%v: after %x: %v, established %v", tc.mech, tc.in, err, i.Established())
		}
		i.Close()
	}
	settle(t)
}

// What Heimdal lacks is said not to be there, and is not taken for something else.
func TestHeimdalUnavailable(t *testing.T) {
	cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
	if err := realm.Kinit(t.Context(), "alice", cc); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]CredentialOptions{
		"both of a cache":      {Usage: Both, Store: Store{CCache: cc}},
		"both of a name":       {Usage: Both, Name: User("user")},
		"an acceptor's word":   {Usage: Accept, Name: User("alice"), Store: Store{Password: "x"}},
		"replay cache":         {Usage: Accept, Store: Store{RCache: "none:"}},
		"a key of another":     {Store: Store{Extra: map[string]string{"verify": "x"}}},
		"password and cache":   {Name: User("alice"), Store: Store{CCache: cc, Password: "x"}},
		"NTLM inside SPNEGO":   {Mechs: []OID{NTLMSSP}},
		"more than one inside": {Mechs: []OID{KRB5, NTLMSSP}},
	} {
		c, err := Acquire(t.Context(), &o)
		var e *Error
		if !errors.Is(err, ErrUnavailable) || !errors.As(err, &e) || !strings.Contains(e.Text, "Heimdal") {
			c.Close()
			t.Errorf("%s: %v", name, err)
		}
	}
	settle(t)
}

// A principal is not found in the memory of other credentials.
func TestHeimdalPrivateTickets(t *testing.T) {
	name := unique("frank")
	if err := realm.AddUser(name, "frank's"); err != nil {
		t.Fatal(err)
	}
	c, err := Acquire(t.Context(), &CredentialOptions{Name: User(name), Store: Store{Password: "frank's"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pair(t, &Options{Credential: c}, nil)
	if other, err := Acquire(t.Context(), &CredentialOptions{Name: User(name)}); !errors.Is(err, ErrNoCred) {
		other.Close()
		t.Errorf("tickets of another credential: %v", err)
	}
}

// Its acceptors share one keytab in the process. Credentials of several do not get each other's keys all the same.
func TestHeimdalKeytabs(t *testing.T) {
	other := filepath.Join(t.TempDir(), "keytab")
	if err := realm.AddToKeytab(other, "bob"); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "none")
	var wg sync.WaitGroup
	for _, tc := range []struct {
		name   Name
		keytab string
		ok     bool
	}{
		{www, "", true}, {Principal("bob@NEGO.TEST"), "", false},
		{www, other, false}, {Principal("bob@NEGO.TEST"), other, true}, {Name{}, other, true},
		{www, missing, false}, {Name{}, missing, false},
	} {
		wg.Go(func() {
			for range 10 {
				c, err := Acquire(context.Background(), &CredentialOptions{Usage: Accept, Name: tc.name, Store: Store{Keytab: tc.keytab}})
				if (err == nil) != tc.ok || err != nil && !errors.Is(err, ErrNoCred) {
					t.Errorf("%v in %q: %v", tc.name, tc.keytab, err)
				}
				if info, err := c.Info(); tc.ok && (err != nil || info.Name != tc.name) {
					t.Errorf("%v has become %v, %v", tc.name, info.Name, err)
				}
				c.Close()
			}
		})
	}
	wg.Wait()
	pair(t, nil, nil) // with the default again
}

// An acceptor's credential for any host of a service takes no ticket of another service.
func TestHeimdalAnyHost(t *testing.T) {
	c, err := Acquire(t.Context(), &CredentialOptions{Usage: Accept, Name: Service("HTTP", "")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	alice := newTicket(t, "alice")
	pair(t, nil, &Options{Credential: c})
	for _, mech := range []OID{SPNEGO, KRB5} {
		i, a := NewInitiator(Service("host", "www.nego.test"), &Options{Credential: alice, Mech: mech, Flags: FlagDelegate}), NewAcceptor(&Options{Credential: c})
		if err := handshake(i, a); err == nil || a.Established() || !a.Info().Initiator.IsZero() || a.Delegated() != nil {
			t.Errorf("%v: %v", a.Info().Initiator, err)
		}
		i.Close()
		a.Close()
	}
}

// It asks a KDC with select(2), so a process with more files open than that can name gets no new ticket; those that it has, it uses.
func TestHeimdalManyFiles(t *testing.T) {
	alice := newTicket(t, "alice")
	files := make([]*os.File, 1024) // FD_SETSIZE
	open := func() {
		for i := range files {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			files[i] = f
		}
	}
	shut := func() {
		for _, f := range files {
			f.Close()
		}
	}
	token := func() error {
		i := NewInitiator(www, &Options{Credential: alice})
		defer i.Close()
		_, err := i.Step(t.Context(), nil)
		return err
	}
	open()
	if err := token(); !errors.Is(err, ErrFailure) {
		t.Errorf("with %d files: %v", len(files), err)
	}
	shut()
	if err := token(); err != nil {
		t.Error(err)
	}
	open()
	defer shut()
	if err := token(); err != nil {
		t.Errorf("with a ticket: %v", err)
	}
}

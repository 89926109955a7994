package gssapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func acquired(t *testing.T, o CredentialOptions) *Credential {
	t.Helper()
	c, err := Acquire(t.Context(), &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func reimported(t *testing.T, c *Credential) *Credential {
	t.Helper()
	token, err := c.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := ImportCredential(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	clear(token) // it is the caller's again
	t.Cleanup(func() { d.Close() })
	return d
}

// wantNoExport checks that Heimdal's credentials stay where they are.
func wantNoExport(t *testing.T) {
	t.Helper()
	for _, usage := range []Usage{Initiate, Accept} {
		if token, err := acquired(t, CredentialOptions{Usage: usage}).Export(t.Context()); len(token) != 0 || !errors.Is(err, ErrUnavailable) {
			t.Errorf("%v: %d bytes, %v", usage, len(token), err)
		}
	}
}

// Mirrors t_inq_cred.c with t_gssapi.py, and python-gssapi's test_inquire_cred_by_mech.
func TestInfoByMech(t *testing.T) {
	for _, tc := range []struct {
		o    CredentialOptions
		name string
	}{
		{CredentialOptions{}, "user@NEGO.TEST"},
		{CredentialOptions{Mechs: []OID{KRB5}}, "user@NEGO.TEST"},
		{CredentialOptions{Usage: Accept}, "HTTP/localhost@NEGO.TEST"},
		{CredentialOptions{Usage: Accept, Name: www}, wwwPrincipal},
		{CredentialOptions{Usage: Both, Store: Store{ClientKeytab: realm.KeytabFile, CCache: "MEMORY:" + unique("both")}}, "HTTP/localhost@NEGO.TEST"},
	} {
		if heimdal && tc.o.Usage == Both {
			continue
		}
		c := acquired(t, tc.o)
		i, err := c.InfoByMech(KRB5)
		if heimdal {
			if !errors.Is(err, ErrUnavailable) {
				t.Error(i, err)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		if i.Usage != tc.o.Usage || !slices.Equal(i.Mechs, []OID{KRB5}) || i.Name.String() != tc.name {
			t.Errorf("of %+v: %+v", tc.o, i)
		}
		if tc.o.Usage == Initiate && time.Until(i.Expires) < time.Hour || tc.o.Usage == Accept && !i.Expires.IsZero() {
			t.Errorf("of %+v expires %v", tc.o, i.Expires)
		}
		if _, err := c.InfoByMech(SPNEGO); !errors.Is(err, ErrUnavailable) {
			t.Errorf("SPNEGO: %v", err)
		}
		if _, err := c.InfoByMech(IAKERB); !errors.Is(err, ErrNoCred) || !strings.Contains(err.Error(), IAKERB.String()) {
			t.Errorf("iakerb: %v", err)
		}
	}
	c := newTicket(t, "alice")
	if _, err := c.InfoByMech(""); !errors.Is(err, ErrBadMech) {
		t.Error(err)
	}
	if _, err := c.InfoByMech("\x2a\x03"); !errors.Is(err, either(ErrBadMech, ErrUnavailable)) {
		t.Error(err)
	}
	c.Close()
	if _, err := c.InfoByMech(KRB5); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := (*Credential)(nil).InfoByMech(KRB5); !errors.Is(err, ErrNoCred) {
		t.Error(err)
	}
}

// Mirrors python-gssapi's test_inquire_cred_by_oid_impersonator and …_base.
func TestCredentialInquire(t *testing.T) {
	service := newServiceCredential(t, Initiate)
	if heimdal {
		if got, err := service.Inquire(KRB5Impersonator); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%q, %v", got, err)
		}
		return
	}
	bob, err := service.Impersonate(t.Context(), User("bob"))
	if err != nil {
		t.Fatal(err)
	}
	defer bob.Close()
	if got, err := bob.Inquire(KRB5Impersonator); err != nil || len(got) != 1 || string(got[0]) != wwwPrincipal {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := service.Inquire(KRB5Impersonator); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
	for _, oid := range []OID{"", "\x2a\x03"} {
		if got, err := service.Inquire(oid); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: %q, %v", oid, got, err)
		}
	}
	if _, err := (*Credential)(nil).Inquire(KRB5Impersonator); !errors.Is(err, ErrNoCred) {
		t.Error(err)
	}
}

// Mirrors t_export_cred.c with its driver: initiator, acceptor and delegated credentials go through a token, for each mechanism.
func TestExportCredential(t *testing.T) {
	if heimdal {
		wantNoExport(t)
		return
	}
	for _, mechs := range [][]OID{nil, {KRB5}, {SPNEGO}} {
		for _, names := range [][2]Name{{}, {Principal("user@NEGO.TEST"), Principal(wwwPrincipal)}, {{}, Service("HTTP", "")}} {
			initiator := reimported(t, acquired(t, CredentialOptions{Name: names[0], Mechs: mechs}))
			acceptor := reimported(t, acquired(t, CredentialOptions{Name: names[1], Mechs: mechs, Usage: Accept}))
			if i := info(t, initiator); i.Name.String() != "user@NEGO.TEST" || i.Usage != Initiate {
				t.Errorf("%+v", i)
			}
			if i := info(t, acceptor); i.Usage != Accept || acceptor.pool.usage != Accept {
				t.Errorf("%+v, %v", i, acceptor.pool.usage)
			}
			var mech OID
			if len(mechs) > 0 {
				mech = mechs[0]
			}
			_, a := pair(t, &Options{Credential: initiator, Mech: mech, Flags: FlagReplay | FlagSequence | FlagDelegate}, &Options{Credential: acceptor})
			d := a.Delegated()
			t.Cleanup(func() { d.Close() })
			delegated := reimported(t, d)
			cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
			if err := delegated.StoreInto(t.Context(), Store{CCache: cc}, true); err != nil {
				t.Fatal(err)
			}
			if c, err := ReadCache(t.Context(), cc); err != nil || c.Principal != "user@NEGO.TEST" || c.tgt() == nil || c.tgt().Flags&TicketForwarded == 0 {
				t.Errorf("%+v, %v", c, err)
			}
		}
	}
}

// Mirrors the last part of t_s4u.py, which exports a credential of constrained delegation.
func TestExportImpersonated(t *testing.T) {
	if heimdal {
		wantNoExport(t)
		return
	}
	bob, err := newServiceCredential(t, Initiate).Impersonate(t.Context(), User("bob"))
	if err != nil {
		t.Fatal(err)
	}
	defer bob.Close()
	c := reimported(t, bob)
	if i := info(t, c); i.Name != Principal("bob@NEGO.TEST") || i.Impersonator != Principal(wwwPrincipal) {
		t.Errorf("%+v", i)
	}
	wantRefused(t, c, Service("HTTP", "localhost"))
}

func init() {
	children["imported credential"] = func() {
		var token []byte
		fmt.Sscanf(env("TEST_TOKEN"), "%x", &token)
		c, err := ImportCredential(context.Background(), token)
		if err != nil {
			fmt.Println(err)
			return
		}
		i, a := NewInitiator(www, &Options{Credential: c}), NewAcceptor(nil)
		err = handshake(i, a)
		fmt.Println(a.Info().Initiator, err)
	}
}

// What is in memory alone goes with the token to a process that has no tickets.
func TestExportToAnotherProcess(t *testing.T) {
	if heimdal {
		wantNoExport(t)
		return
	}
	_, a := pair(t, &Options{Flags: FlagDelegate}, nil)
	d := a.Delegated()
	defer d.Close()
	token, err := d.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := child(t, "imported credential", fmt.Sprintf("TEST_TOKEN=%x", token), "KRB5CCNAME=FILE:/nonexistent")
	if out != "user@NEGO.TEST <nil>\n" {
		t.Error(out)
	}
}

// An imported credential serves many at once, outlives the one it was exported from, and stays as narrow as that was.
func TestImportedCredential(t *testing.T) {
	if heimdal {
		wantNoExport(t)
		return
	}
	alice, keys := newTicket(t, "alice"), acquired(t, CredentialOptions{Usage: Accept})
	c, k := reimported(t, alice), reimported(t, keys)
	alice.Close()
	keys.Close()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				i, a := NewInitiator(www, &Options{Credential: c, Flags: FlagMutual}), NewAcceptor(&Options{Credential: k})
				if err := handshake(i, a); err != nil {
					t.Error(err)
				} else if got := a.Info().Initiator.String(); got != "alice@NEGO.TEST" {
					t.Error(got)
				}
				i.Close()
				a.Close()
			}
		})
	}
	wg.Wait()
	if got, want := info(t, k).Mechs, []OID{SPNEGO, KRB5}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	c.Close()
	k.Close()
	settle(t)
}

func TestImportCredentialRefused(t *testing.T) {
	if heimdal {
		for _, token := range [][]byte{nil, []byte("no token")} {
			c, err := ImportCredential(t.Context(), token)
			if c.Close(); !errors.Is(err, ErrUnavailable) {
				t.Errorf("%q: %v", token, err)
			}
		}
		return
	}
	token, err := acquired(t, CredentialOptions{}).Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"nil": nil, "text": []byte("no token"), "half": token[:len(token)/2],
		"changed":                       bytes.Replace(token, []byte("K5C1"), []byte("K5C9"), -1),
		"half, of the drafts' Kerberos": []byte("\x00\x00\x00\x05" + KRB5Old + "\x00\x00\x00\x06[\"K5C1"),
		"half, of Windows 2000's":       []byte("\x00\x00\x00\x09" + KRB5MS + "\x00\x00\x00\x06[\"K5C1")} {
		c, err := ImportCredential(t.Context(), bad)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, ErrDefectiveToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ImportCredential(ctx, token); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := new(Credential).Export(t.Context()); !errors.Is(err, ErrNoCred) {
		t.Error(err)
	}
	c := newTicket(t, "alice")
	c.Close()
	if _, err := c.Export(t.Context()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// Mirrors t_add_cred.c, and python-gssapi's test_add, test_store_into_add_from and test_add_cred_with_password.
func TestCredentialAdd(t *testing.T) {
	ctx := t.Context()
	c := acquired(t, CredentialOptions{Mechs: []OID{KRB5}})
	if heimdal {
		d, err := c.Add(ctx, &CredentialOptions{Mechs: []OID{NTLMSSP}})
		if d.Close(); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		return
	}
	usage := func(c *Credential, mech OID) string {
		i, err := c.InfoByMech(mech)
		if errors.Is(err, ErrNoCred) {
			return "none"
		}
		if err != nil {
			t.Fatal(err)
		}
		return i.Usage.String()
	}
	if usage(c, KRB5) != "initiate" || usage(c, IAKERB) != "none" {
		t.Error("before: ", usage(c, KRB5), usage(c, IAKERB))
	}
	for _, tc := range []struct {
		name string
		c    *Credential
		o    *CredentialOptions
		code Code
	}{
		{"the same once more", c, &CredentialOptions{Mechs: []OID{KRB5}}, ErrDuplicateElement},
		{"SPNEGO is there as well", c, &CredentialOptions{Mechs: []OID{SPNEGO}}, ErrDuplicateElement},
		{"one that is there", c, &CredentialOptions{Mechs: []OID{IAKERB, KRB5}, Usage: Accept}, ErrDuplicateElement},
		{"another's name", c, &CredentialOptions{Mechs: []OID{IAKERB}, Name: Principal("does/not/match@WRONG_REALM")}, ErrNoCred},
		{"no mechanism", c, &CredentialOptions{}, ErrBadMech},
		{"nil options", c, nil, ErrBadMech},
		{"unknown mechanism", c, &CredentialOptions{Mechs: []OID{"\x2a\x03"}}, ErrBadMech},
		{"nil", nil, &CredentialOptions{Mechs: []OID{IAKERB}}, ErrNoCred},
	} {
		d, err := tc.c.Add(ctx, tc.o)
		if err == nil {
			d.Close()
		}
		if !errors.Is(err, tc.code) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.code)
		}
	}
	both, err := c.Add(ctx, &CredentialOptions{Mechs: []OID{IAKERB}, Usage: Accept})
	if err != nil {
		t.Fatal(err)
	}
	if usage(both, KRB5) != "initiate" || usage(both, IAKERB) != "accept" || usage(c, IAKERB) != "none" {
		t.Errorf("after: %s and %s, and in the first %s", usage(both, KRB5), usage(both, IAKERB), usage(c, IAKERB))
	}
	if got, want := info(t, both).Mechs, []OID{SPNEGO, KRB5, IAKERB}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, mech := range []OID{KRB5, SPNEGO} {
		_, a := pair(t, &Options{Credential: both, Mech: mech, Flags: FlagMutual}, nil)
		if got := a.Info().Initiator.String(); got != "user@NEGO.TEST" {
			t.Errorf("%v: %s", mech, got)
		}
	}
	// The other way round, with tickets from a cache of their own.
	cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
	if err := realm.Kinit(ctx, "bob", cc); err != nil {
		t.Fatal(err)
	}
	keys := acquired(t, CredentialOptions{Usage: Accept})
	added, err := keys.Add(ctx, &CredentialOptions{Mechs: []OID{IAKERB}, Store: Store{CCache: cc}})
	if err != nil {
		t.Fatal(err)
	}
	if usage(added, KRB5) != "accept" || usage(added, IAKERB) != "initiate" {
		t.Error("the other way round: ", usage(added, KRB5), usage(added, IAKERB))
	}
	if i, err := added.InfoByMech(IAKERB); err != nil || i.Name.String() != "bob@NEGO.TEST" {
		t.Errorf("%+v, %v", i, err)
	}
	pair(t, nil, &Options{Credential: added})
	i, a := NewInitiator(www, &Options{Credential: added, Mech: IAKERB}), NewAcceptor(&Options{Credential: both})
	defer i.Close()
	defer a.Close()
	if err := handshake(i, a); err != nil {
		t.Errorf("iakerb: %v", err)
	} else if got := a.Info().Initiator.String(); got != "bob@NEGO.TEST" {
		t.Error(got)
	}
	user := unique("addie")
	if err := realm.AddUser(user, "addie's"); err != nil {
		t.Fatal(err)
	}
	password, err := acquired(t, CredentialOptions{Usage: Accept, Mechs: []OID{IAKERB}}).Add(ctx, &CredentialOptions{Mechs: []OID{KRB5}, Name: User(user), Store: Store{Password: "addie's"}})
	if err != nil {
		t.Fatal(err)
	}
	_, a = pair(t, &Options{Credential: password, Mech: KRB5}, nil)
	if got := a.Info().Initiator.String(); got != user+"@NEGO.TEST" || usage(password, IAKERB) != "accept" {
		t.Errorf("%s, and for IAKERB %s", got, usage(password, IAKERB))
	}
	for _, c := range []*Credential{c, both, keys, added, password} {
		c.Close()
	}
	if _, err := c.Add(ctx, &CredentialOptions{Mechs: []OID{IAKERB}}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// Mirrors t_ciflags.c: what an acceptor is told was asked for.
func TestExactFlags(t *testing.T) {
	for _, tc := range []struct {
		exact bool
		mech  OID
		asked Flags
		want  Flags
	}{
		{false, KRB5, 0, FlagConfidential | FlagIntegrity},
		{true, KRB5, 0, 0},
		{true, KRB5, FlagIntegrity, FlagIntegrity},
		{true, KRB5, FlagConfidential, FlagConfidential},
		{true, SPNEGO, 0, 0},
		{true, SPNEGO, FlagIntegrity, FlagIntegrity},
		{false, SPNEGO, 0, FlagConfidential | FlagIntegrity},
	} {
		c := acquired(t, CredentialOptions{ExactFlags: tc.exact})
		creds := []*Credential{c}
		if !heimdal {
			creds = append(creds, reimported(t, c))
		}
		for _, cred := range creds {
			_, a := pair(t, &Options{Credential: cred, Mech: tc.mech, Flags: tc.asked}, nil)
			want := tc.want
			if cred != c && tc.exact {
				want = FlagConfidential | FlagIntegrity // which the token does not have
			}
			if got := a.Info().Flags & (FlagConfidential | FlagIntegrity); got != want {
				t.Errorf("%+v: %v, want %v", tc, got, want)
			}
		}
	}
}

// Which keys a credential lets Kerberos use, also one that came as a token.
func TestEnctypes(t *testing.T) {
	const unknown = 99
	if heimdal {
		for _, usage := range []Usage{Initiate, Accept} {
			c, err := Acquire(t.Context(), &CredentialOptions{Usage: usage, Enctypes: []int32{aes256}})
			if c.Close(); !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v: %v", usage, err)
			}
		}
		return
	}
	for _, tc := range []struct {
		initiator, acceptor []int32
		ok                  bool
	}{
		{nil, nil, true},
		{[]int32{aes256}, nil, true},
		{[]int32{aes128}, nil, true},
		{[]int32{aes256}, []int32{aes256}, true},
		{[]int32{aes256}, []int32{aes128}, false},
		{[]int32{aes128, aes256}, []int32{aes128, aes256}, true},
	} {
		cc := "FILE:" + filepath.Join(t.TempDir(), "cc") // without a service ticket
		if err := realm.Kinit(t.Context(), "alice", cc); err != nil {
			t.Fatal(err)
		}
		c := acquired(t, CredentialOptions{Store: Store{CCache: cc}, Enctypes: tc.initiator})
		k := acquired(t, CredentialOptions{Usage: Accept, Enctypes: tc.acceptor})
		for _, c := range []*Credential{c, reimported(t, c)} {
			i, a := NewInitiator(www, &Options{Credential: c, Mech: KRB5, Flags: FlagMutual}), NewAcceptor(&Options{Credential: k})
			if err := handshake(i, a); (err == nil) != tc.ok {
				t.Errorf("%+v: %v", tc, err)
			}
			i.Close()
			a.Close()
		}
		tickets, err := ReadCache(t.Context(), cc)
		if err != nil {
			t.Fatal(err)
		}
		n := slices.IndexFunc(tickets.Tickets, func(t Ticket) bool { return t.Server == wwwPrincipal })
		if want := map[bool]string{true: "aes128", false: "aes256"}[slices.Equal(tc.initiator, []int32{aes128})]; n < 0 || !strings.HasPrefix(tickets.Tickets[n].Encryption, want) {
			t.Errorf("%+v: %+v", tc, tickets.Tickets)
		}
	}
	if c, err := Acquire(t.Context(), &CredentialOptions{Enctypes: []int32{unknown}}); err == nil {
		c.Close()
		t.Error("an unknown encryption type")
	}
}

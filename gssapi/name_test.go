package gssapi

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	for _, tc := range []struct {
		n    Name
		text string
		typ  OID
	}{
		{Service("HTTP", "www.nego.test"), "HTTP@www.nego.test", NTHostBased},
		{Service("HTTP", ""), "HTTP", NTHostBased},
		{Service("HTTP", "::1"), "HTTP@::1", NTHostBased},
		{Principal("alice@NEGO.TEST"), "alice@NEGO.TEST", NTKRB5Principal},
		{User("alice"), "alice", NTUser},
		{NewName("1000", NTStringUID), "1000", NTStringUID},
	} {
		if tc.n.String() != tc.text || tc.n.Type() != tc.typ || tc.n.IsZero() {
			t.Errorf("%+v", tc.n)
		}
	}
	if (Name{}).IsZero() != true || Principal("a") == User("a") {
		t.Error("zero or compared")
	}
}

// Mirrors python-gssapi's test_compare_name.
func TestNameEqual(t *testing.T) {
	for _, tc := range []struct {
		a, b Name
		want bool
	}{
		{User("alice"), canonical(t, User("alice")), true},
		{canonical(t, Principal("alice")), User("alice"), true},
		{User("alice"), Principal("alice"), false}, // no mechanism has looked at them
		{User("alice"), User("bob"), false},
		{Service("HTTP", "www.nego.test"), Service("HTTP", "www.nego.test"), true},
	} {
		if got, err := tc.a.Equal(tc.b); err != nil || got != tc.want {
			t.Errorf("%v and %v: %v, %v", tc.a, tc.b, got, err)
		}
	}
	if _, err := User("a").Equal(NewName("a", NTExported)); err == nil {
		t.Error("a name that is none has an equal")
	}
}

// canonical returns what Export and NTExported make of a name: one of Kerberos, whatever it was before.
func canonical(t *testing.T, n Name) Name {
	t.Helper()
	b, err := n.Export(t.Context(), KRB5)
	if err != nil {
		t.Fatal(err)
	}
	return NewName(string(b), NTExported)
}

func TestNameForms(t *testing.T) {
	ctx := t.Context()
	c, err := User("alice").Canonical(ctx, KRB5)
	if err != nil || c != Principal("alice@NEGO.TEST") {
		t.Errorf("canonical: %v of type %v, %v", c, c.Type(), err)
	}
	b, err := User("alice").Export(ctx, KRB5)
	if err != nil {
		t.Fatal(err)
	}
	// Token id, length of the OID with its header, the OID (RFC 2743 section 3.2).
	if want := append([]byte{4, 1, 0, 11, 6, 9}, KRB5...); !slices.Equal(b[:len(want)], want) {
		t.Errorf("exported %x", b)
	}
	if same, err := NewName(string(b), NTExported).Equal(User("alice")); err != nil || !same {
		t.Errorf("read back: %v, %v", same, err)
	}
	if got, err := Principal("alice@NEGO.TEST").Local(ctx, KRB5); err != nil || got != "alice" {
		t.Errorf("local name %q, %v", got, err)
	}
	if got, err := Principal("alice@OTHER.TEST").Local(ctx, KRB5); err == nil {
		t.Errorf("a stranger has the local name %q", got)
	}
	if _, err := User("alice").Canonical(ctx, ""); err == nil {
		t.Error("canonical for no mechanism")
	}
}

// Mirrors t_oid.c, of whose spellings ParseOID reads the dotted one.
func TestOID(t *testing.T) {
	// The numbers as the standards print them.
	for dotted, oid := range map[string]OID{
		"1.2.840.113554.1.2.2":   KRB5,
		"1.3.6.1.5.5.2":          SPNEGO,
		"1.3.6.1.5.2.5":          IAKERB,
		"1.3.6.1.4.1.311.2.2.10": NTLMSSP,
		"1.2.840.113554.1.2.1.1": NTUser,
		"1.2.840.113554.1.2.1.2": NTMachineUID,
		"1.2.840.113554.1.2.1.3": NTStringUID,
		"1.2.840.113554.1.2.1.4": NTHostBased,
		"1.3.6.1.5.6.3":          NTAnonymous,
		"1.3.6.1.5.6.4":          NTExported,
		"1.2.840.113554.1.2.2.1": NTKRB5Principal,
		"1.2.840.113554.1.2.2.6": NTKRB5Enterprise,
		"1.2.840.48018.1.2.2":    KRB5MS, "1.3.5.1.5.2": KRB5Old, "1.3.6.1.5.6.2": NTHostBasedX, "1.3.6.1.5.6.6": NTCompositeExport,
		"1.2.840.113554.1.2.2.7": NTKRB5X509, "1.2.752.43.13.23": NTKRB5Referral,
		"0.0": "\x00", "0.39": "\x27", "1.0": "\x28", "1.39": "\x4f", "2.0": "\x50", "2.40": "\x78", "2.47": "\x7f",
		"2.48": "\x81\x00", "2.16304": "\x81\x80\x00", "0.0.0": "\x00\x00", "0.0.1.0": "\x00\x01\x00",
		"0.0.128.0": "\x00\x81\x00\x00", "0.0.0.1": "\x00\x00\x01", "0.0.128.0.1.0.128": "\x00\x81\x00\x00\x01\x00\x81\x00",
		"2.25.329800735698586629": "\x69\x84\xc9\xda\x8e\xb3\xb2\xfb\x94\x05",
	} {
		got, err := ParseOID(dotted)
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.HasPrefix(dotted, "2.25.") && got != oid {
			t.Errorf("%s is %x, want %x", dotted, string(got), string(oid))
		}
		if got.String() != dotted {
			t.Errorf("%s comes back as %s", dotted, got)
		}
	}
	for _, bad := range []string{"", "1", "x", "1.2.-3", "3.1", "1.2.", "1..2", "{}", "+1.1", "-1.1", "1.+0", "0.40", "1.40", "1.128", "{ 1 2 }", " "} {
		if o, err := ParseOID(bad); err == nil {
			t.Errorf("%q is %v", bad, o)
		}
	}
	if OID("").String() != "" || OID("\x80").String() != "80" {
		t.Error(OID("\x80").String())
	}
}

func TestMechs(t *testing.T) {
	l, err := Mechs()
	if err != nil || !slices.Contains(l, KRB5) || !slices.Contains(l, SPNEGO) {
		t.Errorf("%v, %v", l, err)
	}
	for name, want := range map[string]OID{"GS2-KRB5": KRB5, "SPNEGO": SPNEGO} {
		if got, err := MechBySASLName(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := MechBySASLName("NO-SUCH"); !errors.Is(err, ErrBadMech) {
		t.Error(err)
	}
}

func TestFlagsAndCodes(t *testing.T) {
	if got := (FlagMutual | FlagDelegatePolicy).String(); got != "mutual,delegate-policy" {
		t.Error(got)
	}
	if !errors.Is(&Error{Code: ErrFailure | 2<<24}, ErrFailure) || errors.Is(&Error{Code: ErrFailure}, ErrNoCred) {
		t.Error("a calling error hides the routine error")
	}
	if ErrNameNotMech != 18<<16 || ErrNameNotMech.Error() != "the name is not a name of one mechanism" || ErrBadMech.Error() != "the mechanism is not supported" {
		t.Error(uint32(ErrNameNotMech), ErrNameNotMech, ErrBadMech)
	}
}

// An exported name that is damaged is no name. It comes from files and databases, and must not end the process.
func TestExportedNameDamaged(t *testing.T) {
	whole, err := Principal("alice@NEGO.TEST").Export(t.Context(), KRB5)
	if err != nil {
		t.Fatal(err)
	}
	if name, err := NewName(string(whole), NTExported).Canonical(t.Context(), KRB5); err != nil || name.String() != "alice@NEGO.TEST" {
		t.Fatalf("%q, %v", name, err)
	}
	damaged := []string{string(whole) + "x", string(whole) + "\x00\x00\x00\x00", "\x04\x02" + string(whole[2:]), "\x04\x02" + string(whole[2:]) + "\x00\x00\x00\x09x", "\x04\x03" + string(whole[2:])}
	for n := range whole {
		damaged = append(damaged, string(whole[:n]))
	}
	for _, text := range damaged {
		for _, typ := range []OID{NTExported, NTCompositeExport} {
			name := NewName(text, typ)
			_, err1 := name.Canonical(t.Context(), KRB5)
			_, err2 := name.Export(t.Context(), KRB5)
			_, err3 := name.Equal(Principal("alice@NEGO.TEST"))
			for _, err := range []error{err1, err2, err3} {
				if !errors.Is(err, ErrBadName) {
					t.Errorf("%q: %v", text, err)
				}
			}
		}
	}
}

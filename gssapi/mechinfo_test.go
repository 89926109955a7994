package gssapi

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// Mirrors t_saslname.c, and python-gssapi's test_sasl_names and test_inquire_names_for_mech.
func TestDescribeMech(t *testing.T) {
	mechs, err := Mechs()
	if err != nil {
		t.Fatal(err)
	}
	for _, mech := range mechs {
		m, err := DescribeMech(mech)
		if err != nil {
			t.Error(err)
			continue
		}
		if m.OID != mech || m.SASLName == "" {
			t.Errorf("%+v", m)
		}
		if back, err := MechBySASLName(m.SASLName); err != nil || back != mech {
			t.Errorf("%s is %v, %v; want %v", m.SASLName, back, err, mech)
		}
	}
	m, err := DescribeMech(KRB5)
	if err != nil || m.SASLName != "GS2-KRB5" || m.Name != either("krb5", "KRB5") || m.Description != either("Kerberos 5 GSS-API Mechanism", "Heimdal Kerberos 5 mech") {
		t.Errorf("%+v, %v", m, err)
	}
	for _, a := range []OID{MAConcrete, MAFramed, MAAuthInit, MADelegation, MAIntegrity, MAConfidentiality, MATransfer, MAChannelBinding} {
		if !slices.Contains(m.Attrs, a) || !slices.Contains(m.KnownAttrs, a) {
			t.Errorf("%v is not in %v", a, m.Attrs)
		}
	}
	if slices.Contains(m.Attrs, MANego) || !slices.Contains(m.KnownAttrs, MAPFS) || slices.Contains(m.Attrs, MAPFS) != heimdal { // as which it has that
		t.Errorf("%v", m.Attrs)
	}
	for _, typ := range []OID{NTUser, NTHostBased, NTKRB5Principal, NTExported} {
		if !slices.Contains(m.NameTypes, typ) {
			t.Errorf("%v is not in %v", typ, m.NameTypes)
		}
	}
	if m, err := DescribeMech(SPNEGO); err != nil || m.SASLName != "SPNEGO" || !slices.Contains(m.Attrs, MANego) {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []OID{"", "\x2a\x03", OID(strings.Repeat("a", 300))} {
		if m, err := DescribeMech(bad); !errors.Is(err, ErrBadMech) {
			t.Errorf("%+v, %v", m, err)
		}
	}
}

// Mirrors python-gssapi's test_rfc5587 and test_mech_inquiry.
func TestMechsByAttrs(t *testing.T) {
	all, err := Mechs()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		desired, except, critical []OID
		in, out                   []OID
	}{
		{nil, nil, nil, all, nil},
		{[]OID{MANego}, nil, nil, []OID{SPNEGO}, []OID{KRB5, IAKERB}},
		{[]OID{MAConcrete, MADelegation}, nil, nil, []OID{KRB5, IAKERB}, []OID{SPNEGO}},
		{[]OID{MAConcrete}, []OID{MANotDefault}, nil, []OID{KRB5}, []OID{SPNEGO, IAKERB}},
		{nil, []OID{MAAuthInit}, nil, nil, []OID{KRB5, IAKERB}},
		{nil, nil, []OID{MAConcrete}, []OID{KRB5}, nil},
		{nil, nil, []OID{"\x2a\x03"}, nil, all},
		{[]OID{MACompress}, nil, nil, nil, all},
	} {
		got, err := MechsByAttrs(tc.desired, tc.except, tc.critical)
		if err != nil {
			t.Error(err)
		}
		for _, m := range all {
			if in := slices.Contains(got, m); !in && slices.Contains(tc.in, m) || in && slices.Contains(tc.out, m) {
				t.Errorf("%+v: %v", tc, got)
			}
		}
	}
	// Each mechanism either has an attribute or has not.
	for _, mech := range all {
		m, err := DescribeMech(mech)
		if err != nil {
			t.Fatal(err)
		}
		for _, attr := range append(m.Attrs, m.KnownAttrs...) {
			with, err := MechsByAttrs([]OID{attr}, nil, nil)
			without, err1 := MechsByAttrs(nil, []OID{attr}, nil)
			if has := slices.Contains(m.Attrs, attr); err != nil || err1 != nil || len(with)+len(without) != len(all) || slices.Contains(with, mech) != has || slices.Contains(without, mech) == has {
				t.Errorf("%v, %v: %v and %v, %v, %v", mech, attr, with, without, err, err1)
			}
		}
	}
	if _, err := MechsByAttrs([]OID{""}, nil, nil); err == nil {
		t.Error("an attribute of no number")
	}
}

// Mirrors python-gssapi's test_display_mech_attr.
func TestDescribeMechAttr(t *testing.T) {
	for attr, want := range map[OID][2]string{MAConcrete: {"GSS_C_MA_MECH_CONCRETE", "concrete-mech"}, MATransfer: {"GSS_C_MA_CTX_TRANS", "context-transfer"}} {
		name, short, long, err := DescribeMechAttr(attr)
		if err != nil || name != want[0] || short != want[1] || !(heimdal && long == "") && !strings.Contains(long, "echanism") && !strings.Contains(long, "context") {
			t.Errorf("%q, %q, %q, %v", name, short, long, err)
		}
	}
	for _, bad := range []OID{"", "\x2a\x03"} {
		if name, _, _, err := DescribeMechAttr(bad); err == nil {
			t.Errorf("%q is %q", bad, name)
		}
	}
}

// Against what the library itself frames.
func TestEncapsulate(t *testing.T) {
	for _, mech := range []OID{KRB5, SPNEGO} {
		i := NewInitiator(www, &Options{Mech: mech})
		defer i.Close()
		token, err := i.Step(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		inner, err := Decapsulate(mech, token)
		if err != nil || len(inner) == 0 || mech == KRB5 && !bytes.HasPrefix(inner, []byte{1, 0}) {
			t.Errorf("%v: %x, %v", mech, inner, err)
		}
		if again, err := Encapsulate(mech, inner); err != nil || !bytes.Equal(again, token) {
			t.Errorf("%v: %d bytes of %d, %v", mech, len(again), len(token), err)
		}
		for name, bad := range map[string][]byte{"cut": token[:len(token)-1], "more": append(slices.Clone(token), 0), "empty": nil, "inner": inner} {
			if got, err := Decapsulate(mech, bad); !errors.Is(err, ErrDefectiveToken) {
				t.Errorf("%s: %x, %v", name, got, err)
			}
		}
		for _, other := range []OID{"", NTLMSSP} {
			if got, err := Decapsulate(other, token); !errors.Is(err, ErrDefectiveToken) {
				t.Errorf("of another mechanism: %x, %v", got, err)
			}
		}
	}
	for _, n := range []int{0, 1, 115, 116, 127, 128, 255, 256, 65535, 65536} {
		token, err := Encapsulate(KRB5, make([]byte, n))
		if err != nil {
			t.Fatal(err)
		}
		if inner, err := Decapsulate(KRB5, token); err != nil || len(inner) != n {
			t.Errorf("%d bytes: %d, %v", n, len(inner), err)
		}
	}
	if _, err := Encapsulate("", nil); !errors.Is(err, ErrBadMech) {
		t.Error(err)
	}
}

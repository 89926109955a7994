package gssapi

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Mirrors t_namingexts.c, and python-gssapi's test_export_name_composite and test_inquire_name: attributes survive the context and a
// round through bytes, as either type of exported name.
func TestComposite(t *testing.T) {
	ctx := t.Context()
	for _, mech := range []OID{KRB5, SPNEGO} {
		_, a := pair(t, &Options{Mech: mech}, nil)
		if heimdal {
			if n, err := a.Composite(ctx); !n.IsZero() || !errors.Is(err, ErrUnavailable) {
				t.Errorf("%q, %v", n, err)
			}
			continue
		}
		want, err := a.Attributes(ctx)
		if err != nil || len(want) < 3 {
			t.Fatal(want, err)
		}
		n, err := a.Composite(ctx)
		if err != nil {
			t.Fatal(err)
		}
		a.Close()
		for _, typ := range []OID{NTCompositeExport, NTExported} {
			n := NewName(n.String(), typ)
			got, err := n.Attributes(ctx)
			if err != nil || !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
				t.Errorf("%v, %v", got, err)
			}
			for name, w := range want {
				if g := got[name]; !bytes.Equal(g.Value, w.Value) || g.Authenticated != w.Authenticated || g.Complete != w.Complete {
					t.Errorf("%s: %+v, want %+v", name, g, w)
				}
			}
			if one, err := n.Attributes(ctx, clientInfo, "none", clientInfo); err != nil || len(one) != 1 || one[clientInfo].More != nil {
				t.Errorf("%v, %v", one, err)
			}
			if c, err := n.Canonical(ctx, KRB5); err != nil || c != Principal("user@NEGO.TEST") {
				t.Errorf("%v, %v", c, err)
			}
			if same, err := n.Equal(canonical(t, User("user"))); err != nil || !same {
				t.Errorf("%v, %v", same, err)
			}
			if n.label() != "user@NEGO.TEST" {
				t.Errorf("%q", n.label())
			}
		}
	}
}

// A credential can be got for a name with attributes, and an error shows nothing of them.
func TestCompositeAcquires(t *testing.T) {
	if heimdal {
		c, err := Acquire(t.Context(), &CredentialOptions{Name: composite("user@NEGO.TEST")})
		if c.Close(); err == nil {
			t.Error("there are no such names")
		}
		return
	}
	_, a := pair(t, nil, nil)
	n, err := a.Composite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, b := pair(t, &Options{Credential: acquired(t, CredentialOptions{Name: n})}, nil)
	if got := b.Info().Initiator.String(); got != "user@NEGO.TEST" {
		t.Error(got)
	}
	_, err = Acquire(t.Context(), &CredentialOptions{Name: n, Store: Store{CCache: "MEMORY:" + unique("none")}})
	if err == nil || !strings.Contains(err.Error(), "user@NEGO.TEST") || len(err.Error()) > 600 || strings.ContainsRune(err.Error(), 0) {
		t.Errorf("%q", err)
	}
}

// Mirrors the part of t_namingexts.c, and of python-gssapi's test_set_attr and test_delete_attr, that needs no plug-in: a PAC that is
// changed is the KDC's no more, and nobody sees it.
func TestWithAttribute(t *testing.T) {
	ctx := t.Context()
	if heimdal {
		_, set := User("alice").WithAttribute(ctx, "urn:mspac:", true, []byte("x"))
		_, deleted := User("alice").WithoutAttribute(ctx, "urn:mspac:")
		if !errors.Is(set, ErrUnavailable) || !errors.Is(deleted, ErrUnavailable) {
			t.Error(set, deleted)
		}
		return
	}
	settle(t)
	_, a := pair(t, &Options{Mech: KRB5}, nil)
	n, err := a.Composite(ctx)
	if err != nil {
		t.Fatal(err)
	}
	all, err := n.Attributes(ctx, "urn:mspac:")
	if err != nil {
		t.Fatal(err)
	}
	pac, before := all["urn:mspac:"].Value, held()
	for name, value := range map[string][]byte{"urn:mspac:": pac, "urn:mspac:999": []byte("forged")} {
		changed, err := n.WithAttribute(ctx, name, true, value)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if changed.Type() != NTCompositeExport || changed.label() != "user@NEGO.TEST" || changed == n && name != "urn:mspac:" {
			t.Errorf("%s: %q", name, changed.label())
		}
		if got, err := changed.Attributes(ctx); err != nil || len(got) != 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if after, err := n.Attributes(ctx, "urn:mspac:"); err != nil || !bytes.Equal(after["urn:mspac:"].Value, pac) {
		t.Errorf("the name itself: %v, %v", after, err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for what, tc := range map[string]struct {
		call func() (Name, error)
		code error
	}{
		"unknown attribute":      {func() (Name, error) { return n.WithAttribute(ctx, "urn:none", true, []byte("x")) }, ErrUnavailable},
		"of a name without":      {func() (Name, error) { return User("alice").WithAttribute(ctx, "urn:mspac:", true, pac) }, ErrUnavailable},
		"no value":               {func() (Name, error) { return n.WithAttribute(ctx, "urn:mspac:", true) }, ErrBadName},
		"NUL byte":               {func() (Name, error) { return n.WithoutAttribute(ctx, "urn:mspac:\x00") }, ErrBadName},
		"no name":                {func() (Name, error) { return Name{}.WithAttribute(ctx, "urn:mspac:", true, pac) }, ErrBadName},
		"no name to delete of":   {func() (Name, error) { return Name{}.WithoutAttribute(ctx, "urn:mspac:") }, ErrBadName},
		"deleted":                {func() (Name, error) { return n.WithoutAttribute(ctx, "urn:mspac:") }, ErrUnavailable},
		"deleted, and not there": {func() (Name, error) { return n.WithoutAttribute(ctx, "urn:none") }, ErrUnavailable},
		"cancelled":              {func() (Name, error) { return n.WithoutAttribute(cancelled, "urn:none") }, context.Canceled},
	} {
		got, err := tc.call()
		if !got.IsZero() || !errors.Is(err, tc.code) || len(err.Error()) > 400 {
			t.Errorf("%s: %q, %v", what, got.label(), err)
		}
	}
	if now := held(); now != before {
		t.Errorf("%d C objects, %d before", now, before)
	}
}

func TestAttributesOfName(t *testing.T) {
	for _, n := range []Name{User("alice"), Principal("alice@NEGO.TEST"), www, canonical(t, User("alice"))} {
		got, err := n.Attributes(t.Context())
		if heimdal && got == nil && errors.Is(err, ErrUnavailable) {
			continue
		}
		if err != nil || got == nil || len(got) != 0 {
			t.Errorf("%v: %v, %v", n, got, err)
		}
	}
	for _, n := range []Name{{}, User(""), NewName("no token", NTCompositeExport), NewName("\x04\x02\x00", NTCompositeExport)} {
		if got, err := n.Attributes(t.Context()); got != nil || err == nil {
			t.Errorf("%v: %v, %v", n, got, err)
		}
	}
	if _, err := www.Attributes(t.Context(), "a\x00"); !errors.Is(err, ErrBadName) {
		t.Error(err)
	}
}

// composite makes the token of a name of Kerberos without attributes.
func composite(principal string) Name {
	return NewName("\x04\x02\x00\x0b\x06\x09"+string(KRB5)+"\x00\x00\x00"+string(rune(len(principal)))+principal+"\x00\x00\x00\x00", NTCompositeExport)
}

func TestCompositeRefused(t *testing.T) {
	i, a := pair(t, nil, nil)
	if _, err := i.Composite(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if _, err := NewAcceptor(nil).Composite(t.Context()); !errors.Is(err, ErrNoContext) {
		t.Error(err)
	}
	a.Close()
	if _, err := a.Composite(t.Context()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestLabel(t *testing.T) {
	token := func(tail string) string { return "\x04\x01\x00\x0b\x06\x09" + string(KRB5) + tail }
	for text, want := range map[string]string{
		token("\x00\x00\x00\x03a@b"):          "a@b",
		token("\x00\x00\x00\x03a@bATTRIBUTE"): "a@b",
		token("\x00\x00\x00\x04a@b"):          "an exported name",
		token("\xff\xff\xff\xffa@b"):          "an exported name",
		token(""):                             "an exported name",
		"\x04\x01\xff\xff":                    "an exported name",
		"x":                                   "an exported name",
	} {
		if got := NewName(text, NTExported).label(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

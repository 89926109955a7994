package gssapi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nego-sso/nego/krbtest"
)

func init() {
	children["log in"] = func() {
		ctx, account := context.Background(), env("TEST_ACCOUNT")
		for _, n := range []Name{User(account), Principal("alice@NEGO.TEST"), Principal(account + "@OTHER.TEST")} {
			own, err1 := n.MayLogInAs(ctx, KRB5, account)
			other, err2 := n.MayLogInAs(ctx, KRB5, "no-such-account")
			fmt.Println(own, err1, other, err2)
		}
	}
}

func TestMayLogInAs(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := krbtest.Start(t, &krbtest.Options{ExtraConfig: "[libdefaults]\n " + either("k5login_directory = ", "kuserok = SIMPLE SYSTEM-K5LOGIN:") + dir + "\n"})
	try := func(want string) {
		t.Helper()
		if out := child(t, "log in", append(r.Env(), "TEST_ACCOUNT="+me.Username)...); out != want {
			t.Errorf("%s\nwant\n%s", out, want)
		}
	}
	try("true <nil> false <nil>\nfalse <nil> false <nil>\nfalse <nil> false <nil>\n")
	if err := os.WriteFile(filepath.Join(dir, me.Username), []byte("alice@NEGO.TEST\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	try(either("false", "true") + " <nil> false <nil>\ntrue <nil> false <nil>\nfalse <nil> false <nil>\n")
}

func TestUID(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := User(me.Username).UID(t.Context(), KRB5); err != nil || fmt.Sprint(got) != me.Uid {
		t.Errorf("%d, %v; want %s", got, err, me.Uid)
	}
	for _, n := range []Name{User("no-such-account"), Principal(me.Username + "@OTHER.TEST"), www} {
		if got, err := n.UID(t.Context(), KRB5); err == nil {
			t.Errorf("%v has the account %d", n, got)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := User(me.Username).UID(cancelled, KRB5); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := User(me.Username).MayLogInAs(cancelled, KRB5, me.Username); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAccountRefused(t *testing.T) {
	for _, tc := range []struct {
		n       Name
		mech    OID
		account string
		code    Code
	}{
		{Name{}, KRB5, "root", ErrBadName},
		{User(""), KRB5, "root", ErrBadName},
		{User("alice"), "", "root", ErrBadMech},
		{User("alice"), KRB5, "", ErrBadName},
		{User("alice"), KRB5, "root\x00x", ErrBadName},
		{User("alice"), "\x2a\x03", "root", ErrBadMech},
	} {
		if ok, err := tc.n.MayLogInAs(t.Context(), tc.mech, tc.account); ok || !errors.Is(err, tc.code) {
			t.Errorf("%+v: %v, %v", tc, ok, err)
		}
	}
}

// Mirrors t_inq_mechs_name.c with t_gssapi.py, and python-gssapi's test_inquire_mechs_for_name.
func TestMechsOfName(t *testing.T) {
	for _, tc := range []struct {
		n    Name
		want []OID
	}{
		{Principal("a@b"), []OID{KRB5}},
		{User("x"), []OID{KRB5, SPNEGO}},
		{Service("host", ""), []OID{KRB5, SPNEGO}},
	} {
		got, err := tc.n.Mechs()
		if err != nil {
			t.Error(err)
		}
		for _, mech := range tc.want {
			if !slices.Contains(got, mech) {
				t.Errorf("%v: %v is not in %v", tc.n, mech, got)
			}
		}
	}
	if got, err := NewName("x", "\x2a\x03").Mechs(); len(got) != 0 {
		t.Errorf("an unknown type: %v, %v", got, err)
	}
	for _, n := range []Name{{}, User("")} {
		if got, err := n.Mechs(); !errors.Is(err, ErrBadName) {
			t.Errorf("%v, %v", got, err)
		}
	}
}

// Mirrors t_imp_name.c, and python-gssapi's test_display_name_ext.
func TestDisplay(t *testing.T) {
	for _, n := range []Name{Principal("user@MIT.EDU"), NewName("enterprise@mit.edu@MIT.EDU", NTKRB5Enterprise), Service("HOST", "dc1.mit.edu"), User("x")} {
		got, err := n.Display(t.Context(), n.Type())
		if heimdal && errors.Is(err, ErrUnavailable) {
			continue
		}
		if err != nil || got != n.String() {
			t.Errorf("%v: %q, %v", n, got, err)
		}
		if got, err := n.Display(t.Context(), NTStringUID); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%v as a number: %q, %v", n, got, err)
		}
	}
	if _, err := User("x").Display(t.Context(), ""); !errors.Is(err, ErrBadNameType) {
		t.Error(err)
	}
	if _, err := (Name{}).Display(t.Context(), NTUser); err == nil {
		t.Error("the zero name has a text")
	}
}

// Mirrors t_export_name.c with t_gssapi.py: the tokens, byte by byte.
func TestExportedTokens(t *testing.T) {
	for _, tc := range []struct {
		n    Name
		mech OID
		want string
	}{
		{User("x"), KRB5, "0401000b06092a864886f7120102020000000b" + fmt.Sprintf("%x", "x@NEGO.TEST")},
		{User("xyz"), SPNEGO, "0401000806062b06010505020000000378797a"},
		{Principal("a@b"), KRB5, "0401000b06092a864886f71201020200000003614062"},
		{Principal("a@b"), SPNEGO, "0401000806062b060105050200000003614062"},
	} {
		got, err := tc.n.Export(t.Context(), tc.mech)
		if heimdal && tc.mech == SPNEGO {
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v: %x, %v", tc.n, got, err)
			}
			continue
		}
		if err != nil || fmt.Sprintf("%x", got) != tc.want {
			t.Errorf("%v: %x, %v; want %s", tc.n, got, err, tc.want)
		}
	}
	// And that composite ones are read.
	n := NewName("\x04\x02\x00\x0b\x06\x09"+string(KRB5)+"\x00\x00\x00\x03a@b\x00\x00\x00\x00", NTCompositeExport)
	c, err := n.Canonical(t.Context(), KRB5)
	if heimdal { // which reads none
		if !errors.Is(err, ErrNameNotMech) {
			t.Error(c, err)
		}
	} else if err != nil || c != Principal("a@b") {
		t.Errorf("%v, %v", c, err)
	}
}

package gssapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nego-sso/nego/krbtest"
)

// noAttributes reports whether there are none to be had, which a context of Heimdal has to say.
func noAttributes(t *testing.T, a *SecContext) bool {
	t.Helper()
	if m, err := a.Attributes(t.Context()); heimdal && (m != nil || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "Heimdal")) {
		t.Errorf("%v, %v", m, err)
	}
	return heimdal
}

const clientInfo = "urn:mspac:client-info"

func TestAttributes(t *testing.T) {
	for _, mech := range []OID{KRB5, SPNEGO} {
		_, a := pair(t, &Options{Mech: mech}, nil)
		if noAttributes(t, a) {
			continue
		}
		all, err := a.Attributes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names := slices.Sorted(maps.Keys(all))
		for _, want := range []string{"urn:mspac:", clientInfo, "urn:mspac:server-checksum"} {
			if !slices.Contains(names, want) {
				t.Errorf("%q is not in %q", want, names)
			}
		}
		info := all[clientInfo]
		// PAC_CLIENT_INFO (MS-PAC 2.7): a time of 8 bytes, a length of 2, the name in UTF-16.
		if !info.Authenticated || !info.Complete || len(info.Value) < 10 || string(info.Value[8:]) != "\x08\x00u\x00s\x00e\x00r\x00" || info.More != nil {
			t.Errorf("%+v", info)
		}
		some, err := a.Attributes(t.Context(), clientInfo, "urn:mspac:logon-info", "", clientInfo, "none")
		if err != nil || len(some) != 1 || string(some[clientInfo].Value) != string(info.Value) || some[clientInfo].More != nil {
			t.Errorf("%v, %v", some, err)
		}
		if none, err := a.Attributes(t.Context(), "none"); err != nil || none == nil || len(none) != 0 {
			t.Errorf("%v, %v", none, err)
		}
	}
}

func init() {
	children["auth indicators"] = func() {
		for host := range strings.FieldsSeq(env("TEST_HOSTS")) {
			i, a := NewInitiator(Service("HTTP", host), &Options{Mech: KRB5}), NewAcceptor(nil)
			if err := handshake(i, a); err != nil {
				fmt.Println(err)
				continue
			}
			m, err := a.Attributes(context.Background(), "auth-indicators")
			v := m["auth-indicators"]
			fmt.Printf("%s %v %v %v", v.Value, v.Authenticated, v.Complete, err)
			for _, more := range v.More {
				fmt.Printf(" %s %v %v", more.Value, more.Authenticated, more.Complete)
			}
			fmt.Println()
		}
	}
}

// How the user has logged in is an attribute, and a service may ask the KDC for a way. Mirrors t_srcattrs.c with t_authind.py,
// where a plug-in of MIT's tests says what SPAKE does here.
func TestAuthIndicators(t *testing.T) {
	r := krbtest.Start(t, &krbtest.Options{Services: []string{"HTTP/any.nego.test"}, ExtraConfig: `[libdefaults]
	spake_preauth_groups = edwards25519
[realms]
	NEGO.TEST = {
		spake_preauth_indicator = strong
		spake_preauth_indicator = stronger
		encrypted_challenge_indicator = fast
	}
`})
	for host, want := range map[string]string{"strong": "strong", "one-of-two": "none stronger", "other": "one two"} {
		service := "HTTP/" + host + ".nego.test"
		if err := r.AddService(service); err != nil {
			t.Fatal(err)
		}
		if out, err := r.Kadmin("setstr", service, "require_auth", want); err != nil {
			t.Fatal(err, out)
		}
	}
	const both = "strong true true <nil> stronger true true\n"
	out := child(t, "auth indicators", append(r.Env(), "TEST_HOSTS=any.nego.test strong.nego.test one-of-two.nego.test other.nego.test")...)
	lines := strings.SplitAfter(out, "\n")
	if heimdal {
		if strings.Count(out, "Heimdal does not tell") != 3 || !strings.Contains(out, "HIGHER_AUTHENTICATION_REQUIRED") {
			t.Error(out)
		}
		return
	}
	if !slices.Equal(lines[:3], []string{both, both, both}) || !strings.Contains(lines[3], "KDC policy rejects request") {
		t.Error(out)
	}
	// With a ticket as the armour of a second login, which is no longer SPAKE.
	if err := r.AddUser("pat", "pat's"); err != nil {
		t.Fatal(err)
	}
	cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
	kinit := exec.Command("kinit", "-T", r.CCache, "-c", cc, "pat")
	kinit.Env, kinit.Stdin = append(append(os.Environ(), r.Env()...), "KRB5_CONFIG="+withoutSPAKE(t, r.Config)), strings.NewReader("pat's\n")
	if out, err := kinit.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out = child(t, "auth indicators", append(r.Env(), "KRB5CCNAME="+cc, "TEST_HOSTS=any.nego.test")...)
	if out != "fast true true <nil>\n" {
		t.Error(out)
	}
}

// withoutSPAKE is a copy of a krb5.conf for a client that knows no group of SPAKE's.
func withoutSPAKE(t *testing.T, conf string) string {
	t.Helper()
	b, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(file, bytes.Replace(b, []byte("edwards25519"), []byte("none"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAttributesRefused(t *testing.T) {
	i, a := pair(t, nil, nil)
	for name, tc := range map[string]struct {
		c     *SecContext
		names []string
		code  Code
		text  string
	}{
		"zero":            {&SecContext{}, nil, ErrNoContext, "not established"},
		"not established": {NewAcceptor(nil), nil, ErrNoContext, "not established"},
		"initiator":       {i, nil, ErrUnavailable, "acceptor's"},
		"NUL byte":        {a, []string{"urn:\x00"}, ErrBadName, "NUL"},
	} {
		m, err := tc.c.Attributes(t.Context(), tc.names...)
		if m != nil || !errors.Is(err, tc.code) || !strings.Contains(fmt.Sprint(err), tc.text) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("over")
	cancel(over)
	if _, err := a.Attributes(ctx); !errors.Is(err, over) {
		t.Error(err)
	}
	if m, err := a.Attributes(t.Context()); !noAttributes(t, a) && (err != nil || len(m) == 0) { // nothing was begun
		t.Errorf("%v, %v", m, err)
	}
	a.Close()
	if _, err := a.Attributes(t.Context()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// What crosses to another process is the context, and what was known of its initiator.
func TestAttributesOfImportedContext(t *testing.T) {
	_, a := pair(t, &Options{Mech: KRB5}, nil)
	if noAttributes(t, a) {
		return
	}
	want, err := a.Attributes(t.Context(), clientInfo)
	if err != nil {
		t.Fatal(err)
	}
	token, err := a.Export()
	if err != nil {
		t.Fatal(err)
	}
	b, err := ImportSecContext(token)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got, err := b.Attributes(t.Context(), clientInfo)
	if err != nil || string(got[clientInfo].Value) != string(want[clientInfo].Value) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

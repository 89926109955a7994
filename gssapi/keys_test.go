package gssapi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nego-sso/nego/krbtest"
)

// manyKeys is a keytab with services of two realms.
func manyKeys(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keytab")
	other := krbtest.Start(t, &krbtest.Options{Realm: "OTHER.TEST", Services: []string{"HTTP/www.other.test", "host/www.other.test"}})
	for r, names := range map[*krbtest.Realm][]string{
		realm: {"HTTP/localhost", "HTTP/www.nego.test", "host/www.nego.test", "alice"},
		other: {"HTTP/www.other.test", "host/www.other.test"},
	} {
		if err := r.AddToKeytab(file, names...); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func acceptor(t *testing.T, name Name, keytab string) *Credential {
	t.Helper()
	c, err := Acquire(t.Context(), &CredentialOptions{Usage: Accept, Name: name, Store: Store{Keytab: keytab}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestKeys(t *testing.T) {
	file := manyKeys(t)
	const local, www, other = "HTTP/localhost@NEGO.TEST", "HTTP/www.nego.test@NEGO.TEST", "HTTP/www.other.test@OTHER.TEST"
	for _, tc := range []struct {
		name Name
		want []string
	}{
		{Name{}, []string{local, www, other, "alice@NEGO.TEST", "host/www.nego.test@NEGO.TEST", "host/www.other.test@OTHER.TEST"}},
		{Service("HTTP", ""), []string{local, www, other}},
		{Service("host", ""), []string{"host/www.nego.test@NEGO.TEST", "host/www.other.test@OTHER.TEST"}},
		{Service("HTTP", "www.nego.test"), []string{www}},
		{Service("HTTP", "www.other.test"), []string{other}},
		{Principal(other), []string{other}},
		{Principal("HTTP/localhost"), []string{local}},
		{User("alice"), []string{"alice@NEGO.TEST"}},
		{NewName("HTTP/localhost@NEGO.TEST", ""), []string{local}},
	} {
		for _, store := range []Store{{Keytab: file}, {Extra: map[string]string{"keytab": "FILE:" + file}}} {
			c, err := Acquire(t.Context(), &CredentialOptions{Usage: Accept, Name: tc.name, Store: store})
			if err != nil {
				t.Errorf("%v: %v", tc.name, err)
				continue
			}
			keys, err := c.Keys(t.Context())
			c.Close()
			if err != nil {
				t.Errorf("%v: %v", tc.name, err)
			}
			types := map[string][]string{}
			for _, k := range keys {
				if k.KVNO == 0 || k.Principal.Type() != NTKRB5Principal {
					t.Errorf("%+v", k)
				}
				types[k.Principal.String()] = append(types[k.Principal.String()], k.Enctype)
			}
			var got []string
			for p, l := range types {
				got = append(got, p)
				if slices.Sort(l); !slices.Equal(l, []string{"aes128-cts-hmac-sha1-96", "aes256-cts-hmac-sha1-96"}) {
					t.Errorf("%s has keys of %v", p, l)
				}
			}
			if slices.Sort(got); !slices.Equal(got, tc.want) {
				t.Errorf("%v: keys of %v, want %v", tc.name, got, tc.want)
			}
		}
	}
}

// What Keys lists is what accepts.
func TestKeysAccept(t *testing.T) {
	file := manyKeys(t)
	for _, name := range []Name{{}, Service("HTTP", ""), Service("HTTP", "localhost"), Service("host", ""), Principal("HTTP/www.nego.test@NEGO.TEST")} {
		c := acceptor(t, name, file)
		keys, err := c.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, service := range []string{"HTTP/localhost@NEGO.TEST", "HTTP/www.nego.test@NEGO.TEST", "host/www.nego.test@NEGO.TEST"} {
			i, a := NewInitiator(Principal(service), nil), NewAcceptor(&Options{Credential: c})
			err := handshake(i, a)
			i.Close()
			a.Close()
			listed := slices.ContainsFunc(keys, func(k Key) bool { return k.Principal.String() == service })
			if listed != (err == nil) {
				t.Errorf("%v: %s is listed: %v; accepting says: %v", name, service, listed, err)
			}
		}
	}
}

func init() {
	children["keys of the default keytab"] = func() {
		c, err := Acquire(context.Background(), &CredentialOptions{Usage: Accept, Name: Service("HTTP", "")})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer c.Close()
		keys, err := c.Keys(context.Background())
		fmt.Println(keys, err)
	}
	children["keys with the hostname ignored"] = func() {
		c, err := Acquire(context.Background(), &CredentialOptions{Usage: Accept, Name: Service("HTTP", "localhost")})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer c.Close()
		keys, err := c.Keys(context.Background())
		i, a := NewInitiator(www, nil), NewAcceptor(&Options{Credential: c})
		fmt.Println(keys, err, handshake(i, a))
	}
}

func TestKeysOfTheEnvironment(t *testing.T) {
	file := manyKeys(t)
	if out := child(t, "keys of the default keytab", "KRB5_KTNAME="+file); !strings.Contains(out, "HTTP/www.other.test@OTHER.TEST") || strings.Contains(out, "host/") {
		t.Error(out)
	}
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(conf, []byte("[libdefaults]\n ignore_acceptor_hostname = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := child(t, "keys with the hostname ignored", "KRB5_CONFIG="+conf+":"+realm.Config)
	if heimdal { // which does not know that setting
		if strings.Contains(out, "HTTP/www") || !strings.Contains(out, "the credential is for HTTP@localhost alone") {
			t.Error(out)
		}
	} else if !strings.Contains(out, "HTTP/www.nego.test@NEGO.TEST") || !strings.HasSuffix(out, "<nil> <nil>\n") {
		t.Error(out)
	}
}

func TestKeysRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keytab")
	if err := realm.AddToKeytab(file, "HTTP/www.nego.test"); err != nil {
		t.Fatal(err)
	}
	anything, service := acceptor(t, Name{}, file), acceptor(t, Service("HTTP", ""), file)
	refuse := func(c *Credential, code Code, texts ...string) {
		t.Helper()
		keys, err := c.Keys(t.Context())
		if err == nil || keys != nil || !errors.Is(err, code) {
			t.Errorf("%v, %v", keys, err)
			return
		}
		for _, want := range texts {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in %q", want, err)
			}
		}
	}
	initiator := newTicket(t, "alice")
	refuse(initiator, ErrNoCred, "tickets and no keys", "Usage: Accept")
	refuse(nil, ErrNoCred)
	refuse(&Credential{}, ErrNoCred)

	// The keytab is what it is now.
	other := filepath.Join(t.TempDir(), "keytab")
	if err := realm.AddToKeytab(other, "host/www.nego.test"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, file); err != nil {
		t.Fatal(err)
	}
	refuse(service, ErrNoCred, file, "host/www.nego.test@NEGO.TEST (kvno ", "ktadd")
	if keys, err := anything.Keys(t.Context()); err != nil || len(keys) != 2 {
		t.Errorf("%v, %v", keys, err)
	}
	if err := os.WriteFile(file, []byte("this is no keytab"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuse(anything, ErrNoCred, file, "ktadd")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	refuse(service, ErrNoCred, file, "ktadd")

	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("over")
	cancel(over)
	if _, err := service.Keys(ctx); !errors.Is(err, over) {
		t.Error(err)
	}
	service.Close()
	refuse(service, ErrClosed)
}

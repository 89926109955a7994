package gssapi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// kadmin changes the realm's database: KRB5_KDC_PROFILE is in the environment.
func kadmin(t *testing.T, query string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "kadmin.local", "-r", realm.Name, "-q", query).CombinedOutput(); err != nil {
		t.Fatalf("kadmin.local %s: %v\n%s", query, err, out)
	}
}

// addKeys exports the keys that a service has now to a keytab.
func addKeys(t *testing.T, file string, services ...string) string {
	t.Helper()
	if err := realm.AddToKeytab(file, services...); err != nil {
		t.Fatal(err)
	}
	return file
}

// firstToken is what a client sends with the ticket that it has, or else gets.
func firstToken(t *testing.T, cred *Credential, service string, mech OID) []byte {
	t.Helper()
	i := NewInitiator(Principal(service), &Options{Credential: cred, Mech: mech})
	defer i.Close()
	token, err := i.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// refused says what an acceptor has against the client's token, whatever the mechanism that carries it.
func refused(t *testing.T, cred *Credential, keytab string, service string, name Name) *Error {
	t.Helper()
	accept := acceptor(t, name, keytab)
	var last *Error
	for _, mech := range []OID{KRB5, SPNEGO} {
		a := NewAcceptor(&Options{Credential: accept})
		defer a.Close()
		_, err := a.Step(t.Context(), firstToken(t, cred, service, mech))
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%v: accepted: %v", mech, err)
		}
		if last != nil && (last.Detail != e.Detail || last.Hint != e.Hint) {
			t.Errorf("%v says %v, and the other mechanism %v", mech, e, last)
		}
		last = e
	}
	return last
}

func wantTexts(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
}

func TestErrorRekeyed(t *testing.T) {
	dir := t.TempDir()
	service := "HTTP/" + unique("rekeyed") + ".nego.test"
	if err := realm.AddService(service); err != nil {
		t.Fatal(err)
	}
	before := addKeys(t, filepath.Join(dir, "before"), service, "HTTP/localhost")
	old, fresh := newTicket(t, "alice"), newTicket(t, "bob")
	firstToken(t, old, service, KRB5) // now the ticket is in the cache
	kadmin(t, "cpw -randkey "+service)
	after := addKeys(t, filepath.Join(dir, "after"), service, "HTTP/localhost")

	for _, name := range []Name{{}, Service("HTTP", ""), Principal(service)} {
		e := refused(t, old, after, service, name)
		wantTexts(t, e.Detail, "the ticket's key is version 1, aes256-cts-hmac-sha1-96", "keytab FILE:"+after+" has version 2")
		wantTexts(t, e.Hint, "the client is to get a new ticket", "keep the old key")

		e = refused(t, fresh, before, service, name)
		wantTexts(t, e.Detail, "the ticket's key is version 2, aes256-cts-hmac-sha1-96", "keytab FILE:"+before+" has version 1")
		wantTexts(t, e.Hint, "install the new keytab")
		if strings.Count(e.Detail, "version 1") != 1 || strings.Contains(e.Error(), "localhost") {
			t.Error(e)
		}
	}
	// Both keys: nobody is refused.
	both := acceptor(t, Name{}, addKeys(t, before, service))
	for _, cred := range []*Credential{old, fresh} {
		a := NewAcceptor(&Options{Credential: both})
		defer a.Close()
		if _, err := a.Step(t.Context(), firstToken(t, cred, service, KRB5)); err != nil {
			t.Error(err)
		}
	}
}

func TestErrorTicketForAnother(t *testing.T) {
	dir := t.TempDir()
	cred := newTicket(t, "alice")
	const service = "HTTP/www.nego.test"
	one := addKeys(t, filepath.Join(dir, "one"), "HTTP/localhost")
	e := refused(t, cred, one, service, Service("HTTP", ""))
	wantTexts(t, e.Detail, "keytab FILE:"+one+" has HTTP/localhost@NEGO.TEST (kvno 1)")
	wantTexts(t, e.Hint, "the right name", "key of HTTP/www.nego.test@NEGO.TEST", "ktadd")

	two := addKeys(t, filepath.Join(dir, "two"), "HTTP/localhost", service)
	e = refused(t, cred, two, service, Service("HTTP", "localhost"))
	wantTexts(t, e.Detail, "keytab FILE:"+two+" has that key", "for HTTP@localhost alone")
}

func TestErrorOtherKey(t *testing.T) {
	dir := t.TempDir()
	service := "HTTP/" + unique("anew") + ".nego.test"
	const aes128, aes256 = "aes128-cts-hmac-sha1-96", "aes256-cts-hmac-sha1-96"
	var keytabs []string
	for n, enctype := range []string{aes128, aes256, aes256} {
		if n > 0 {
			kadmin(t, "delprinc -force "+service)
		}
		kadmin(t, "addprinc -randkey -e "+enctype+":normal "+service)
		keytabs = append(keytabs, addKeys(t, filepath.Join(dir, string(rune('a'+n))), service))
	}
	cred := newTicket(t, "alice")
	e := refused(t, cred, keytabs[0], service, Service("HTTP", ""))
	wantTexts(t, e.Detail, "the ticket's key is of type "+aes256, "keytab FILE:"+keytabs[0]+" has version 1 of it as "+aes128)

	e = refused(t, cred, keytabs[1], service, Service("HTTP", ""))
	wantTexts(t, e.Detail, "keytab FILE:"+keytabs[1]+" has version 1, "+aes256, "another key than the ticket's")
	wantTexts(t, e.Hint, "install a keytab from the KDC")
}

func TestErrorKeytabGone(t *testing.T) {
	file := addKeys(t, filepath.Join(t.TempDir(), "keytab"), "HTTP/www.nego.test")
	a := NewAcceptor(&Options{Credential: acceptor(t, Name{}, file)})
	defer a.Close()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	_, err := a.Step(t.Context(), firstToken(t, nil, "HTTP/www.nego.test", KRB5))
	if err == nil {
		t.Fatal("accepted")
	}
	wantTexts(t, err.Error(), "keytab FILE:"+file, "put the service's key there")
}

// The client's clock is an hour ahead: libkrb5 keeps how far off it is in the cache.
func TestErrorClockSkew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cc")
	if err := realm.Kinit(t.Context(), "alice", "FILE:"+file); err != nil {
		t.Fatal(err)
	}
	open := func() *Credential {
		c, err := Acquire(t.Context(), &CredentialOptions{Store: Store{CCache: "FILE:" + file}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	const service = "HTTP/www.nego.test"
	firstToken(t, open(), service, KRB5)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte{5, 4, 0, 12, 0, 1, 0, 8}) { // version 4; a header of 12 bytes: tag 1, 8 bytes
		t.Fatalf("the cache begins with %x", b[:8])
	}
	binary.BigEndian.PutUint32(b[8:], 3600)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if heimdal { // where it depends on the thread whether that counts, also for an acceptor in the same process
		if c, err := ReadCache(t.Context(), "FILE:"+file); err != nil || c.Principal != "alice@NEGO.TEST" {
			t.Errorf("%+v, %v", c, err)
		}
		return
	}
	e := refused(t, open(), realm.KeytabFile, service, Name{})
	wantTexts(t, e.Text, "Clock skew")
	if e.Detail != "" || e.Hint != "" {
		t.Error(e)
	}
}

func FuzzTicketIn(f *testing.F) {
	for _, mech := range []OID{KRB5, SPNEGO} {
		i := NewInitiator(www, &Options{Mech: mech})
		token, err := i.Step(f.Context(), nil)
		i.Close()
		if err != nil {
			f.Fatal(err)
		}
		if ticketIn(token) == nil {
			f.Fatalf("%v: no ticket in a real token", mech)
		}
		f.Add(token)
		f.Add(token[:len(token)/2])
	}
	f.Add([]byte("NTLMSSP\x00\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, token []byte) {
		ticket := ticketIn(token)
		if ticket == nil {
			return
		}
		if !bytes.Contains(token, ticket) || len(token) > maxToken {
			t.Errorf("%x is not in %x", ticket, token)
		}
		if r := krb5Ticket(realm.KeytabFile, ticket); !r.failed() {
			u := unpack{r.out}
			if e := u.entry(); e.Enctype == "" || len(u.b) != 0 {
				t.Errorf("%+v", e)
			}
		}
	})
}

func TestTicketIn(t *testing.T) {
	token := firstToken(t, nil, "HTTP/www.nego.test", KRB5)
	ticket := ticketIn(token)
	if ticket == nil {
		t.Fatal("no ticket")
	}
	der := func(tag byte, b []byte) []byte {
		return append(append([]byte{tag, 0x82}, byte(len(b)>>8), byte(len(b))), b...)
	}
	// A further token of SPNEGO's, for a client that began with another mechanism.
	resp := der(0xa1, der(0x30, append([]byte{0xa0, 3, 10, 1, 1}, der(0xa2, der(4, token))...)))
	if got := ticketIn(resp); !bytes.Equal(got, ticket) {
		t.Errorf("%x", got)
	}
	for name, b := range map[string][]byte{
		"empty":      nil,
		"cut":        token[:len(token)-1],
		"its header": token[:20],
		"too long":   der(0x60, append(bytes.Clone(token[4:]), make([]byte, 0xffff-len(token[4:]))...)),
		"nested":     der(0xa1, der(0x30, der(0xa2, der(4, resp)))),
	} {
		if got := ticketIn(b); got != nil {
			t.Errorf("%s: %x", name, got)
		}
	}
}

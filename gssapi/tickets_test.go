//go:build cgo && unix && !heimdal

package gssapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"path/filepath"
	"slices"
	"testing"
)

// packed is a record of names as ctxInfo has it.
func packed(initiator, acceptor string) []byte {
	var b []byte
	for _, s := range []string{initiator, string(NTKRB5Principal), acceptor, string(NTKRB5Principal), string(KRB5)} {
		b = binary.NativeEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}

// Names are asked for once for each ticket, whatever token it comes in, and are the library's own for each.
func TestTicketsKnown(t *testing.T) {
	keytab := addKeys(t, filepath.Join(t.TempDir(), "keytab"), localKey, wwwKey)
	cred := acceptor(t, Name{}, keytab)
	keep(t, cred, localKey)
	users := map[string]*Credential{"alice": newTicket(t, "alice"), "bob": newTicket(t, "bob")}
	services := []string{localKey, wwwKey}
	known := func() int {
		r := cred.pool.keyring
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.now.known)
	}
	before := known()
	for range 25 {
		for user, c := range users {
			for _, service := range services {
				for _, mech := range []OID{SPNEGO, KRB5} {
					got := judge(t, cred, firstToken(t, c, service, mech))
					if want := user + "@NEGO.TEST " + service + " "; !got.kept || !bytes.HasPrefix([]byte(got.text), []byte(want)) {
						t.Fatalf("%+v, want %s", got, want)
					}
				}
			}
		}
	}
	if got := known() - before; got != len(users)*len(services) {
		t.Errorf("%d tickets are known, and not %d", got, len(users)*len(services))
	}
	// Nobody else would say so.
	k := cred.pool.keyring.now
	for of := range k.known {
		k.known[of] = identity{names: packed("nobody@NEGO.TEST", localKey), acceptor: Principal(localKey)}
	}
	if got := judge(t, cred, firstToken(t, users["bob"], wwwKey, SPNEGO)); !bytes.HasPrefix([]byte(got.text), []byte("nobody@NEGO.TEST "+localKey)) {
		t.Errorf("the library was asked again: %+v", got)
	}
	k.known = tickets{}
}

// knowing are an acceptor that knows the tickets of two users, one that never does, and the users.
func knowing(t *testing.T, service string) (cred, native, alice, bob *Credential) {
	keytab := addKeys(t, filepath.Join(t.TempDir(), "keytab"), service)
	cred, native = acceptor(t, Name{}, keytab), acceptor(t, Name{}, keytab)
	native.pool.keyring.closed = true
	keep(t, cred, service)
	alice, bob = newTicket(t, "alice"), newTicket(t, "bob")
	for _, c := range []*Credential{alice, bob} {
		if v := judge(t, cred, firstToken(t, c, service, SPNEGO)); !v.kept {
			t.Fatalf("%+v", v)
		}
		if _, ok := cred.pool.keyring.now.known[sha256.Sum256(takeApart(t, c, service).ticket)]; !ok {
			t.Fatal("not known")
		}
	}
	return
}

// At the end of a context MIT krb5 has nothing to say of it, so what is known is not said either.
func TestTicketsAtTheirEnd(t *testing.T) {
	i, a := NewInitiator(www, nil), NewAcceptor(nil)
	defer i.Close()
	defer a.Close()
	if err := handshake(i, a); err != nil {
		t.Fatal(err)
	}
	l := leg{handle: a.handle}
	known := identity{names: packed("nobody@NEGO.TEST", localKey), acceptor: Principal(localKey)}
	for lifetime, want := range map[uint32]string{1: "nobody@NEGO.TEST", 0: "user@NEGO.TEST", 1<<32 - 5: "user@NEGO.TEST"} {
		r := l.identify(result{mech: KRB5, lifetime: lifetime}, &defaultAcceptor, known)
		u := unpack{r.names}
		if got := u.name(); r.failed() || got != Principal(want) {
			t.Errorf("%d s: %v, failed: %v", int32(lifetime), got, r.failed())
		}
	}
}

// parts are what a first token of Kerberos is made of.
type parts struct{ token, request, ticket, authenticator []byte }

func takeApart(t *testing.T, c *Credential, service string) parts {
	t.Helper()
	token := firstToken(t, c, service, KRB5)
	_, inner := unframe(token)
	fields := content(content(inner[2:], 1, 14), 0, 16)
	return parts{token, inner[2:], field(fields, 3), field(fields, 4)}
}

// apReq makes a request of fields.
func apReq(fields ...[]byte) []byte {
	begin := []byte("\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x0e\xa2\x07\x03\x05\x00\x00\x00\x00\x00")
	return der(0x6e, der(0x30, append(begin, bytes.Join(fields, nil)...)))
}

func kerberos(request ...[]byte) []byte {
	return der(0x60, slices.Concat(der(0x06, []byte(KRB5)), []byte{1, 0}, bytes.Join(request, nil)))
}

func list(mechs ...OID) []byte {
	var l []byte
	for _, m := range mechs {
		l = append(l, der(0x06, []byte(m))...)
	}
	return der(0xa0, der(0x30, l))
}

func negotiate(fields ...[]byte) []byte {
	return der(0x60, append(der(0x06, []byte(SPNEGO)), der(0xa0, der(0x30, bytes.Join(fields, nil)))...))
}

// long is der with one byte of length too many.
func long(tag byte, content []byte) []byte {
	return slices.Concat([]byte{tag, 0x83, 0, byte(len(content) >> 8), byte(len(content))}, content)
}

// A token of bob's that has alice's ticket in it as well is never told to be alice's, however it is put together: what is known of
// her ticket is used where the library can have read no other.
func TestTicketsSpliced(t *testing.T) {
	cred, native, alice, bob := knowing(t, localKey)
	field3 := func(p parts) []byte { return der(0xa3, p.ticket) }
	field4 := func(p parts) []byte { return der(0xa4, p.authenticator) }
	token := func(p parts) []byte { return der(0xa2, der(0x04, p.token)) }
	in := func(p parts, request []byte) []byte { return der(0xa2, der(0x04, kerberos(request))) }
	accepted := 0
	for name, c := range map[string]struct {
		plain bool // can be read in one way
		make  func(a, b parts) []byte
	}{
		"bob's":                        {true, func(a, b parts) []byte { return negotiate(list(KRB5), token(b)) }},
		"bob's, raw":                   {true, func(a, b parts) []byte { return b.token }},
		"bob's, made again":            {true, func(a, b parts) []byte { return kerberos(apReq(field3(b), field4(b))) }},
		"Microsoft's OID":              {true, func(a, b parts) []byte { return negotiate(list(KRB5MS), token(b)) }},
		"several mechanisms":           {true, func(a, b parts) []byte { return negotiate(list(KRB5, KRB5MS, NTLMSSP), token(b)) }},
		"another mechanism first":      {false, func(a, b parts) []byte { return negotiate(list(NTLMSSP, KRB5), token(b)) }},
		"an unknown mechanism first":   {false, func(a, b parts) []byte { return negotiate(list("\x2a\x03", KRB5), token(b)) }},
		"no mechanism":                 {false, func(a, b parts) []byte { return negotiate(list(), token(b)) }},
		"no list":                      {false, func(a, b parts) []byte { return negotiate(token(b)) }},
		"two tokens, alice's first":    {false, func(a, b parts) []byte { return negotiate(list(KRB5), token(a), token(b)) }},
		"two tokens, bob's first":      {false, func(a, b parts) []byte { return negotiate(list(KRB5), token(b), token(a)) }},
		"alice's before the list":      {false, func(a, b parts) []byte { return negotiate(token(a), list(KRB5), token(b)) }},
		"alice's behind the token":     {false, func(a, b parts) []byte { return append(negotiate(list(KRB5), token(b)), a.token...) }},
		"alice's behind the raw token": {false, func(a, b parts) []byte { return append(bytes.Clone(b.token), a.token...) }},
		"alice's as MIC":               {false, func(a, b parts) []byte { return negotiate(list(KRB5), token(b), der(0xa3, der(0x04, a.token))) }},
		"alice's as flags":             {false, func(a, b parts) []byte { return negotiate(list(KRB5), der(0xa1, der(0x03, a.token)), token(b)) }},
		"flags":                        {false, func(a, b parts) []byte { return negotiate(list(KRB5), der(0xa1, []byte{3, 2, 1, 0}), token(b)) }},
		"two octet strings": {false, func(a, b parts) []byte {
			return negotiate(list(KRB5), der(0xa2, append(der(0x04, b.token), der(0x04, a.token)...)))
		}},
		"two octet strings, hers first": {false, func(a, b parts) []byte {
			return negotiate(list(KRB5), der(0xa2, append(der(0x04, a.token), der(0x04, b.token)...)))
		}},
		"two requests":             {false, func(a, b parts) []byte { return kerberos(b.request, a.request) }},
		"two requests, hers first": {false, func(a, b parts) []byte { return kerberos(a.request, b.request) }},
		"two requests inside": {false, func(a, b parts) []byte {
			return negotiate(list(KRB5), in(b, append(bytes.Clone(a.request), b.request...)))
		}},
		"two tickets":             {false, func(a, b parts) []byte { return kerberos(apReq(field3(b), field3(a), field4(b))) }},
		"two tickets, hers first": {false, func(a, b parts) []byte { return kerberos(apReq(field3(a), field3(b), field4(b))) }},
		"two tickets in one field": {true, func(a, b parts) []byte {
			return kerberos(apReq(der(0xa3, append(bytes.Clone(b.ticket), a.ticket...)), field4(b)))
		}},
		"two in one field, hers first": {true, func(a, b parts) []byte {
			return kerberos(apReq(der(0xa3, append(bytes.Clone(a.ticket), b.ticket...)), field4(b)))
		}},
		"her ticket behind":             {false, func(a, b parts) []byte { return kerberos(apReq(field3(b), field4(b), field3(a))) }},
		"her ticket as another field":   {false, func(a, b parts) []byte { return kerberos(apReq(field3(b), field4(b), der(0xa5, a.ticket))) }},
		"fields in another order":       {false, func(a, b parts) []byte { return kerberos(apReq(field4(b), field3(b))) }},
		"her ticket, his authenticator": {true, func(a, b parts) []byte { return kerberos(apReq(field3(a), field4(b))) }},
		"his ticket, her authenticator": {true, func(a, b parts) []byte { return negotiate(list(KRB5), in(b, apReq(field3(b), field4(a)))) }},
		"no ticket":                     {false, func(a, b parts) []byte { return kerberos(apReq(field4(b))) }},
		"no authenticator":              {false, func(a, b parts) []byte { return kerberos(apReq(field3(a))) }},
		"a long length around":          {false, func(a, b parts) []byte { return long(0x60, negotiate(list(KRB5), token(b))[4:]) }},
		"a long length of the ticket":   {false, func(a, b parts) []byte { return kerberos(apReq(long(0xa3, b.ticket), field4(b))) }},
		"a long length of the token":    {false, func(a, b parts) []byte { return negotiate(list(KRB5), der(0xa2, long(0x04, b.token))) }},
		"a longer length than there is": {false, func(a, b parts) []byte { return kerberos(apReq(field3(a), field4(b)[:40])) }},
		"another mechanism's token":     {false, func(a, b parts) []byte { return bytes.Replace(b.token, []byte(KRB5), []byte(KRB5MS), 1) }},
		"Kerberos' token, another inside": {false, func(a, b parts) []byte {
			return negotiate(list(KRB5), der(0xa2, der(0x04, bytes.Replace(b.token, []byte(KRB5), []byte(KRB5MS), 1))))
		}},
		"the token of another leg": {false, func(a, b parts) []byte { return bytes.Replace(b.token, []byte{1, 0, 0x6e}, []byte{2, 0, 0x6e}, 1) }},
		"nothing":                  {false, func(a, b parts) []byte { return nil }},
	} {
		fresh := func() []byte { return c.make(takeApart(t, alice, localKey), takeApart(t, bob, localKey)) }
		one := fresh()
		if plain := ticketOf(one) != (ticketID{}); plain != c.plain {
			t.Errorf("%s: looked for: %v", name, plain)
		}
		got, want := judge(t, cred, one), judge(t, native, fresh())
		if got.text != want.text {
			t.Errorf("%s: %s, and by the library itself %s", name, got.text, want.text)
		}
		if got.kept {
			accepted++
		}
	}
	if accepted < 15 { // the library reads more than DER
		t.Errorf("%d were accepted with keys in memory", accepted)
	}
}

// What nobody sends is left to the library, whatever that makes of it.
func TestTicketOf(t *testing.T) {
	of := func(mech OID, ticket int) bool {
		token := kerberos(apReq(der(0xa3, make([]byte, ticket)), der(0xa4, []byte("authenticator"))))
		return ticketOf(negotiate(list(KRB5, mech), der(0xa2, der(0x04, token)))) != ticketID{}
	}
	for name, c := range map[string]struct{ got, want bool }{
		"usual":            {of(NTLMSSP, 1000), true},
		"no mechanism":     {of("", 1000), false},
		"a long mechanism": {of(OID(make([]byte, 0x7f)), 1000), true},
		"a longer one":     {of(OID(make([]byte, 0x80)), 1000), false},
		"a large ticket":   {of(NTLMSSP, maxTicket-200), true},
		"a larger one":     {of(NTLMSSP, maxTicket), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", name, c.got)
		}
	}
}

func TestTicketsBounded(t *testing.T) {
	known := tickets{}
	id := identity{names: packed("user@NEGO.TEST", localKey)}
	for i := range 2 * maxTickets {
		known.keep(sha256.Sum256(binary.NativeEndian.AppendUint32(nil, uint32(i))), id)
	}
	if len(known) != maxTickets {
		t.Errorf("%d tickets", len(known))
	}
	last := ticketID(sha256.Sum256(binary.NativeEndian.AppendUint32(nil, 2*maxTickets-1)))
	if _, ok := known[last]; !ok {
		t.Error("the last one is not known")
	}
	for name, c := range map[string]struct {
		of ticketID
		id identity
	}{
		"an anonymous user": {last, identity{names: packed("WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS", localKey)}},
		"nobody":            {last, identity{}},
		"no ticket":         {ticketID{}, id},
	} {
		known := tickets{}
		if known.keep(c.of, c.id); len(known) > 0 {
			t.Errorf("%s is known", name)
		}
	}
}

// What is found is what a reader finds that is less strict, wherever both find something.
func FuzzTicketOf(f *testing.F) {
	request := apReq(der(0xa3, []byte("ticket")), der(0xa4, []byte("authenticator")))
	f.Add(kerberos(request))
	f.Add(negotiate(list(KRB5), der(0xa2, der(0x04, kerberos(request)))))
	f.Add(negotiate(list(KRB5MS, KRB5), der(0xa2, der(0x04, kerberos(request, request)))))
	f.Fuzz(func(t *testing.T, token []byte) {
		if got := ticketOf(token); got != (ticketID{}) && got != sha256.Sum256(ticketIn(token)) {
			t.Errorf("another ticket in %x", token)
		}
	})
}

package gssapi

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Here are the scenarios of MIT krb5's own test programs (src/tests/gssapi), and of python-gssapi's tests, that no other test has.

// Mirrors t_err.c: an acceptor's refusal comes with a token, and tells the initiator what was wrong.
func TestRefusalReachesTheInitiator(t *testing.T) {
	for _, mech := range []OID{KRB5, SPNEGO} {
		i := NewInitiator(www, &Options{Mech: mech, Flags: FlagReplay | FlagSequence | FlagMutual})
		defer i.Close()
		token, err := i.Step(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := acceptOnce(t, token); err != nil {
			t.Fatal(err)
		}
		a := NewAcceptor(nil)
		defer a.Close()
		refusal, err := a.Step(t.Context(), token)
		if heimdal { // which keeps no replay cache, so that there is nothing to refuse
			if err != nil || !a.Established() {
				t.Errorf("%v: %v", mech, err)
			}
			continue
		}
		if !errors.Is(err, ErrFailure) || !strings.Contains(err.Error(), "Request is a replay") || len(refusal) == 0 {
			t.Fatalf("%v: the replay: a token of %d bytes, %v", mech, len(refusal), err)
		}
		if _, err := i.Step(t.Context(), refusal); !errors.Is(err, ErrFailure) || !strings.Contains(err.Error(), "Request is a replay") || i.Established() {
			t.Errorf("%v: the initiator: %v", mech, err)
		}
	}
}

// Mirrors t_inq_ctx.c: what is known of half a context, and whose ticket it has used, which the library does not tell. Of an
// acceptor's it is nothing, with MIT krb5.
func TestInfoOfHalfAContext(t *testing.T) {
	const flags = FlagSequence | FlagMutual | FlagConfidential | FlagIntegrity
	check := func(name string, c *SecContext, initiated bool, who Name, mech OID, want Flags) {
		t.Helper()
		got := c.Info()
		if c.Established() || got.Initiated != initiated || got.Mech != mech || got.Flags != want || got.Initiator != who || !got.Expires.IsZero() {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for mech, known := range map[OID]OID{KRB5: KRB5, IAKERB: IAKERB, SPNEGO: either("", KRB5)} { // MIT's SPNEGO has none negotiated yet
		if heimdal && mech == IAKERB {
			continue // which it does not have
		}
		i := NewInitiator(www, &Options{Mech: mech, Flags: flags})
		defer i.Close()
		check("before "+mech.String(), i, true, Name{}, "", 0)
		if _, err := i.Step(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		check(mech.String(), i, true, Principal("user@NEGO.TEST"), known, flags|FlagTransferable)
	}
	i, a := NewInitiator(www, &Options{Mech: KRB5, Flags: flags | FlagDCEStyle}), NewAcceptor(nil)
	defer i.Close()
	defer a.Close()
	token, err := i.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Step(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	check("DCE's acceptor", a, false, Name{}, either("", KRB5), either(0, flags|FlagDCEStyle|FlagTransferable))
}

// Mirrors t_ciflags.c, as far as it is about the default credential: an initiator also says that it can encrypt and sign.
func TestFlagsThatKerberosAdds(t *testing.T) {
	for _, mech := range []OID{KRB5, SPNEGO} {
		for _, asked := range []Flags{0, FlagSequence} {
			_, a := pair(t, &Options{Mech: mech, Flags: asked}, nil)
			if got := a.Info().Flags &^ FlagProtReady; got != asked|FlagConfidential|FlagIntegrity|FlagTransferable {
				t.Errorf("%v, asked for %q: %v", mech, asked, got)
			}
		}
	}
}

// Mirrors t_lifetime.c: a new ticket is for no longer than asked for, and an acceptor adds the clock skew that it allows, 300
// seconds.
func TestLifetimeAskedFor(t *testing.T) {
	for _, mech := range []OID{KRB5, SPNEGO} {
		host := unique("lifetime") + ".nego.test" // whose ticket is not there yet
		if err := realm.AddService("HTTP/" + host); err != nil {
			t.Fatal(err)
		}
		i, a := NewInitiator(Service("HTTP", host), &Options{Mech: mech, Lifetime: time.Hour}), NewAcceptor(nil)
		defer i.Close()
		defer a.Close()
		want := time.Now().Add(time.Hour)
		if err := handshake(i, a); err != nil {
			t.Fatal(err)
		}
		if heimdal && mech == SPNEGO { // which does not hand it on
			cache, err := ReadCache(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			want = cache.tgt().End
		}
		if got := i.Info().Expires; got.Sub(want).Abs() > 30*time.Second {
			t.Errorf("%v: the initiator's expires %v, want %v", mech, got, want)
		}
		want = want.Add(either(300*time.Second, 0))
		if got := a.Info().Expires; got.Sub(want).Abs() > 30*time.Second {
			t.Errorf("%v: the acceptor's expires %v, want %v", mech, got, want)
		}
	}
}

// Mirrors test_mskrb_oid of t_spnego.c: Microsoft's wrong OID of Kerberos is accepted, and comes back in the answer.
func TestMicrosoftsOID(t *testing.T) {
	wrong := []byte("\x06\x09\x2a\x86\x48\x82\xf7\x12\x01\x02\x02")
	acceptor, err := Acquire(t.Context(), &CredentialOptions{Usage: Accept, Mechs: []OID{SPNEGO}})
	if err != nil {
		t.Fatal(err)
	}
	defer acceptor.Close()
	for _, cred := range []*Credential{nil, acceptor} {
		i, a := NewInitiator(www, &Options{Mech: KRB5}), NewAcceptor(&Options{Credential: cred})
		defer i.Close()
		defer a.Close()
		token, err := i.Step(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		token = der(0xa2, der(0x04, token))
		token = der(0xa0, der(0x30, slices.Concat(der(0xa0, der(0x30, wrong)), token)))
		token = der(0x60, slices.Concat(der(0x06, []byte(SPNEGO)), token))
		answer, err := a.Step(t.Context(), token)
		if err != nil || !a.Established() || a.Info().Initiator != Principal("user@NEGO.TEST") {
			t.Fatalf("%+v, %v", a.Info(), err)
		}
		if want := slices.Concat([]byte("\xa1\x14\x30\x12\xa0\x03\x0a\x01\x00\xa1\x0b"), wrong); !bytes.Equal(answer, want) {
			t.Errorf("the answer is %x, want %x", answer, want)
		}
	}
}

// der is an element, with its length in front of what is inside.
func der(tag byte, inside ...[]byte) []byte {
	b := slices.Concat(inside...)
	return append(appendHeader(nil, tag, len(b)), b...)
}

// Mirrors test_neghints of t_spnego.c: to an empty token an acceptor answers with its mechanisms and the hint of [MS-SPNG].
func TestNegHints(t *testing.T) {
	a := NewAcceptor(nil)
	defer a.Close()
	got, err := a.Step(t.Context(), nil)
	hint := der(0xa3, der(0x30, der(0xa0, der(0x1b, []byte("not_defined_in_RFC4178@please_ignore")))))
	mechs := der(0xa0, der(0x30, der(0x06, []byte(KRB5))))
	if heimdal {
		mechs = der(0xa0, der(0x30, slices.Concat([]byte("\x06\x09\x2a\x86\x48\x82\xf7\x12\x01\x02\x02"), der(0x06, []byte(KRB5)), der(0x06, []byte(NTLMSSP)))))
	}
	want := der(0x60, slices.Concat(der(0x06, []byte(SPNEGO)), der(0xa0, der(0x30, slices.Concat(mechs, hint)))))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, want %x, %v", got, want, err)
	}
}

// Mirrors the first scenario of t_spnego.c: the initiator would rather have IAKERB, the acceptor has Kerberos alone.
func TestReselection(t *testing.T) {
	initiator, err := Acquire(t.Context(), &CredentialOptions{Mechs: []OID{IAKERB, KRB5}})
	if heimdal {
		if initiator.Close(); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer initiator.Close()
	i, a := NewInitiator(www, &Options{Credential: initiator, Flags: FlagReplay | FlagSequence}), NewAcceptor(nil)
	defer i.Close()
	defer a.Close()
	if err := handshake(i, a); err != nil {
		t.Fatal(err)
	}
	if a.Info().Initiator != Principal("user@NEGO.TEST") || a.Info().Mech != KRB5 || i.Info().Mech != KRB5 {
		t.Errorf("%+v\n%+v", i.Info(), a.Info())
	}
}

// Mirrors t_bindings.c in that DCE's three legs bind to a channel as two do, also where the initiator asks for it to be
// enforced. The other scenarios are in TestChannelBinding.
func TestChannelBindingDCE(t *testing.T) {
	one, two := &ChannelBinding{Data: []byte("a")}, &ChannelBinding{Data: []byte("x")}
	for _, mech := range []OID{KRB5, SPNEGO} {
		for _, flags := range []Flags{0, FlagChannelBound, FlagDCEStyle, FlagDCEStyle | FlagChannelBound} {
			_, a := pair(t, &Options{Mech: mech, Flags: flags, ChannelBinding: one}, &Options{ChannelBinding: one})
			if a.Info().Flags&FlagChannelBound == 0 {
				t.Errorf("%v, %v: not bound", mech, flags)
			}
			i, a := NewInitiator(www, &Options{Mech: mech, Flags: flags, ChannelBinding: one}), NewAcceptor(&Options{ChannelBinding: two})
			if err := handshake(i, a); !errors.Is(err, ErrBadBindings) || a.Established() {
				t.Errorf("%v, %v: other bindings: %v", mech, flags, err)
			}
			i.Close()
			a.Close()
			_, a = pair(t, &Options{Mech: mech, Flags: flags &^ FlagChannelBound}, &Options{ChannelBinding: one})
			if a.Info().Flags&FlagChannelBound != 0 {
				t.Errorf("%v, %v: bound to nothing", mech, flags)
			}
		}
	}
}

// Mirrors test_short_encapsulation of t_invalid.c.
func TestShortEncapsulation(t *testing.T) {
	for _, token := range []string{"\x60", "\x60\x84", "\x60\x40\x06", "\x60\x40\x06\x09", "\x60\x84\xff\xff\xff\xff", "\x60\x80\x06\x09"} {
		if err := acceptOnce(t, []byte(token)); !errors.Is(err, ErrDefectiveToken) && !errors.Is(err, ErrBadMech) {
			t.Errorf("%x: %v", token, err)
		}
	}
}

// Mirrors python-gssapi's test_defer_step_error_on_method: what a failed step returns goes to the peer, and the context stays failed.
func TestFailedStepStays(t *testing.T) {
	for _, mech := range []OID{KRB5, SPNEGO} {
		i := NewInitiator(www, &Options{Mech: mech, Flags: FlagMutual, ChannelBinding: &ChannelBinding{Data: []byte("abcxyz")}})
		a := NewAcceptor(&Options{ChannelBinding: &ChannelBinding{Data: []byte("defuvw")}})
		defer i.Close()
		defer a.Close()
		token, err := i.Step(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := a.Step(t.Context(), token); !errors.Is(err, ErrBadBindings) || len(answer) == 0 && either(true, mech == SPNEGO) {
			t.Errorf("%v: a token of %d bytes, %v", mech, len(answer), err)
		}
		if _, err := a.Wrap([]byte("test"), true); !errors.Is(err, ErrBadBindings) {
			t.Errorf("%v: Wrap: %v", mech, err)
		}
		if _, err := a.Step(t.Context(), token); !errors.Is(err, ErrBadBindings) || a.Established() {
			t.Errorf("%v: another step: %v", mech, err)
		}
	}
}

// Mirrors python-gssapi's test_acquire_by_init, test_inquire_creds and test_export: every combination of what can be asked for.
func TestAcquireCombinations(t *testing.T) {
	cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
	both := acquired(t, CredentialOptions{Name: Principal(wwwPrincipal), Store: Store{CCache: cc, ClientKeytab: realm.KeytabFile}})
	pair(t, &Options{Credential: both}, nil) // so that the cache has tickets
	for _, name := range []Name{{}, Principal(wwwPrincipal)} {
		for _, lifetime := range []time.Duration{0, 30 * time.Second} {
			for _, mechs := range [][]OID{nil, {KRB5}} {
				for _, usage := range []Usage{Initiate, Accept, Both} {
					o := CredentialOptions{Name: name, Lifetime: lifetime, Mechs: mechs, Usage: usage}
					if usage != Accept {
						o.Store.CCache = cc
					}
					if heimdal && usage == Both {
						continue // which has none with a name or a cache
					}
					c := acquired(t, o)
					got := info(t, c)
					if got.Usage != usage || !slices.Contains(got.Mechs, KRB5) {
						t.Errorf("%+v: %+v", o, got)
					}
					if want := Principal(wwwPrincipal); got.Name != want && (usage != Accept || !name.IsZero()) {
						t.Errorf("%+v: %v", o, got.Name)
					}
					if (usage == Accept) != got.Expires.IsZero() {
						t.Errorf("%+v: expires %v", o, got.Expires)
					}
					if heimdal {
						continue
					}
					if again := info(t, reimported(t, c)); again.Name != got.Name || again.Usage != got.Usage || again.Expires.Sub(got.Expires).Abs() > 2*time.Second {
						t.Errorf("%+v: as a token %+v", got, again)
					}
				}
			}
		}
	}
}

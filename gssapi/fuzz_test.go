//go:build cgo && unix

package gssapi

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// edit changes a token as three bytes each say: where, how, and with what. Fuzzing makes edits and no tokens, so that each
// run begins with a fresh real one: a used one would fail in the replay cache, and one of another process by its key.
func edit(token, edits []byte) []byte {
	token = bytes.Clone(token)
	for ; len(edits) >= 4 && len(token) > 0; edits = edits[4:] {
		at := (int(edits[0])<<8 | int(edits[1])) % len(token)
		switch v := edits[3]; edits[2] % 6 {
		case 0:
			token[at] = v
		case 1:
			token[at] ^= 1 << (v % 8)
		case 2:
			token = token[:at]
		case 3:
			token = append(token[:at:at], token[min(at+int(v), len(token)):]...)
		case 4:
			token = append(token[:at:at], append(bytes.Repeat([]byte{v}, int(v)), token[at:]...)...)
		case 5:
			token = append(token, token[at:]...) // bounded by the number of edits
			token = token[:min(len(token), 1<<16)]
		}
	}
	return token
}

// beginnings are what a fuzzed handshake begins with.
var beginnings = []Options{
	{},
	{Mech: KRB5},
	{Flags: FlagMutual},
	{Mech: KRB5, Flags: FlagMutual | FlagReplay | FlagSequence | FlagIntegrity | FlagConfidential},
	{Flags: FlagDelegate | FlagMutual},
	{Mech: KRB5, Flags: FlagDelegate},
	{Mech: KRB5, Flags: FlagDCEStyle | FlagMutual},
	{ChannelBinding: &ChannelBinding{Data: []byte("tls-server-end-point:fuzz")}},
}

func seed(f *testing.F) {
	for kind := range len(beginnings) + 2 { // two more with NTLM
		f.Add(uint8(kind), []byte{})
		for at := range 64 {
			f.Add(uint8(kind), []byte{0, byte(at), byte(at % 6), byte(at * 37)})
		}
		f.Add(uint8(kind), []byte("\x00\x04\x00\x00\x00\x09\x01\x02\x02\x00\x03\x05\x01\x00\x04\xff"))
	}
}

// fuzzHandshakes has each run begin with both sides of a handshake, and with the initiator's first token.
func fuzzHandshakes(f *testing.F, run func(t *testing.T, o Options, i, a *SecContext, token, edits []byte)) {
	keys := CredentialOptions{Usage: Accept, Name: Service("HTTP", "")}
	beginnings := beginnings
	if plugIns != "" {
		keys = CredentialOptions{Usage: Accept, Mechs: []OID{SPNEGO, KRB5, NTLMSSP}}
		ntlm, err := Acquire(f.Context(), &CredentialOptions{Name: User("user"), Mechs: []OID{NTLMSSP}, Store: Store{Password: "password"}})
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { ntlm.Close() })
		beginnings = append(slices.Clone(beginnings), Options{Credential: ntlm}, Options{Credential: ntlm, Mech: NTLMSSP, Flags: FlagIntegrity})
	}
	acceptor, err := Acquire(f.Context(), &keys)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { acceptor.Close() })
	seed(f)
	f.Fuzz(func(t *testing.T, kind uint8, edits []byte) {
		o := beginnings[int(kind)%len(beginnings)]
		i, a := NewInitiator(Service("HTTP", "localhost"), &o), NewAcceptor(&Options{Credential: acceptor, ChannelBinding: o.ChannelBinding})
		defer i.Close()
		defer a.Close()
		token, err := i.Step(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		run(t, o, i, a, token, edits)
	})
}

// An acceptor takes a token of a real initiator with some bytes changed. It may accept it, where the change is in what nobody
// vouches for, and then says who the initiator is.
func FuzzAcceptor(f *testing.F) {
	fuzzHandshakes(f, func(t *testing.T, o Options, i, a *SecContext, token, edits []byte) {
		for range 4 {
			answer, err := a.Step(t.Context(), edit(token, edits))
			if a.Established() != (err == nil && a.Info().Initiator != Name{}) {
				t.Fatalf("%v, %+v, %v", a.Established(), a.Info(), err)
			}
			if a.Established() {
				// The domain in NTLM's name is what the client says it is.
				if who := a.Info().Initiator; who != Principal("user@NEGO.TEST") && (a.Info().Mech == KRB5 || !strings.HasSuffix(strings.ToLower(who.String()), "user")) {
					t.Fatalf("accepted as %q by %v", who, a.Info().Mech)
				}
				if len(edits) == 0 && o.Flags&FlagDelegate != 0 && a.Delegated().Close() != nil {
					t.Error("the delegated credential")
				}
			}
			if err != nil || a.Established() || i.Established() || len(answer) == 0 {
				return
			}
			if token, err = i.Step(t.Context(), answer); err != nil {
				return
			}
		}
	})
}

// An initiator takes an answer of a real acceptor with some bytes changed.
func FuzzInitiator(f *testing.F) {
	fuzzHandshakes(f, func(t *testing.T, o Options, i, a *SecContext, token, edits []byte) {
		answer, err := a.Step(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if i.Established() {
			return
		}
		changed := edit(answer, edits)
		_, err = i.Step(t.Context(), changed)
		if i.Established() && err != nil {
			t.Fatal(err)
		}
		if err == nil && len(edits) == 0 && !i.Established() && a.Established() {
			t.Fatal("the answer as it came is not enough")
		}
	})
}

// An exported context of which some bytes have changed is imported, or not: those of the frame. What the mechanism has in it, it
// believes, and may end the process over.
func FuzzImport(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, _ uint8, edits []byte) {
		i, _ := pair(t, nil, nil)
		exported, err := i.Export()
		if err != nil {
			t.Fatal(err)
		}
		if heimdal { // which does not survive all changes
			edits = nil
		}
		const frame = 10 // the length of the mechanism's OID, and some of the OID
		if c, err := ImportSecContext(append(edit(exported[:frame], edits), exported[frame:]...)); err == nil {
			c.Info()
			c.Close()
		}
	})
}

// A peer with the keys sends messages of every kind with some bytes changed: none of them brings the process down, and a message
// comes out as it went in. The last kind is a token that is all the fuzzer's own, as in MIT's t_invalid.c.
func FuzzMessages(f *testing.F) {
	i, a := NewInitiator(www, &Options{Mech: KRB5, Flags: FlagMutual}), NewAcceptor(nil)
	if err := handshake(i, a); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { i.Close(); a.Close() })
	seed(f)
	for _, inner := range []string{"\x02\x01", "\x01\x01", "\x01\x02", "\x05\x04", "\x02\x01\x11\x00\x10\x00\xff\xff"} {
		inner += "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
		f.Add(uint8(2), []byte(inner))
		f.Add(uint8(2), append([]byte("\x60\x21\x06\x09"+string(KRB5)), inner...))
	}
	msg, assoc := []byte("sixteen bytes it"), []byte("associated")
	f.Fuzz(func(t *testing.T, kind uint8, edits []byte) {
		if heimdal { // which has no messages in parts
			if _, _, err := a.Unwrap(edits); err == nil {
				t.Error("Unwrap opens what nobody has wrapped")
			}
			return
		}
		parts, err := i.WrapIOV([]IOV{{IOVHeader, nil}, {IOVSignOnly, assoc}, {IOVData, msg}, {IOVPadding, nil}, {IOVTrailer, nil}}, kind%2 == 0)
		if err != nil {
			t.Fatal(err)
		}
		token := edit(join(parts), edits)
		if kind%3 == 2 {
			token = edits
		}
		for n := range parts {
			if int(kind/4)%len(parts) == n {
				parts[n].Data = edit(parts[n].Data, edits)
			}
		}
		check := func(got []byte, err error) {
			t.Helper()
			if err == nil && !bytes.Equal(got, msg) {
				t.Errorf("%x came out", got)
			}
		}
		opened, _, err := a.UnwrapIOV(parts)
		check(part(opened, IOVData), err)
		opened, _, err = a.UnwrapIOV([]IOV{{IOVStream, token}, {IOVSignOnly, assoc}, {IOVData, nil}})
		check(part(opened, IOVData), err)
		got, _, err := a.UnwrapAEAD(assoc, token)
		check(got, err)
		_, _, err = a.Unwrap(token)
		if err == nil {
			t.Error("Unwrap opens what has more to sign")
		}
		a.UnwrapIOV([]IOV{{IOVHeader, token}, {IOVSignOnly, assoc}, {IOVData, msg}})
		a.VerifyMICIOV([]IOV{{IOVData, msg}, {IOVMICToken, token}})
		a.ProcessToken(token)
	})
}

package gssapi

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// join is the token that the parts make: all but what is only signed.
func join(iov []IOV) []byte {
	var b []byte
	for _, v := range iov {
		if v.Type != IOVSignOnly {
			b = append(b, v.Data...)
		}
	}
	return b
}

// part returns the contents of the first part of a type.
func part(iov []IOV, typ IOVType) []byte {
	n := slices.IndexFunc(iov, func(v IOV) bool { return v.Type == typ })
	if n < 0 {
		return nil
	}
	return iov[n].Data
}

// pairs calls f with an established context in both directions, raw and inside of SPNEGO, with and without encryption.
func pairs(t *testing.T, flags Flags, f func(t *testing.T, from, to *SecContext, confidential bool)) {
	for _, mech := range []OID{KRB5, SPNEGO} {
		for _, confidential := range []bool{false, true} {
			for _, from := range []string{"initiator", "acceptor"} {
				t.Run(fmt.Sprintf("%v from the %s, confidential %v", mech, from, confidential), func(t *testing.T) {
					i, a := pair(t, &Options{Mech: mech, Flags: flags}, nil)
					if from == "acceptor" {
						i, a = a, i
					}
					if heimdal {
						wantNoParts(t, i, confidential)
						return
					}
					f(t, i, a, confidential)
				})
			}
		}
	}
}

// wantNoParts checks that what Heimdal would take for good whatever is changed in it is not there.
func wantNoParts(t *testing.T, c *SecContext, confidential bool) {
	t.Helper()
	iov := []IOV{{IOVHeader, nil}, {IOVData, []byte("data")}, {IOVPadding, nil}, {IOVTrailer, nil}}
	_, wrapped := c.WrapIOV(iov, confidential)
	_, _, unwrapped := c.UnwrapIOV(iov)
	_, signed := c.MICIOV(iov)
	_, verified := c.VerifyMICIOV(iov)
	_, aead := c.WrapAEAD(nil, []byte("data"), confidential)
	_, _, opened := c.UnwrapAEAD(nil, []byte("data"))
	for n, err := range []error{wrapped, unwrapped, signed, verified, aead, opened} {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("call %d: %v", n, err)
		}
	}
}

// same compares what was unwrapped.
func same(t *testing.T, what string, got, want []byte, p Protection, confidential bool, err error) {
	t.Helper()
	if err != nil || !bytes.Equal(got, want) || p != (Protection{Confidential: confidential}) {
		t.Errorf("%s: %q, %+v, %v", what, got, p, err)
	}
}

// Mirrors test_standard_wrap of MIT's t_iov.c, and python-gssapi's test_basic_iov_wrap_unwrap.
func TestIOV(t *testing.T) {
	pairs(t, FlagReplay|FlagSequence|FlagMutual, func(t *testing.T, from, to *SecContext, confidential bool) {
		wrap := func(msg string) []IOV {
			t.Helper()
			// What is in the parts that are made is not looked at.
			in := []IOV{{IOVHeader, nil}, {IOVData, []byte(msg)}, {IOVPadding, []byte("left over")}, {IOVTrailer, nil}}
			out, err := from.WrapIOV(in, confidential)
			if err != nil {
				t.Fatal(err)
			}
			if string(in[1].Data) != msg || string(in[2].Data) != "left over" || in[0].Data != nil {
				t.Error("WrapIOV changed its input")
			}
			if len(out[0].Data) == 0 || len(out[3].Data) == 0 || (string(out[1].Data) == msg) == confidential {
				t.Errorf("%v, confidential %v", out, confidential)
			}
			return out
		}
		const fox = "The quick brown fox jumps over the lazy dog."
		iov := wrap(fox)
		before := join(iov)
		got, p, err := to.UnwrapIOV(iov)
		same(t, "the same parts", part(got, IOVData), []byte(fox), p, confidential, err)
		if !bytes.Equal(join(iov), before) {
			t.Error("UnwrapIOV changed its input")
		}

		msg, p, err := to.Unwrap(join(wrap("by Unwrap")))
		same(t, "Unwrap", msg, []byte("by Unwrap"), p, confidential, err)

		token := join(wrap("in one piece"))
		got, p, err = to.UnwrapIOV([]IOV{{IOVStream, token}, {IOVData, nil}})
		same(t, "a stream", part(got, IOVData), []byte("in one piece"), p, confidential, err)

		token, err = from.Wrap([]byte("!@#"), confidential)
		if err != nil {
			t.Fatal(err)
		}
		before = bytes.Clone(token)
		got, p, err = to.UnwrapIOV([]IOV{{IOVStream, token}, {IOVData, []byte("left over")}})
		same(t, "a stream of Wrap", part(got, IOVData), []byte("!@#"), p, confidential, err)
		if !bytes.Equal(token, before) {
			t.Error("UnwrapIOV changed the caller's token")
		}
		if _, p, err := to.UnwrapIOV([]IOV{{IOVStream, token}, {IOVData, nil}}); err != nil || !p.Duplicate {
			t.Errorf("a second time: %+v, %v", p, err)
		}

		changed := wrap("changed")
		changed[1].Data[0] ^= 1
		if _, _, err := to.UnwrapIOV(changed); !errors.Is(err, ErrBadMIC) {
			t.Errorf("a changed message: %v", err)
		}
	})
}

// Mirrors test_aead of MIT's t_iov.c, and python-gssapi's test_wrap_unwrap_aead.
func TestAEAD(t *testing.T) {
	sign, wrap := []byte("This data is only signed."), []byte("This data is wrapped in its place.")
	pairs(t, FlagReplay|FlagSequence|FlagMutual, func(t *testing.T, from, to *SecContext, confidential bool) {
		parts := func() []IOV {
			t.Helper()
			out, err := from.WrapIOV([]IOV{{IOVHeader, nil}, {IOVSignOnly, sign}, {IOVData, wrap}, {IOVPadding, nil}, {IOVTrailer, nil}}, confidential)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out[1].Data, sign) || bytes.Equal(out[2].Data, wrap) == confidential {
				t.Errorf("%v, confidential %v", out, confidential)
			}
			return out
		}
		got, p, err := to.UnwrapIOV(parts())
		same(t, "the same parts", part(got, IOVData), wrap, p, confidential, err)

		msg, p, err := to.UnwrapAEAD(sign, join(parts()))
		same(t, "UnwrapAEAD", msg, wrap, p, confidential, err)

		got, p, err = to.UnwrapIOV([]IOV{{IOVStream, join(parts())}, {IOVSignOnly, sign}, {IOVData, nil}})
		same(t, "a stream", part(got, IOVData), wrap, p, confidential, err)

		token, err := from.WrapAEAD(sign, wrap, confidential)
		if err != nil {
			t.Fatal(err)
		}
		got, p, err = to.UnwrapIOV([]IOV{{IOVStream, token}, {IOVSignOnly, sign}, {IOVData, nil}})
		same(t, "a stream of WrapAEAD", part(got, IOVData), wrap, p, confidential, err)
		if !bytes.Equal(part(got, IOVSignOnly), sign) {
			t.Errorf("what is only signed: %q", part(got, IOVSignOnly))
		}

		for _, assoc := range [][]byte{nil, {}, []byte("x"), bytes.Repeat([]byte("long "), 1000)} {
			token, err := from.WrapAEAD(assoc, wrap, confidential)
			if err != nil {
				t.Fatal(err)
			}
			before := bytes.Clone(token)
			if _, _, err := to.UnwrapAEAD(append([]byte("y"), assoc...), token); !errors.Is(err, ErrBadMIC) {
				t.Errorf("other data: %v", err)
			}
			msg, p, err := to.UnwrapAEAD(assoc, token)
			same(t, "both of AEAD", msg, wrap, p, confidential, err)
			if !bytes.Equal(token, before) {
				t.Error("UnwrapAEAD changed the caller's token")
			}
		}
		token, err = from.WrapAEAD(sign, nil, confidential)
		if err != nil {
			t.Fatal(err)
		}
		msg, p, err = to.UnwrapAEAD(sign, token)
		same(t, "no message", msg, nil, p, confidential, err)
	})
	_, a := pair(t, nil, nil)
	for _, empty := range [][]byte{nil, {}} {
		if _, _, err := a.UnwrapAEAD(sign, empty); !errors.Is(err, ErrDefectiveToken) {
			t.Errorf("an empty token: %v", err)
		}
	}
}

// Mirrors test_mic of MIT's t_iov.c, and python-gssapi's test_get_mic_iov and test_verify_mic_iov.
func TestMICIOV(t *testing.T) {
	pairs(t, FlagReplay|FlagSequence|FlagMutual, func(t *testing.T, from, to *SecContext, _ bool) {
		in := []IOV{{IOVData, []byte("Data and sign-only ")}, {IOVSignOnly, []byte("parts are all ")}, {IOVSignOnly, []byte("the same to it")}, {IOVMICToken, nil}}
		whole := []byte("Data and sign-only parts are all the same to it")
		signed, err := from.MICIOV(in)
		if err != nil {
			t.Fatal(err)
		}
		if in[3].Data != nil || len(signed[3].Data) == 0 || !bytes.Equal(signed[0].Data, in[0].Data) {
			t.Errorf("%v", signed)
		}
		p, err := to.VerifyMICIOV(signed)
		same(t, "the same parts", nil, nil, p, false, err)

		if signed, err = from.MICIOV(in); err != nil {
			t.Fatal(err)
		}
		p, err = to.VerifyMIC(whole, signed[3].Data)
		same(t, "VerifyMIC", nil, nil, p, false, err)

		mic, err := from.MIC(whole)
		if err != nil {
			t.Fatal(err)
		}
		in[3].Data = mic
		p, err = to.VerifyMICIOV(in)
		same(t, "a signature of MIC", nil, nil, p, false, err)
		if p, err := to.VerifyMICIOV(in); err != nil || !p.Duplicate {
			t.Errorf("a second time: %+v, %v", p, err)
		}
		in[1].Data = []byte("parts are not ")
		if _, err := to.VerifyMICIOV(in); !errors.Is(err, ErrBadMIC) {
			t.Errorf("a changed message: %v", err)
		}
	})
}

// Mirrors test_dce of MIT's t_iov.c. Its handshake has the third leg of DCE.
func TestIOVDCE(t *testing.T) {
	pairs(t, FlagReplay|FlagSequence|FlagDCEStyle, func(t *testing.T, from, to *SecContext, confidential bool) {
		wrap := []byte("Sixteen bytes, and 16 bytes more")
		in := []IOV{{IOVSignOnly, []byte("signed first")}, {IOVData, wrap}, {IOVSignOnly, []byte("signed second")}, {IOVHeader, nil}}
		out, err := from.WrapIOV(in, confidential)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out[0].Data, in[0].Data) || !bytes.Equal(out[2].Data, in[2].Data) || bytes.Equal(out[1].Data, wrap) == confidential || len(out[3].Data) == 0 {
			t.Errorf("%v, confidential %v", out, confidential)
		}
		got, p, err := to.UnwrapIOV(out)
		same(t, "DCE", part(got, IOVData), wrap, p, confidential, err)
		out[2].Data = []byte("signed Second")
		if _, _, err := to.UnwrapIOV(out); !errors.Is(err, ErrBadMIC) {
			t.Errorf("a changed part: %v", err)
		}
	})
}

// Parts that are none do not get to the library, which would abort the process, or free what is not its own.
func TestIOVRefused(t *testing.T) {
	i, a := pair(t, &Options{Flags: FlagMutual}, nil)
	data := IOV{IOVData, []byte("data")}
	token, err := i.Wrap([]byte("data"), true)
	if err != nil {
		t.Fatal(err)
	}
	for name, iov := range map[string][]IOV{
		"nothing":        nil,
		"allocated":      {{IOVHeader | 0x20000, []byte("Go's")}, data},
		"to allocate":    {{IOVHeader | 0x10000, nil}, data},
		"an unknown one": {{13, nil}, data},
		"no header":      {data},
		"two headers":    {{IOVHeader, nil}, {IOVHeader, nil}, data},
		"empty ones":     {{IOVHeader, nil}, {IOVData, nil}, {IOVTrailer, nil}, {IOVMICToken, nil}, {IOVStream, nil}},
		"two streams":    {{IOVStream, token}, {IOVStream, token}, data},
		"two messages":   {{IOVStream, token}, data, data},
		"no message":     {{IOVStream, token}},
	} {
		_, wrapped := a.WrapIOV(iov, true)
		_, _, unwrapped := a.UnwrapIOV(iov)
		_, signed := a.MICIOV(iov)
		_, verified := a.VerifyMICIOV(iov)
		for n, err := range []error{wrapped, unwrapped, signed, verified} {
			if err == nil {
				t.Errorf("%s: call %d takes it", name, n)
			}
		}
	}
	stream := []IOV{{IOVStream, token}, data, {IOVHeader, nil}, {IOVMICToken, nil}}
	_, wrapped := a.WrapIOV(stream, true)
	_, signed := a.MICIOV(stream)
	_, verified := a.VerifyMICIOV(stream)
	for n, err := range []error{wrapped, signed, verified} {
		if err == nil {
			t.Errorf("call %d takes a stream", n)
		}
	}
	if msg, _, err := a.Unwrap(token); err != nil || string(msg) != "data" {
		t.Errorf("afterwards: %q, %v", msg, err)
	}
}

// Wrap tokens with a header that is too short, of every length, and with lengths inside that are wrong. Mirrors
// test_bogus_1964_token, test_short_header and test_short_header_iov of MIT's t_invalid.c.
func TestMalformedMessages(t *testing.T) {
	i, a := pair(t, &Options{Mech: KRB5, Flags: FlagMutual}, nil)
	frame := func(inner string) []byte {
		b := append([]byte{0x60, byte(len(inner) + 2 + len(KRB5)), 6, byte(len(KRB5))}, KRB5...)
		return append(b, inner...)
	}
	zeros := strings.Repeat("\x00", 16)
	tokens := map[string][]byte{
		"unframed, RFC 1964":    []byte("\x02\x01\x11\x00\xff\xff\xff\xff" + zeros),
		"sign, RFC 1964":        frame("\x02\x01\x11\x00\xff\xff\xff\xff" + zeros),
		"MIC, RFC 1964":         frame("\x01\x01\x11\x00\xff\xff\xff\xff" + zeros),
		"deletion, RFC 1964":    frame("\x01\x02\x11\x00\xff\xff\xff\xff" + zeros),
		"seal, two bytes":       frame("\x02\x01"),
		"MIC, two bytes":        frame("\x01\x01"),
		"seal, sixteen":         frame("\x02\x01\x11\x00\x10\x00\xff\xff" + zeros[:8]),
		"no mechanism's":        []byte("\x60\x40\x06\x09"),
		"length without end":    []byte("\x60\x84"),
		"long length":           []byte("\x60\x84\xff\xff\xff\xff\x06\x09"),
		"RFC 4121, rotated far": []byte("\x05\x04\x07\xff\x00\x00\xff\xff" + zeros),
		"RFC 4121, long filler": []byte("\x05\x04\x07\xff\xff\xff\x00\x1c" + zeros + zeros),
		"RFC 4121, MIC":         []byte("\x04\x04\x05\xff\xff\xff\xff\xff" + zeros),
	}
	sealed, err := i.Wrap([]byte("a message"), true)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(sealed) {
		tokens[fmt.Sprint("a real one, cut to ", n)] = sealed[:n:n]
	}
	for name, token := range tokens {
		defective := func(call string, err error) {
			t.Helper()
			if heimdal && errors.Is(err, ErrUnavailable) && call != "Unwrap" && call != "VerifyMIC" {
				return
			}
			if !errors.Is(err, ErrDefectiveToken) && !errors.Is(err, ErrBadMIC) && !errors.Is(err, ErrFailure) {
				t.Errorf("%s: %s: %v", name, call, err)
			}
		}
		_, _, err := a.Unwrap(token)
		defective("Unwrap", err)
		_, err = a.VerifyMIC(nil, token)
		defective("VerifyMIC", err)
		_, _, err = a.UnwrapAEAD([]byte("x"), token)
		defective("UnwrapAEAD", err)
		for _, rest := range [][]IOV{nil, {{IOVData, []byte("data")}}, {{IOVData, []byte("data")}, {IOVPadding, nil}, {IOVTrailer, []byte("trailer")}},
			{{IOVData, bytes.Repeat([]byte("x"), 1<<16)}, {IOVTrailer, nil}}} {
			_, _, err = a.UnwrapIOV(append([]IOV{{IOVHeader, token}}, rest...))
			defective("UnwrapIOV", err)
			_, err = a.VerifyMICIOV(append([]IOV{{IOVMICToken, token}}, rest...))
			defective("VerifyMICIOV", err)
		}
		_, _, err = a.UnwrapIOV([]IOV{{IOVStream, token}, {IOVData, nil}})
		defective("UnwrapIOV of a stream", err)
		defective("ProcessToken", a.ProcessToken(token))
	}
	if msg, _, err := a.Unwrap(sealed); err != nil || string(msg) != "a message" {
		t.Errorf("afterwards: %q, %v", msg, err)
	}
}

// A signature that somebody without the key has changed in its filler is refused, and nothing else happens.
func TestMICFiller(t *testing.T) {
	i, a := pair(t, &Options{Mech: KRB5, Flags: FlagMutual}, nil)
	msg := []byte("a message")
	mic, err := i.MIC(msg)
	if err != nil {
		t.Fatal(err)
	}
	for at := range 8 {
		for _, v := range []byte{0, 1, 0xfe} {
			token := append([]byte{}, mic...)
			token[at] = v
			if token[at] == mic[at] {
				continue
			}
			if _, err := a.VerifyMICIOV([]IOV{{IOVData, msg}, {IOVMICToken, token}}); err == nil {
				t.Errorf("byte %d is %#x: verified", at, v)
			}
		}
	}
	if _, err := a.VerifyMICIOV([]IOV{{IOVData, msg}, {IOVMICToken, mic}}); err != nil != heimdal {
		t.Error(err)
	}
}

package gssapi

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// The encryption types of old, in a realm and a process of their own. Mirrors the cases of MIT's t_enctypes.py that have
// tokens of RFC 1964, t_iov.c and t_invalid.c with those types.
func TestRFC1964(t *testing.T) {
	old := sessionRealm(t, map[string]string{"www": "arcfour-hmac"})
	if out := child(t, "rfc1964", old.Env()...); out != "good\n" {
		t.Error(out)
	}
}

func init() {
	children["rfc1964"] = func() {
		if err := rfc1964(); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("good")
	}
}

func rfc1964() error {
	i, a := NewInitiator(www, &Options{Mech: KRB5, Flags: FlagReplay | FlagSequence}), NewAcceptor(nil)
	if err := handshake(i, a); err != nil {
		return err
	}
	for n, confidential := range []bool{false, true, false, true}[:either(4, 2)] { // without mutual authentication Heimdal takes none of the acceptor's
		from, to := i, a
		if n > 1 {
			from, to = a, i
		}
		msg := []byte("a message")
		token, err := from.Wrap(msg, confidential)
		if err != nil {
			return err
		}
		if got, p, err := to.Unwrap(token); err != nil || !bytes.Equal(got, msg) || p.Confidential != confidential {
			return fmt.Errorf("%q, %+v, %v", got, p, err)
		}
		if err := rfc1964Parts(from, to, msg, confidential); err != nil && !heimdal {
			return err
		}
		for n := range token {
			if _, _, err := to.UnwrapIOV([]IOV{{IOVStream, token[:n:n]}, {IOVData, nil}}); err == nil {
				return fmt.Errorf("a stream of %d bytes of %d is good", n, len(token))
			}
			if _, _, err := to.UnwrapIOV([]IOV{{IOVHeader, token[:n:n]}}); err == nil {
				return fmt.Errorf("a header of %d bytes of %d is good", n, len(token))
			}
			if _, _, err := to.Unwrap(token[:n:n]); err == nil {
				return fmt.Errorf("%d bytes of %d are good", n, len(token))
			}
		}
	}
	if _, enctype, err := i.SessionKey(); err != nil || enctype != either[int32](23, 0) {
		return fmt.Errorf("session key of enctype %d, %v", enctype, err)
	}
	l, err := a.ExportLucid()
	if err != nil || l.Protocol != 0 || l.Key.Enctype != 23 || len(l.Key.Data) != 16 || len(l.AcceptorSubkey.Data) != 0 || l.SignAlg != 0x11 || l.SealAlg != 0x10 {
		return fmt.Errorf("%v, algorithms %#x and %#x, %v", l, l.SignAlg, l.SealAlg, err)
	}
	if heimdal { // which has no ProcessToken
		return i.Close()
	}
	// Mirrors t_pcontok.c of MIT: the acceptor says that it has deleted the context.
	if err := i.ProcessToken(deletion(l)); err != nil {
		return err
	}
	if _, err := i.Wrap([]byte("x"), true); !errors.Is(err, ErrNoContext) {
		return fmt.Errorf("after the deletion: %v", err)
	}
	return i.Close()
}

func rfc1964Parts(from, to *SecContext, msg []byte, confidential bool) error {
	assoc := []byte("associated")
	token, err := from.WrapAEAD(assoc, msg, confidential)
	if err != nil {
		return err
	}
	if got, p, err := to.UnwrapAEAD(assoc, token); err != nil || !bytes.Equal(got, msg) || p.Confidential != confidential {
		return fmt.Errorf("AEAD: %q, %+v, %v", got, p, err)
	}
	if token, err = from.Wrap(msg, confidential); err != nil {
		return err
	}
	got, p, err := to.UnwrapIOV([]IOV{{IOVStream, token}, {IOVData, nil}})
	if err != nil || !bytes.Equal(part(got, IOVData), msg) || p.Confidential != confidential {
		return fmt.Errorf("a stream: %v, %+v, %v", got, p, err)
	}
	wrapped, err := from.WrapIOV([]IOV{{IOVHeader, nil}, {IOVData, msg}, {IOVPadding, nil}, {IOVTrailer, nil}}, confidential)
	if err != nil {
		return err
	}
	got, p, err = to.UnwrapIOV(wrapped)
	if err != nil || !bytes.Equal(part(got, IOVData), msg) || p.Confidential != confidential {
		return fmt.Errorf("parts: %v, %+v, %v", got, p, err)
	}
	return nil
}

// deletion makes the token of RFC 1964 section 1.2.3 with the checksum of RFC 4757 section 7.2, in the acceptor's name.
func deletion(l *Lucid) []byte {
	mac := func(key []byte, data ...[]byte) []byte {
		h := hmac.New(md5.New, key)
		for _, d := range data {
			h.Write(d)
		}
		return h.Sum(nil)
	}
	header := []byte("\x01\x02\x11\x00\xff\xff\xff\xff")
	sum := md5.Sum(append([]byte{15, 0, 0, 0}, header...))
	checksum := mac(mac(l.Key.Data, []byte("signaturekey\x00")), sum[:])[:8]
	seq := append(binary.BigEndian.AppendUint32(nil, uint32(l.SendSeq)), 0xff, 0xff, 0xff, 0xff)
	stream, err := rc4.NewCipher(mac(mac(l.Key.Data, make([]byte, 4)), checksum))
	if err != nil {
		panic(err)
	}
	stream.XORKeyStream(seq, seq)
	inner := slices.Concat(header, seq, checksum)
	return slices.Concat([]byte{0x60, byte(len(inner) + 2 + len(KRB5)), 6, byte(len(KRB5))}, []byte(KRB5), inner)
}

package krbtest

import (
	"context"
	"crypto/rand"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

const (
	// proofs is how many answers over each of UDP and TCP prove that a KDC is
	// alone on its port. When two KDCs share a port the kernel chooses one by
	// the source port, so that the other one stays unseen in one start of 2^16.
	proofs = 8

	// probeInterval is the pause after a KDC has not answered.
	probeInterval = 2 * time.Millisecond

	// probeTimeout bounds one exchange; the answer is lost, or the other side
	// is not a KDC.
	probeTimeout = time.Second
)

// errForeign is the cause of a failed start when something else answers.
var errForeign = errors.New("another server answers on this port")

// A probe asks a KDC for a ticket for a principal that exists in the database
// of one realm only, so that the answer tells whose KDC it is.
type probe struct {
	realm     string
	principal string // of two components
}

func newProbe(realm string) probe {
	return probe{realm: realm, principal: "krbtest/" + strings.ToLower(rand.Text())}
}

// prove returns nil when the KDC at addr has proven to be the one of the realm
// over UDP and TCP, several times. It waits for a KDC that is just starting,
// until ctx ends or the KDC, which ends running.
func (p probe) prove(ctx, running context.Context, addr string) error {
	// Also ends a wait for somebody else who has the port and says nothing.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(running, cancel)()

	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for n := 0; n < proofs; {
		// TCP first: it is refused at once while nobody listens.
		err := p.ask(ctx, "tcp", addr)
		if err == nil {
			err = p.ask(ctx, "udp", addr)
		}
		if err == nil {
			n++
			continue
		}
		if errors.Is(err, errForeign) {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if running.Err() != nil {
				return errEnded
			}
			return fmt.Errorf("no answer (%v): %w", err, ctx.Err())
		}
	}
	if running.Err() != nil {
		return errEnded // only a KDC that still runs has proven anything
	}
	return nil
}

// ask makes one exchange. It returns nil if the KDC knows the principal,
// errForeign if it does not, and another error if there was no answer.
func (p probe) ask(ctx context.Context, network, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	// Ends the exchange when ctx does.
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	request := p.request()
	if network == "tcp" {
		request = slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request)
	}
	if _, err := c.Write(request); err != nil {
		return err
	}
	answer := make([]byte, 64<<10)
	if network == "tcp" {
		if _, err := io.ReadFull(c, answer[:4]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(answer)
		if n > uint32(len(answer)) {
			return fmt.Errorf("%w: not a KDC", errForeign)
		}
		answer = answer[:n]
		if _, err := io.ReadFull(c, answer); err != nil {
			return err
		}
	} else {
		n, err := c.Read(answer)
		if err != nil {
			return err
		}
		answer = answer[:n]
	}
	return checkAnswer(answer)
}

// Message types and error codes of RFC 4120.
const (
	msgASReq    = 10
	msgASRep    = 11
	msgKrbError = 30

	errPreauthRequired = 25
)

// request returns an AS-REQ of RFC 4120, section 5.4.1, without
// pre-authentication. The random nonce keeps the KDC from answering a repeated
// request without looking.
func (p probe) request() []byte {
	nonce := make([]byte, 4)
	_, _ = rand.Read(nonce) // never fails
	nonce[0] &= 0x7f        // a positive INTEGER
	nonce[0] |= 0x40        // of four bytes
	prefix, suffix, _ := strings.Cut(p.principal, "/")
	body := sequence(
		field(0, primitive(asn1.TagBitString, make([]byte, 5))), // no KDC options
		field(1, name(1, prefix, suffix)),
		field(2, generalString(p.realm)),
		field(3, name(2, "krbtgt", p.realm)),
		field(5, primitive(asn1.TagGeneralizedTime, []byte("19700101000000Z"))), // as long as may be
		field(7, primitive(asn1.TagInteger, nonce)),
		field(8, sequence(integer(18), integer(17))), // AES-256, AES-128
	)
	return der(asn1.ClassApplication, msgASReq, true, sequence(
		field(1, integer(5)),
		field(2, integer(msgASReq)),
		field(4, body),
	))
}

// checkAnswer tells whether an answer shows that the KDC knows the principal.
func checkAnswer(b []byte) error {
	var msg, seq, f asn1.RawValue
	if _, err := asn1.Unmarshal(b, &msg); err != nil || msg.Class != asn1.ClassApplication {
		return fmt.Errorf("%w: not a KDC", errForeign)
	}
	switch msg.Tag {
	case msgASRep:
		return nil
	case msgKrbError:
	default:
		return fmt.Errorf("%w: Kerberos message type %d", errForeign, msg.Tag)
	}
	if _, err := asn1.Unmarshal(msg.Bytes, &seq); err != nil {
		return fmt.Errorf("%w: not a KDC", errForeign)
	}
	for rest := seq.Bytes; len(rest) > 0; {
		var err error
		if rest, err = asn1.Unmarshal(rest, &f); err != nil {
			break
		}
		var code int
		if f.Tag != 6 { // error-code
			continue
		}
		if _, err := asn1.Unmarshal(f.Bytes, &code); err != nil {
			break
		}
		if code == errPreauthRequired {
			return nil
		}
		return fmt.Errorf("%w: Kerberos error %d", errForeign, code)
	}
	return fmt.Errorf("%w: not a KDC", errForeign)
}

// The encoding is made by hand because package asn1 has no GeneralString, of
// which all names of Kerberos are.

func der(class, tag int, compound bool, content []byte) []byte {
	// A RawValue that has its content cannot fail to be written.
	b, _ := asn1.Marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: compound, Bytes: content})
	return b
}

func primitive(tag int, content []byte) []byte {
	return der(asn1.ClassUniversal, tag, false, content)
}

func sequence(elements ...[]byte) []byte {
	return der(asn1.ClassUniversal, asn1.TagSequence, true, slices.Concat(elements...))
}

// field is an element with an explicit tag.
func field(n int, content []byte) []byte { return der(asn1.ClassContextSpecific, n, true, content) }

// integer is a small positive INTEGER.
func integer(n byte) []byte { return primitive(asn1.TagInteger, []byte{n}) }

func generalString(s string) []byte { return primitive(asn1.TagGeneralString, []byte(s)) }

func name(nameType byte, components ...string) []byte {
	var list []byte
	for _, c := range components {
		list = append(list, generalString(c)...)
	}
	return sequence(field(0, integer(nameType)), field(1, sequence(list)))
}

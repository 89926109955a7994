package main

import (
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What a check says to a KDC itself, and reads in the clear part of a token: messages of RFC 4120. Package asn1 has no
// GeneralString, of which all names of Kerberos are, so they are put together here.

// Types of messages and names, and codes of errors.
const (
	krbASReq = 10
	krbASRep = 11
	krbAPReq = 14
	krbError = 30

	nameUser    = 1
	nameService = 2

	krbClientUnknown  = 6
	krbServiceUnknown = 7
	krbWrongRealm     = 68
)

// asRequest is an AS-REQ without pre-authentication, section 5.4.1: what kinit sends before it asks for a password.
func asRequest(client, service, realm string) []byte {
	nonce := make([]byte, 4)
	_, _ = rand.Read(nonce)         // never fails
	nonce[0] = nonce[0]&0x3f | 0x40 // a positive INTEGER of four bytes
	body := derSequence(
		derField(0, der(asn1.TagBitString, make([]byte, 5))), // no options
		derField(1, derName(nameUser, client)),
		derField(2, derString(realm)),
		derField(3, derName(nameService, service)),
		derField(5, der(asn1.TagGeneralizedTime, []byte("19700101000000Z"))), // as long as may be
		derField(7, der(asn1.TagInteger, nonce)),
		derField(8, derSequence(derInt(18), derInt(17), derInt(20), derInt(19), derInt(23))),
	)
	return derTagged(asn1.ClassApplication, krbASReq, derSequence(
		derField(1, derInt(5)), derField(2, derInt(krbASReq)), derField(4, body)))
}

// kdcAnswer is what a KDC says to that.
type kdcAnswer struct {
	code int       // of a KRB-ERROR; zero: it is an AS-REP
	time time.Time // the KDC's; zero: an AS-REP does not tell
}

var errNoKDC = errors.New("what answers there is no KDC")

// readAnswer reads an AS-REP or a KRB-ERROR, section 5.9.1.
func readAnswer(b []byte) (a kdcAnswer, err error) {
	var msg asn1.RawValue
	if _, err := asn1.Unmarshal(b, &msg); err != nil || msg.Class != asn1.ClassApplication {
		return a, errNoKDC
	}
	if msg.Tag == krbASRep {
		return a, nil
	}
	fields, ok := derFields(msg.Bytes)
	if msg.Tag != krbError || !ok {
		return a, errNoKDC
	}
	var micros int
	if _, err := asn1.Unmarshal(fields[4], &a.time); err != nil {
		return a, errNoKDC
	}
	if _, err := asn1.Unmarshal(fields[6], &a.code); err != nil {
		return a, errNoKDC
	}
	if _, err := asn1.Unmarshal(fields[5], &micros); err == nil {
		a.time = a.time.Add(time.Duration(micros) * time.Microsecond)
	}
	return a, nil
}

// serviceTicket is what stands outside of the encrypted part of a ticket, section 5.3.
type serviceTicket struct {
	service    string // HTTP/www.example.com@EXAMPLE.COM
	encryption string
	kvno       int // of the service's key; zero: not told
}

// readTicket finds the ticket in a token of Kerberos, RFC 4121 section 4.1.
func readTicket(token []byte) (t *serviceTicket, ok bool) {
	var outer, oid, req asn1.RawValue
	if _, err := asn1.Unmarshal(token, &outer); err != nil || outer.Class != asn1.ClassApplication || outer.Tag != 0 {
		return nil, false
	}
	rest, err := asn1.Unmarshal(outer.Bytes, &oid)
	if err != nil || len(rest) < 2 { // the token's type stands before the message
		return nil, false
	}
	if _, err := asn1.Unmarshal(rest[2:], &req); err != nil || req.Class != asn1.ClassApplication || req.Tag != krbAPReq {
		return nil, false
	}
	apReq, ok := derFields(req.Bytes)
	if !ok {
		return nil, false
	}
	var msg asn1.RawValue
	if _, err := asn1.Unmarshal(apReq[3], &msg); err != nil {
		return nil, false
	}
	ticket, ok1 := derFields(msg.Bytes)
	part, ok2 := derFields(ticket[3])
	name, ok3 := derFields(ticket[2])
	if !ok1 || !ok2 || !ok3 {
		return nil, false
	}
	t = new(serviceTicket)
	var parts, realm asn1.RawValue
	var encryption int
	_, err1 := asn1.Unmarshal(name[1], &parts)
	_, err2 := asn1.Unmarshal(ticket[1], &realm)
	_, err3 := asn1.Unmarshal(part[0], &encryption)
	if errors.Join(err1, err2, err3) != nil {
		return nil, false
	}
	var components []string
	for b := parts.Bytes; len(b) > 0; {
		var s asn1.RawValue
		if b, err = asn1.Unmarshal(b, &s); err != nil {
			return nil, false
		}
		components = append(components, string(s.Bytes))
	}
	if _, err := asn1.Unmarshal(part[1], &t.kvno); err != nil {
		t.kvno = 0 // it is optional
	}
	t.service = strings.Join(components, "/") + "@" + string(realm.Bytes)
	t.encryption = encryptionName(encryption)
	return t, true
}

// encryptionName is libkrb5's name of a type.
func encryptionName(n int) string {
	names := map[int]string{16: "des3-cbc-sha1", 17: "aes128-cts-hmac-sha1-96", 18: "aes256-cts-hmac-sha1-96",
		19: "aes128-cts-hmac-sha256-128", 20: "aes256-cts-hmac-sha384-192", 23: "arcfour-hmac", 25: "camellia128-cts-cmac", 26: "camellia256-cts-cmac"}
	if name, ok := names[n]; ok {
		return name
	}
	return fmt.Sprintf("encryption type %d", n)
}

// derFields are the elements of a sequence by their explicit tags.
func derFields(b []byte) (fields map[int][]byte, ok bool) {
	var seq asn1.RawValue
	if _, err := asn1.Unmarshal(b, &seq); err != nil || seq.Tag != asn1.TagSequence {
		return nil, false
	}
	fields = make(map[int][]byte)
	for b := seq.Bytes; len(b) > 0; {
		var f asn1.RawValue
		var err error
		if b, err = asn1.Unmarshal(b, &f); err != nil {
			return nil, false
		}
		fields[f.Tag] = f.Bytes
	}
	return fields, true
}

func derTagged(class, tag int, content []byte) []byte {
	// A RawValue that has its content cannot fail to be written.
	b, _ := asn1.Marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: content})
	return b
}

func der(tag int, content []byte) []byte {
	b, _ := asn1.Marshal(asn1.RawValue{Tag: tag, Bytes: content})
	return b
}

func derSequence(elements ...[]byte) []byte {
	return derTagged(asn1.ClassUniversal, asn1.TagSequence, slices.Concat(elements...))
}

func derField(n int, content []byte) []byte { return derTagged(asn1.ClassContextSpecific, n, content) }

// derInt is a small positive INTEGER.
func derInt(n byte) []byte { return der(asn1.TagInteger, []byte{n}) }

func derString(s string) []byte { return der(asn1.TagGeneralString, []byte(s)) }

func derName(nameType byte, name string) []byte {
	var parts []byte
	for part := range strings.SplitSeq(name, "/") {
		parts = append(parts, derString(part)...)
	}
	return derSequence(derField(0, derInt(nameType)), derField(1, derSequence(parts)))
}

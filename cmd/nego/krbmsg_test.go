package main

import (
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
)

// What comes from the network, or is no message of Kerberos at all, is an error and no panic, wherever it is cut.
func TestReadMessages(t *testing.T) {
	stime := der(asn1.TagGeneralizedTime, []byte("20260102030405Z"))
	answer := derTagged(asn1.ClassApplication, krbError, derSequence(
		derField(0, derInt(5)), derField(1, derInt(krbError)), derField(4, stime), derField(5, derInt(7)), derField(6, derInt(25))))
	a, err := readAnswer(answer)
	if err != nil || a.code != 25 || a.time.UTC().Format("15:04:05.000000") != "03:04:05.000007" {
		t.Errorf("%+v, %v", a, err)
	}
	ticket := derTagged(asn1.ClassApplication, 1, derSequence(
		derField(0, derInt(5)), derField(1, derString("NEGO.TEST")), derField(2, derName(nameService, "HTTP/www.nego.test")),
		derField(3, derSequence(derField(0, derInt(18)), derField(1, derInt(3)), derField(2, der(asn1.TagOctetString, []byte("sealed")))))))
	request := derTagged(asn1.ClassApplication, krbAPReq, derSequence(
		derField(0, derInt(5)), derField(1, derInt(krbAPReq)), derField(3, ticket)))
	token := derTagged(asn1.ClassApplication, 0, []byte("\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00"+string(request)))
	got, ok := readTicket(token)
	if want := (serviceTicket{"HTTP/www.nego.test@NEGO.TEST", "aes256-cts-hmac-sha1-96", 3}); !ok || *got != want {
		t.Errorf("%+v", got)
	}
	for n := range answer {
		if _, err := readAnswer(answer[:n]); !errors.Is(err, errNoKDC) {
			t.Errorf("%d bytes of an answer: %v", n, err)
		}
	}
	for n := range token {
		if _, ok := readTicket(token[:n]); ok {
			t.Errorf("%d bytes of a token are one", n)
		}
	}
}

func FuzzReadMessages(f *testing.F) {
	f.Add([]byte("\x7e\x03\x30\x01\x00"))
	f.Add(asRequest("user", "krbtgt/NEGO.TEST", "NEGO.TEST"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = readAnswer(b)
		if got, ok := readTicket(b); ok && !strings.Contains(got.service, "@") {
			t.Errorf("%+v", got)
		}
	})
}

func TestParseKDC(t *testing.T) {
	for text, want := range map[string]string{
		"kdc.nego.test":          "kdc.nego.test:88 tcp udp",
		"kdc.nego.test:750":      "kdc.nego.test:750 tcp udp",
		"tcp/kdc.nego.test":      "kdc.nego.test:88 tcp",
		"udp/[::1]:750":          "[::1]:750 udp",
		"::1":                    "[::1]:88 tcp udp",
		"[::1]":                  "[::1]:88 tcp udp",
		"https://kdc/KdcProxy":   "",
		"/run/krb5kdc.sock":      "",
		"https://kdc.test:44/KP": "",
	} {
		k := parseKDC(text)
		if got := strings.TrimSpace(k.addr + " " + strings.Join(k.over, " ")); got != want || k.text != text || (k.err == nil) == (want == "") {
			t.Errorf("%s: %q, want %q (%v)", text, got, want, k.err)
		}
	}
}

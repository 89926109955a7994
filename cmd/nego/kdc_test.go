package main

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/nego-sso/nego/gssapi"
	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer answers questions for SRV records, on loopback, and returns a resolver that asks it.
func dnsServer(t *testing.T, records map[string][]dnsmessage.SRVResource) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return // the test is over
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Header.Response, m.Additionals = true, nil
			found := records[q.Name.String()]
			if len(found) == 0 {
				m.Header.RCode = dnsmessage.RCodeNameError
			}
			for i := range found {
				m.Answers = append(m.Answers, dnsmessage.Resource{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeSRV, Class: dnsmessage.ClassINET}, Body: &found[i]})
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestLocate(t *testing.T) {
	one := dnsmessage.SRVResource{Priority: 1, Port: 88, Target: dnsmessage.MustNewName("one.nego.test.")}
	two := dnsmessage.SRVResource{Priority: 2, Port: 750, Target: dnsmessage.MustNewName("two.nego.test.")}
	dns := dnsServer(t, map[string][]dnsmessage.SRVResource{
		"_kerberos._udp.DNS.TEST.": {one},
		"_kerberos._tcp.DNS.TEST.": {one, two},
	})
	named := []gssapi.Realm{{Name: "CONF.TEST", KDCs: []string{"tcp/kdc.conf.test"}}, {Name: "DNS.TEST"}}
	for _, v := range []struct {
		realm  string
		lookUp bool
		want   string
	}{
		{"CONF.TEST", true, "krb5.conf: kdc.conf.test:88 [tcp]"},
		{"DNS.TEST", true, "DNS: one.nego.test:88 [udp tcp], two.nego.test:750 [tcp]"},
		{"DNS.TEST", false, "krb5.conf:"},
		{"NONE.TEST", true, "DNS:"},
	} {
		r := locate(t.Context(), dns, &gssapi.Config{Realms: named, LookupKDC: v.lookUp}, v.realm)
		got := r.from + ":"
		for i, k := range r.kdcs {
			if i > 0 {
				got += ","
			}
			got += fmt.Sprintf(" %s %v", k.addr, k.over)
		}
		if got != v.want {
			t.Errorf("%s: %s, want %s", v.realm, got, v.want)
		}
	}
}

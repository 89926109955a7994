package gssapi

import (
	"bytes"
	"context"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nego-sso/nego/krbtest"
)

// The numbers of encryption types. Triple DES without Kerberos's framing, as contexts have it, is 6.
const (
	des3    = 16
	aes128  = 17
	aes256  = 18
	arcfour = 23
)

// What the session keys of any.nego.test may be is up to the client, and those of rc4.nego.test are RC4.
var enctypeCases = []struct {
	name                string
	host                string
	initiator, acceptor []int32
	want                string // type of the ticket's own key, of the initiator's subkey, of the acceptor's, and whose tokens; or the error
}{
	{"by default", "any", nil, nil, "18 18 18 RFC 4121"},
	{"initiator has aes128", "any", []int32{aes128}, nil, "18 17 17 RFC 4121"},
	{"both have aes128", "any", []int32{aes128}, []int32{aes128}, "18 17 17 RFC 4121"},
	{"acceptor has aes128", "any", nil, []int32{aes128}, "Encryption type aes256-cts-hmac-sha1-96 not permitted"},
	{"initiator has des3", "any", []int32{des3}, nil, "18 6 0 RFC 1964"},
	{"upgraded by default", "rc4", nil, nil, "18 23 18 RFC 4121"},
	{"initiator refuses rc4", "rc4", []int32{aes256, aes128}, nil, "no support for encryption type"},
	{"initiator would rather have aes128", "rc4", []int32{aes128, arcfour}, nil, "18 23 17 RFC 4121"},
	{"initiator would rather have des3", "rc4", []int32{des3, arcfour}, nil, "18 23 0 RFC 1964"},
	{"acceptor refuses rc4", "rc4", nil, []int32{aes128}, "Encryption type arcfour-hmac not permitted"},
	{"acceptor would rather have aes128", "rc4", nil, []int32{aes128, arcfour}, "18 23 17 RFC 4121"},
	{"no agreement on a better one", "rc4", []int32{aes128, arcfour}, []int32{aes256, arcfour}, "18 23 0 RFC 1964"},
}

// sessionRealm starts a realm that has the old encryption types as well. Each service HTTP/host.nego.test takes these alone for
// the keys of sessions.
func sessionRealm(t *testing.T, types map[string]string) *krbtest.Realm {
	t.Helper()
	r := krbtest.Start(t, &krbtest.Options{Services: []string{},
		ExtraConfig: "[libdefaults]\n allow_weak_crypto = true\n allow_des3 = true\n allow_rc4 = true\n permitted_enctypes = aes camellia des3 rc4\n"})
	for host, types := range types {
		service := "HTTP/" + host + ".nego.test"
		if err := r.AddService(service); err != nil {
			t.Fatal(err)
		}
		if out, err := r.Kadmin("setstr", service, "session_enctypes", types); err != nil {
			t.Fatal(err, out)
		}
	}
	return r
}

// Which keys come of what either side allows. Mirrors t_enctypes.c with its driver, and python-gssapi's
// test_krb5_set_allowable_enctypes.
func TestEnctypesOfSession(t *testing.T) {
	r := sessionRealm(t, map[string]string{"any": "aes256-cts aes128-cts des3-cbc-sha1 arcfour-hmac", "rc4": "arcfour-hmac"})
	lines := strings.Split(child(t, "enctypes", r.Env()...), "\n")
	for n, tc := range enctypeCases {
		want := tc.want
		switch {
		case heimdal && (tc.initiator != nil || tc.acceptor != nil):
			want = ErrUnavailable.Error()
		case heimdal:
			want = "18 18 18 RFC 4121" // it tells the acceptor's subkey twice
		}
		if n >= len(lines) || !strings.Contains(lines[n], want) {
			t.Errorf("%s: %q, want %s", tc.name, lines[min(n, len(lines)-1)], want)
		}
	}
}

func init() {
	children["enctypes"] = func() {
		for _, tc := range enctypeCases {
			got, err := sessionEnctypes(Service("HTTP", tc.host+".nego.test"), tc.initiator, tc.acceptor)
			fmt.Println(got, err)
		}
	}
}

func sessionEnctypes(target Name, initiator, acceptor []int32) (string, error) {
	ctx := context.Background()
	c, err := Acquire(ctx, &CredentialOptions{Private: true, Enctypes: initiator}) // each gets a ticket of its own
	if err != nil {
		return "", err
	}
	defer c.Close()
	k, err := Acquire(ctx, &CredentialOptions{Usage: Accept, Enctypes: acceptor})
	if err != nil {
		return "", err
	}
	defer k.Close()
	i, a := NewInitiator(target, &Options{Credential: c, Mech: KRB5, Flags: FlagReplay | FlagSequence | FlagMutual}), NewAcceptor(&Options{Credential: k})
	token, err := i.Step(ctx, nil)
	if err != nil {
		return "", err
	}
	answer, err := a.Step(ctx, token)
	if err != nil {
		return "", err
	}
	if _, err := i.Step(ctx, answer); err != nil {
		return "", err
	}
	if ssf, err := i.Inquire(KRB5SASLSSF); !heimdal && (err != nil || len(ssf) != 1 || len(ssf[0]) != 4 || binary.BigEndian.Uint32(ssf[0]) < 56 || binary.BigEndian.Uint32(ssf[0]) > 256) {
		return "", fmt.Errorf("strength %x, %v", ssf, err)
	}
	li, err := i.ExportLucid()
	if err != nil {
		return "", err
	}
	la, err := a.ExportLucid()
	if err != nil {
		return "", err
	}
	if li.Protocol != la.Protocol || li.SignAlg != la.SignAlg || li.SealAlg != la.SealAlg || !bytes.Equal(li.Key.Data, la.Key.Data) || !bytes.Equal(li.AcceptorSubkey.Data, la.AcceptorSubkey.Data) {
		return "", errors.New("the two sides differ")
	}
	return fmt.Sprintf("%d %d %d RFC %d", ticketEnctype(token), li.Key.Enctype, li.AcceptorSubkey.Enctype, map[int]int{0: 1964, 1: 4121}[li.Protocol]), nil
}

// ticketEnctype is that of the key that the ticket in a token is encrypted with.
func ticketEnctype(token []byte) (n int) {
	sequence := func(b []byte) []byte { return content(b, asn1.ClassUniversal, asn1.TagSequence) }
	ticket := sequence(content(ticketIn(token), asn1.ClassApplication, 1))
	asn1.Unmarshal(field(sequence(field(ticket, 3)), 0), &n)
	return n
}

package gssapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// Mirrors python-gssapi's test_inquire_sec_context_by_oid.
func TestInquire(t *testing.T) {
	for _, mech := range []OID{KRB5, SPNEGO} {
		i, a := pair(t, &Options{Mech: mech, Flags: FlagMutual}, nil)
		key, enctype, err := i.SessionKey()
		if err != nil || len(key) != 32 || enctype != either[int32](18, 0) {
			t.Fatalf("%v: a key of %d bytes, enctype %d, %v", mech, len(key), enctype, err)
		}
		peer, other, err := a.SessionKey()
		if err != nil || !bytes.Equal(key, peer) || other != enctype {
			t.Errorf("%v: the acceptor's key of %d bytes, enctype %d, %v", mech, len(peer), other, err)
		}
		for _, c := range []*SecContext{i, a} {
			if ssf, err := c.Inquire(KRB5SASLSSF); heimdal && !errors.Is(err, ErrUnavailable) || !heimdal && (err != nil || len(ssf) != 1 || !bytes.Equal(ssf[0], []byte{0, 0, 1, 0})) {
				t.Errorf("%v: SSF %v, %v", mech, ssf, err)
			}
			for _, unknown := range []OID{KRB5, "", OID(strings.Repeat("\x2a", 300)), objectLucid, objectLucid + "\x01"} {
				if got, err := c.Inquire(unknown); !errors.Is(err, ErrUnavailable) || len(got) != 0 {
					t.Errorf("%v, asked for %v: %x, %v", mech, unknown, got, err)
				}
				if err := c.SetOption(unknown, []byte("value")); !errors.Is(err, ErrUnavailable) {
					t.Errorf("%v, option %v: %v", mech, unknown, err)
				}
			}
		}
	}
}

func TestTicketOfContext(t *testing.T) {
	cache, err := ReadCache(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, mech := range []OID{KRB5, SPNEGO} {
		i, a := pair(t, &Options{Mech: mech, Flags: FlagMutual}, nil)
		for side, c := range map[string]*SecContext{"initiator": i, "acceptor": a} {
			got, err := c.Ticket()
			if heimdal && c == i {
				if !errors.Is(err, ErrUnavailable) {
					t.Errorf("%v, %s: %+v, %v", mech, side, got, err)
				}
				continue
			}
			if err != nil || !got.AuthTime.Equal(cache.Tickets[0].AuthTime) {
				t.Errorf("%v, %s: %+v, %v; the user has logged in at %v", mech, side, got, err, cache.Tickets[0].AuthTime)
			}
			if got.Flags&TicketPreAuth != cache.Tickets[0].Flags&TicketPreAuth || got.Flags&TicketForwardable == 0 || got.Flags&TicketInitial != 0 {
				t.Errorf("%v, %s: %v", mech, side, got.Flags)
			}
		}
	}
}

// With MIT's KDC a ticket has a PAC, which is inside of AD-IF-RELEVANT, and so is not found by its own type.
func TestAuthorizationData(t *testing.T) {
	const ifRelevant, winPAC, etypes = 1, 128, 129
	i, a := pair(t, &Options{Mech: KRB5, Flags: FlagMutual}, nil)
	data, err := a.AuthorizationData(ifRelevant)
	if heimdal {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%x, %v", data, err)
		}
		return
	}
	if err != nil || len(data) == 0 {
		t.Fatalf("%x, %v", data, err)
	}
	attributes, err := a.Attributes(t.Context(), "urn:mspac:")
	if err != nil {
		t.Fatal(err)
	}
	var found bool
	for _, d := range data {
		found = found || bytes.Contains(d, attributes["urn:mspac:"].Value)
	}
	if len(attributes["urn:mspac:"].Value) == 0 || !found {
		t.Errorf("the PAC of %d bytes is in none of %d elements", len(attributes["urn:mspac:"].Value), len(data))
	}
	for _, absent := range []int32{200, 1 << 20, 1<<31 - 1} {
		if data, err := a.AuthorizationData(absent); err != nil || len(data) != 0 {
			t.Errorf("type %d: %x, %v", absent, data, err)
		}
	}
	for _, none := range []int32{0, -1, -17, -1 << 31} {
		if data, err := a.AuthorizationData(none); !errors.Is(err, ErrUnavailable) {
			t.Errorf("type %d: %x, %v", none, data, err)
		}
	}
	for _, typ := range []int32{ifRelevant, winPAC, etypes} {
		if data, err := i.AuthorizationData(typ); err != nil || len(data) != 0 {
			t.Errorf("the initiator's, type %d: %x, %v", typ, data, err)
		}
	}
}

func TestArcs(t *testing.T) {
	for n, want := range map[int32]string{1: "1", 18: "18", 127: "127", 128: "128", 16383: "16383", 16384: "16384", 1<<31 - 1: "2147483647"} {
		o := appendArc(objectEnctype, n)
		if got := o.String(); got != objectEnctype.String()+"."+want {
			t.Errorf("%d: %s", n, got)
		}
		if got := readArc([]byte(o), objectEnctype); got != n && n < 1<<28 {
			t.Errorf("%d is read as %d", n, got)
		}
	}
	for _, none := range []string{"", "\x2a", string(objectEnctype), string(objectLucid) + "\x12"} {
		if got := readArc([]byte(none), objectEnctype); got != 0 {
			t.Errorf("%x is %d", none, got)
		}
	}
}

// Mirrors the default case of MIT's t_enctypes.py, and python-gssapi's test_krb5_export_lucid_sec_context.
func TestExportLucid(t *testing.T) {
	for _, mech := range []OID{KRB5, SPNEGO} {
		i, a := pair(t, &Options{Mech: mech, Flags: FlagMutual | FlagSequence}, nil)
		expires := i.Info().Expires
		session, _, err := i.SessionKey()
		if err != nil {
			t.Fatal(err)
		}
		li, err := i.ExportLucid()
		if err != nil {
			t.Fatal(err)
		}
		la, err := a.ExportLucid()
		if err != nil {
			t.Fatal(err)
		}
		for n, c := range []*SecContext{i, a} {
			if _, err := c.MIC([]byte("x")); !errors.Is(err, ErrClosed) {
				t.Errorf("%d: after ExportLucid: %v", n, err)
			}
		}
		if !li.Initiated || la.Initiated || li.Protocol != 1 || la.Protocol != 1 || !li.Expires.Equal(la.Expires) || li.Expires.Sub(expires).Abs() > 2*time.Second {
			t.Errorf("%v\n%v\nthe context expires %v", li, la, expires)
		}
		if li.SendSeq != la.RecvSeq || li.RecvSeq != la.SendSeq {
			t.Errorf("sequence numbers %d, %d and %d, %d", li.SendSeq, li.RecvSeq, la.SendSeq, la.RecvSeq)
		}
		for _, k := range [][2]LucidKey{{li.Key, la.Key}, {li.AcceptorSubkey, la.AcceptorSubkey}} {
			if k[0].Enctype != 18 || k[1].Enctype != 18 || len(k[0].Data) != 32 || !bytes.Equal(k[0].Data, k[1].Data) {
				t.Errorf("keys %v and %v", k[0], k[1])
			}
		}
		if !bytes.Equal(li.AcceptorSubkey.Data, session) {
			t.Error("the session key is not the acceptor's subkey")
		}
		secret := [][]byte{li.Key.Data, li.AcceptorSubkey.Data}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("context", "lucid", li, "key", li.Key)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("context", "lucid", *li, "key", &li.Key)
		js, err := json.Marshal(li)
		if err != nil {
			t.Fatal(err)
		}
		shown := fmt.Sprintf("%v %+v %#v %x %s %q %d %v %x %#v %s", li, li, *li, li, li, *li, li, li.Key, li.Key, &li.Key, li.Key) + log.String() + string(js)
		for _, s := range secret {
			for _, form := range []string{string(s), fmt.Sprintf("%x", s), fmt.Sprintf("%X", s), fmt.Sprintf("%#v", s)[6:40], strings.Trim(fmt.Sprint(s), "[]")} {
				if strings.Contains(shown, form) {
					t.Errorf("a key is shown: %s", shown)
				}
			}
		}
		if !strings.Contains(shown, "enctype 18, 32 bytes") {
			t.Errorf("nothing is shown: %s", shown)
		}
	}
	settle(t)
}

// Mirrors t_pcontok.c of MIT, where contexts are of RFC 4121.
func TestProcessToken(t *testing.T) {
	for mech, want := range map[OID]Code{KRB5: either(ErrDefectiveToken, ErrUnavailable), SPNEGO: ErrUnavailable} {
		i, a := pair(t, &Options{Mech: mech, Flags: FlagMutual | FlagReplay | FlagSequence}, nil)
		mic, err := a.MIC(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range [][]byte{[]byte("abcd"), mic} {
			if err := i.ProcessToken(token); !errors.Is(err, want) {
				t.Errorf("%v, %x: %v", mech, token, err)
			}
		}
		for _, empty := range [][]byte{nil, {}} {
			if err := i.ProcessToken(empty); !errors.Is(err, ErrDefectiveToken) {
				t.Errorf("%v, an empty token: %v", mech, err)
			}
		}
		if _, err := i.VerifyMIC(nil, mic); err != nil {
			t.Errorf("the context is gone: %v", err)
		}
	}
}

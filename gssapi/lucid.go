package gssapi

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Lucid is a context of Kerberos with nothing hidden, for a program that protects messages itself, such as a kernel's
// NFS (gss_krb5_lucid_context_v1_t). Its keys are secret: who has them reads and makes the context's messages. It prints
// and logs without them.
type Lucid struct {
	Initiated        bool // this side is the initiator
	Expires          time.Time
	SendSeq, RecvSeq uint64 // the next message's, and the one that is expected
	Protocol         int    // 0: the tokens of RFC 1964; 1: those of RFC 4121
	SignAlg, SealAlg uint32 // of RFC 1964 section 1.2; with Protocol 0 alone
	Key              LucidKey
	AcceptorSubkey   LucidKey // which replaces Key, also there with Heimdal; without data: there is none
}

// LucidKey is a key of a [Lucid] context.
type LucidKey struct {
	Enctype int32  // by the numbers of RFC 3961 section 8
	Data    []byte `json:"-"` // secret
}

// ExportLucid takes an established context of Kerberos apart (gss_krb5_export_lucid_sec_context). The context is gone from
// here afterwards, as with [SecContext.Export]. Another mechanism is ErrUnavailable, and the context stays. Heimdal tells no key
// but the acceptor's subkey where there is one, also as Key; MIT krb5's Key is what gsskrb5_get_initiator_subkey would tell.
func (c *SecContext) ExportLucid() (*Lucid, error) {
	r, err := c.use("export the keys of a context", ctxLucid)
	if err != nil {
		return nil, err
	}
	c.Close()
	u := unpack{r.out}
	l := &Lucid{Protocol: int(u.u32()), Initiated: u.u32() != 0, Expires: time.Unix(int64(u.u32()), 0),
		SendSeq: u.u64(), RecvSeq: u.u64(), SignAlg: u.u32(), SealAlg: u.u32(), Key: u.key()}
	if len(u.b) > 0 {
		l.AcceptorSubkey = u.key()
	}
	return l, nil
}

func (u *unpack) u64() uint64 { return uint64(u.u32())<<32 | uint64(u.u32()) }

func (u *unpack) key() LucidKey {
	enctype := int32(u.u32())
	b := u.bytes()
	return LucidKey{enctype, b[:len(b):len(b)]}
}

// String tells the encryption type and the length, and not the key.
func (k LucidKey) String() string { return fmt.Sprintf("enctype %d, %d bytes", k.Enctype, len(k.Data)) }

// Format makes every verb of package fmt print what String returns.
func (k LucidKey) Format(f fmt.State, verb rune) { io.WriteString(f, k.String()) }

// LogValue logs what String returns.
func (k LucidKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// String tells what is no secret.
func (l Lucid) String() string {
	side := "acceptor"
	if l.Initiated {
		side = "initiator"
	}
	return fmt.Sprintf("%s, protocol %d, %v, acceptor's %v, until %v", side, l.Protocol, l.Key, l.AcceptorSubkey, l.Expires)
}

// Format makes every verb of package fmt print what String returns.
func (l Lucid) Format(f fmt.State, verb rune) { io.WriteString(f, l.String()) }

// LogValue logs what String returns.
func (l Lucid) LogValue() slog.Value { return slog.StringValue(l.String()) }

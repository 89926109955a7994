package gssapi

import "context"

// Key describes one key of a keytab, as klist -ke shows it. What is secret about it stays in the keytab.
type Key struct {
	Principal Name   // whose key it is, as in HTTP/www.example.com@EXAMPLE.COM
	KVNO      uint32 // its version, which the KDC counts up whenever the key changes
	Enctype   string // as in aes256-cts-hmac-sha1-96
}

// Keys lists the keys that an acceptor's credential accepts with: those of its keytab that belong to its name, where a
// service without host is that service on any host, and no name is any key (krb5_kt_next_entry). A service has several
// while it changes its key, and one of each encryption type. It reads the keytab as it is now, as accepting does.
//
// A keytab that cannot be read, or has no such key, is ErrNoCred, with what can be done about it. So is a credential
// that is an initiator's alone: it has tickets and no keys.
func (c *Credential) Keys(ctx context.Context) ([]Key, error) {
	const op = "list the keys of a credential"
	if c == nil || c.pool == nil {
		return nil, &Error{Op: op, Code: ErrNoCred}
	}
	usage, name := c.pool.usage, c.pool.name
	if !c.pool.open() {
		return nil, &Error{Op: op, Code: ErrClosed}
	}
	if usage == Initiate {
		return nil, &Error{Op: op, Name: name.text, Code: ErrNoCred, Text: "it is an initiator's, which has tickets and no keys",
			Hint: "acquire it with Usage: Accept"}
	}
	own := c.pool.withKeytab()
	store := &own
	r, err := caches.run(ctx, func() result {
		r := krb5Keytab(store.keytab(), name)
		if _, keys := readKeytab(&r); (r.failed() || len(keys) == 0) && r.code() != ErrUnavailable {
			r = result{major: uint32(ErrNoCred)}
			r.explainAcquire(Accept, store, name)
		}
		return r
	}, nil)
	if err := r.err(op, name.text, err); err != nil {
		return nil, err
	}
	_, entries := readKeytab(&r)
	keys := make([]Key, len(entries))
	for n, e := range entries {
		keys[n] = e.Key
	}
	return keys, nil
}

// entry is a key as the C side tells it.
type entry struct {
	Key
	enctype int32 // the number of RFC 3961 section 8 behind Enctype
}

// readKeytab unpacks a keytab; after a failure its name may still be known.
func readKeytab(r *result) (name string, keys []entry) {
	u := unpack{r.out}
	name = u.string()
	for len(u.b) > 0 {
		keys = append(keys, u.entry())
	}
	return name, keys
}

func (u *unpack) entry() entry {
	e := entry{Key: Key{Principal: Principal(u.string()), KVNO: u.u32()}, enctype: int32(u.u32())}
	e.Enctype = u.string()
	return e
}

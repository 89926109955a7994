package gssapi

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// keyring keeps the keys of an acceptor's keytab in memory for as long as the file has not changed: the library opens, locks and
// reads it for each token. For as long it also keeps whom accepted tickets are from and for; and where all keys are of one name, or of
// several that have the same ones, whom all are for: that is the first name with the key that has opened the ticket, whatever
// the client says.
//
// The keytab is looked at for each token. Where it has changed, the library's own way is taken, and the keys are taken again behind
// a token that was accepted. Names of Kerberos principals stay with the library: it has another rule for which of their keys a
// file has, and which memory has.
type keyring struct {
	pool   *credPool
	keytab string

	mu     sync.Mutex
	now    *keys
	worth  bool // a token was accepted before, so that there may be more of them
	taking bool
	closed bool
	next   time.Time // when they may be taken again, where they could not be

	tokens atomic.Int64 // accepted with keys in memory, for tests
}

// keys are what was in the keytab at one time.
type keys struct {
	*handle
	copies acquisition // acquires a credential on them
	single bool        // all that is accepted is for one name

	// These belong to the lock of the keyring.
	acceptor Name    // that name, as the library has told it; zero: it has not, or there are several
	known    tickets // nil where krb5.conf has a say in which of several names is told (ignore_acceptor_hostname)
	idle     []loan
}

// newKeyring is nil for a credential that always accepts the library's own way.
func newKeyring(p *credPool) *keyring {
	a := p.copies
	if a.keytab == "" || !(a.name.IsZero() || a.name.typ == NTHostBased) {
		return nil
	}
	return &keyring{pool: p, keytab: a.keytab}
}

// keytabOf is the keytab of an acceptor's credential, whatever the environment has come to say since it was acquired; empty where the
// mechanism does not tell.
func keytabOf(cred box) string {
	r := credExport(cred)
	if r.failed() {
		return ""
	}
	for s := string(r.out); s != ""; {
		mech, rest, ok := counted(s, 4)
		element, rest, whole := counted(rest, 4)
		if !ok || !whole {
			return ""
		}
		if s = rest; OID(mech) != KRB5 {
			continue
		}
		if !utf8.ValidString(element) {
			return "" // encoding/json would make another name of it
		}
		// A mark, then usage, name, impersonator, whether it has a name, whether it is IAKERB's, and the keytab.
		var parts, fields []json.RawMessage
		var keytab string
		if json.Unmarshal([]byte(element), &parts) == nil && len(parts) == 2 && json.Unmarshal(parts[1], &fields) == nil && len(fields) > 5 {
			_ = json.Unmarshal(fields[5], &keytab)
		}
		return keytab
	}
	return ""
}

// keepKeytab has equal credentials have the keytab of the first one. Those that accept with other mechanisms than Kerberos are left alone:
// such a plug-in does not survive a keytab in memory.
func (a *acquisition) keepKeytab(first box, store Store) {
	if heimdal || a.usage != Accept || a.alone || !bytes.Equal(a.mechs, defaultAcceptor.mechs) || !bytes.Equal(a.neg, defaultAcceptor.neg) {
		return
	}
	a.keytab = keytabOf(first)
	if a.keytab != "" && store.keytab() == "" {
		store.Keytab = a.keytab
		if b, err := store.pack(); err == nil {
			a.store = b
		}
	}
}

// take lends a credential on keys in memory, if there are some and the keytab has not changed.
func (r *keyring) take() (*keys, loan) {
	if r == nil {
		return nil, loan{}
	}
	r.mu.Lock()
	k := r.now
	if k != nil {
		k.acquire() // for as long as the credential lives
	}
	r.mu.Unlock()
	if k == nil {
		return nil, loan{}
	}
	if keysChanged(k.box) {
		r.drop(k)
		k.release()
		return nil, loan{}
	}
	r.mu.Lock()
	if last := len(k.idle) - 1; last >= 0 {
		l := k.idle[last]
		k.idle = k.idle[:last]
		r.mu.Unlock()
		k.release() // it has its own
		return k, l
	}
	r.mu.Unlock()
	made := k.copies.again()
	if made.failed() {
		r.drop(k)
		k.release()
		return nil, loan{}
	}
	return k, loan{newHandle(made.box, func(b box) { credFree(b); k.release() }), time.Time{}}
}

// put takes a credential back.
func (r *keyring) put(k *keys, l loan) {
	r.mu.Lock()
	keep := r.now == k && len(k.idle) < maxIdle
	if keep {
		k.idle = append(k.idle, l)
	}
	r.mu.Unlock()
	if !keep {
		l.close()
	}
}

// drop ends a use of keys; what calls still have of them is freed when it comes back.
func (r *keyring) drop(k *keys) {
	r.mu.Lock()
	if r.now != k {
		r.mu.Unlock()
		return
	}
	r.now = nil
	idle := k.idle
	k.idle = nil
	r.mu.Unlock()
	closeAll(idle)
	k.close()
}

// identity is what is known of the ticket in a token that was accepted with these keys by a first leg. Later legs may have others than
// the ones that have opened the ticket.
func (r *keyring) identity(k *keys, of ticketID) identity {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id, ok := k.known[of]; ok {
		return id
	}
	return identity{acceptor: k.acceptor}
}

// accepted notes that a token was accepted, with which keys, whether by its first leg, and what is known of its ticket now. Without
// keys it takes some, which reads the keytab.
func (r *keyring) accepted(k *keys, first bool, of ticketID, id identity) {
	if r == nil {
		return
	}
	r.mu.Lock()
	if k != nil {
		if k.single && first {
			k.acceptor = id.acceptor
		}
		k.known.keep(of, id)
		r.mu.Unlock()
		r.tokens.Add(1)
		return
	}
	begin := r.worth && r.now == nil && !r.taking && !r.closed && !time.Now().Before(r.next)
	r.worth = true
	r.taking = r.taking || begin
	r.mu.Unlock()
	if !begin {
		return
	}
	k = r.read()
	r.mu.Lock()
	r.taking = false
	switch {
	case k == nil:
		r.next = time.Now().Add(refusal)
	case !r.closed:
		r.now, k = k, nil
	}
	r.mu.Unlock()
	if k != nil {
		k.close()
	}
}

// read takes the keys, unless that is impossible.
func (r *keyring) read() *keys {
	store := r.pool.store
	service, _, host := strings.Cut(r.pool.name.text, "@")
	taken := keysNew(r.keytab, service, host)
	if taken.box == nil {
		return nil
	}
	u := unpack{taken.out}
	k := &keys{handle: newHandle(taken.box, keysFree), copies: *r.pool.copies}
	store.Keytab, store.Extra = u.string(), maps.Clone(store.Extra)
	delete(store.Extra, "keytab")
	k.single = u.u32() != 0
	if k.single || !host {
		k.known = tickets{}
	}
	var err error
	if k.copies.store, err = store.pack(); err != nil {
		k.close()
		return nil
	}
	return k
}

func (r *keyring) close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.closed = true
	k := r.now
	r.mu.Unlock()
	if k != nil {
		r.drop(k)
	}
}

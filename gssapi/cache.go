package gssapi

import (
	"context"
	"strings"
	"time"
)

// Cache is what a Kerberos ticket cache holds, as klist shows it: names and times, no keys.
type Cache struct {
	Name      string // with its type, as in FILE:/tmp/krb5cc_1000
	Principal string // whose tickets they are
	Tickets   []Ticket
}

// Ticket describes one ticket of a [Cache].
type Ticket struct {
	Client, Server string
	Encryption     string // of the session key, as in aes256-cts-hmac-sha1-96
	AuthTime       time.Time
	Start          time.Time
	End            time.Time
	RenewUntil     time.Time // zero: not renewable
	Flags          TicketFlags
}

// TicketFlags are those of RFC 4120 section 5.3, the first bit being the highest.
type TicketFlags uint32

const (
	TicketForwardable TicketFlags = 1 << 30
	TicketForwarded   TicketFlags = 1 << 29
	TicketProxiable   TicketFlags = 1 << 28
	TicketRenewable   TicketFlags = 1 << 23
	TicketInitial     TicketFlags = 1 << 22
	TicketPreAuth     TicketFlags = 1 << 21
	TicketOKDelegate  TicketFlags = 1 << 18
)

// ticketFlagNames are those of RFC 4120 section 5.3, RFC 6806 section 11 and RFC 8062 section 3, by bit.
var ticketFlagNames = [...]string{1: "forwardable", 2: "forwarded", 3: "proxiable", 4: "proxy", 5: "may-postdate", 6: "postdated",
	7: "invalid", 8: "renewable", 9: "initial", 10: "pre-authent", 11: "hw-authent", 12: "transited-policy-checked",
	13: "ok-as-delegate", 15: "enc-pa-rep", 16: "anonymous"}

// String lists the flags by name, separated by commas.
func (f TicketFlags) String() string {
	var l []string
	for bit, name := range ticketFlagNames {
		if name != "" && f&(1<<(31-bit)) != 0 {
			l = append(l, name)
		}
	}
	return strings.Join(l, ",")
}

// ReadCache reads a ticket cache through libkrb5, so that every type of cache works
// (krb5_cc_resolve and krb5_cc_next_cred). An empty name is the default cache, as KRB5CCNAME or krb5.conf choose
// it. It changes nothing and talks to no KDC; a cache kept by a daemon, such as KCM, is asked for there.
func ReadCache(ctx context.Context, name string) (*Cache, error) {
	const op = "read the ticket cache"
	if strings.IndexByte(name, 0) >= 0 {
		return nil, &Error{Op: op, Code: ErrBadName, Text: "the name of the cache contains a NUL byte"}
	}
	r, err := caches.run(ctx, func() result {
		r := krb5Cache(name)
		if r.failed() {
			r.explainCache(name)
			r.detail = ""
		}
		return r
	}, nil)
	c := readCache(&r)
	if err := r.err(op, c.Name, err); err != nil {
		return nil, err
	}
	return c, nil
}

// DefaultInitiator returns the principal that a context with target is initiated as where Options name no
// Credential: that of the cache that .k5identity or krb5.conf select for target (krb5_cc_select), else of the
// default cache. A zero target is none in particular. It costs one look into the cache and talks to no KDC; a
// program that keeps what it did as one user from the next asks it whether that is still the same.
//
// Where there is no ticket cache it is an error, even if a client keytab would fill one.
func DefaultInitiator(ctx context.Context, target Name) (Name, error) {
	const op = "find the default initiator for"
	if err := target.check(op); err != nil {
		return Name{}, err
	}
	if ctx.Err() == nil {
		if n, ok := kept.initiator(target); ok {
			return n, nil
		}
	}
	r, err := caches.run(ctx, func() result {
		r := krb5Initiator(target, nil)
		if r.failed() {
			r.explainCache("")
		}
		return r
	}, nil)
	if err := r.err(op, target.text, err); err != nil {
		return Name{}, err
	}
	u := unpack{r.out}
	return u.name(), nil
}

// readCache unpacks a cache; after a failure the name may still be known.
func readCache(r *result) *Cache {
	u := unpack{r.out}
	c := &Cache{Name: u.string(), Principal: u.string()}
	for len(u.b) > 0 {
		c.Tickets = append(c.Tickets, Ticket{
			Client: u.string(), Server: u.string(), Encryption: u.string(),
			AuthTime: u.time(), Start: u.time(), End: u.time(), RenewUntil: u.time(),
			Flags: TicketFlags(u.u32()),
		})
	}
	for i := range c.Tickets {
		if c.Tickets[i].Start.IsZero() {
			c.Tickets[i].Start = c.Tickets[i].AuthTime
		}
	}
	return c
}

func (u *unpack) time() time.Time {
	if t := u.u32(); t != 0 {
		return time.Unix(int64(t), 0)
	}
	return time.Time{}
}

// tgt finds the ticket-granting ticket of the cache's own realm.
func (c *Cache) tgt() *Ticket {
	_, realm, _ := cutLast(c.Principal, "@")
	for i := range c.Tickets {
		if t := &c.Tickets[i]; t.Client == c.Principal && t.Server == "krbtgt/"+realm+"@"+realm {
			return t
		}
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

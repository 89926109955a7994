package gssapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// What C would cut or take for nothing must not turn one identity into another.
func TestNamesThatAreNone(t *testing.T) {
	ctx := t.Context()
	for _, n := range []Name{User("user\x00bob"), Principal("user\x00@NEGO.TEST"), Service("HTTP", "www.nego.test\x00.evil.test"), User(""), Principal(""), Service("", "")} {
		if c, err := Acquire(ctx, &CredentialOptions{Name: n}); !errors.Is(err, ErrBadName) {
			c.Close()
			t.Errorf("a credential for %q: %v", n.String(), err)
		}
		if c, err := Acquire(ctx, &CredentialOptions{Name: n, Usage: Accept}); !errors.Is(err, ErrBadName) {
			c.Close()
			t.Errorf("an acceptor's for %q: %v", n.String(), err)
		}
		i := NewInitiator(n, nil)
		if token, err := i.Step(ctx, nil); !errors.Is(err, ErrBadName) || len(token) > 0 {
			t.Errorf("a token for %q: %v", n.String(), err)
		}
		i.Close()
		_, err1 := n.Canonical(ctx, KRB5)
		_, err2 := n.Export(ctx, KRB5)
		_, err3 := n.Local(ctx, KRB5)
		_, err4 := n.Equal(User("bob"))
		_, err5 := User("bob").Equal(n)
		_, err6 := DefaultInitiator(ctx, n)
		for k, err := range []error{err1, err2, err3, err4, err5, err6} {
			if !errors.Is(err, ErrBadName) {
				t.Errorf("%d of %q: %v", k, n.String(), err)
			}
		}
	}
	if _, err := ReadCache(ctx, realm.CCache+"\x00"); !errors.Is(err, ErrBadName) {
		t.Error(err)
	}
	if c, err := Acquire(ctx, &CredentialOptions{Name: NewName("", NTAnonymous)}); err == nil {
		info, _ := c.Info()
		c.Close()
		if info.Name.String() == "user@NEGO.TEST" {
			t.Error("asked for anonymity, got the user")
		}
	}
	settle(t)
}

func TestMechanismsThatAreNone(t *testing.T) {
	for _, mechs := range [][]OID{{""}, {KRB5, ""}, {KRB5, OID(strings.Repeat("\x80", 300))}, make([]OID, 40)} {
		if c, err := Acquire(t.Context(), &CredentialOptions{Mechs: mechs}); err == nil {
			c.Close()
			t.Errorf("a credential for %q", mechs)
		}
	}
	extra := map[string]string{}
	for n := range 40 {
		extra[fmt.Sprint("key", n)] = "x"
	}
	if c, err := Acquire(t.Context(), &CredentialOptions{Store: Store{Extra: extra}}); err == nil {
		c.Close()
		t.Error("a store of 40 keys")
	}
	i := NewInitiator(www, &Options{Mech: OID(strings.Repeat("\x80", 300))})
	defer i.Close()
	if _, err := i.Step(t.Context(), nil); !errors.Is(err, ErrBadMech) {
		t.Error(err)
	}
}

func TestZeroValues(t *testing.T) {
	ctx := t.Context()
	var c SecContext
	if _, err := c.Step(ctx, nil); !errors.Is(err, ErrNoContext) {
		t.Error(err)
	}
	if _, err := c.Wrap(nil, false); !errors.Is(err, ErrNoContext) {
		t.Error(err)
	}
	c.Info()
	c.Close()
	(*SecContext)(nil).Close()
	(*Credential)(nil).Close()
	new(Credential).Close()
	if _, err := new(Credential).Info(); !errors.Is(err, ErrNoCred) {
		t.Error(err)
	}
	i := NewInitiator(www, &Options{Credential: new(Credential)})
	defer i.Close()
	if _, err := i.Step(ctx, nil); !errors.Is(err, ErrNoCred) {
		t.Error(err)
	}
	if seconds(math.MaxInt64, 0) != indefinite || seconds(1, 0) != 1 || seconds(0, 7) != 7 || seconds(time.Minute, 0) != 60 {
		t.Error(seconds(math.MaxInt64, 0), seconds(1, 0))
	}
}

// A credential keeps its identity when somebody else's tickets come into its cache.
func TestCredentialKeepsItsIdentity(t *testing.T) {
	for _, usage := range either([]Usage{Initiate, Both}, []Usage{Initiate}) {
		cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
		if err := realm.Kinit(t.Context(), "alice", cc); err != nil {
			t.Fatal(err)
		}
		c, err := Acquire(t.Context(), &CredentialOptions{Usage: usage, Store: Store{CCache: cc, Keytab: realm.KeytabFile}})
		if err != nil {
			t.Fatal(err)
		}
		if err := realm.Kinit(t.Context(), "bob", cc); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			i, a := NewInitiator(www, &Options{Credential: c}), NewAcceptor(nil)
			if err := handshake(i, a); err == nil {
				t.Errorf("%v: alice's credential speaks for %v", usage, a.Info().Initiator)
			}
			i.Close()
			a.Close()
		}
		c.Close()
	}
}

// A client keytab's tickets are got anew when they are over, also by a credential that has lived longer.
func TestClientKeytabOutlivesItsTickets(t *testing.T) {
	dir := t.TempDir()
	client := filepath.Join(dir, "client.keytab")
	if err := realm.AddToKeytab(client, "bob"); err != nil {
		t.Fatal(err)
	}
	cc := filepath.Join(dir, "cc")
	c, err := Acquire(t.Context(), &CredentialOptions{Store: Store{CCache: "FILE:" + cc, ClientKeytab: client}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3 {
		pair(t, &Options{Credential: c}, nil)
		// Time goes by: for the tickets in the cache, and for the copies that were made of them.
		expire(t, cc)
		c.pool.mu.Lock()
		for i := range c.pool.idle {
			c.pool.idle[i].expires = time.Now()
		}
		c.pool.mu.Unlock()
	}
	pair(t, &Options{Credential: c}, nil)
	if info, err := c.Info(); err != nil || time.Until(info.Expires) < time.Hour {
		t.Errorf("%+v, %v", info, err)
	}
}

// A copy that a call has failed with is not lent again.
func TestFailedCopyIsDropped(t *testing.T) {
	c := newTicket(t, "alice")
	i := NewInitiator(Service("HTTP", "unknown.nego.test"), &Options{Credential: c})
	defer i.Close()
	if _, err := i.Step(t.Context(), nil); err == nil {
		t.Fatal("the service is known")
	}
	if n := len(c.pool.idle); n != 0 {
		t.Errorf("%d copies are kept", n)
	}
	pair(t, &Options{Credential: c}, nil)
	if n := len(c.pool.idle); n != 1 {
		t.Errorf("%d copies are kept", n)
	}
}

func TestIdleCopiesAreBounded(t *testing.T) {
	c := newTicket(t, "alice")
	var lent []loan
	for range 3 * maxIdle {
		l, r := c.pool.take()
		if r.failed() {
			t.Fatal(r.text)
		}
		lent = append(lent, l)
	}
	for _, l := range lent {
		c.pool.put(l, true)
	}
	if n := len(c.pool.idle); n != maxIdle {
		t.Errorf("%d copies are kept", n)
	}
}

// Errors of an explicit credential do not speak of the process's own tickets.
func TestErrorBlamesTheRightCache(t *testing.T) {
	erin := unique("erin")
	if err := realm.AddUser(erin, "erin's"); err != nil {
		t.Fatal(err)
	}
	password, err := Acquire(t.Context(), &CredentialOptions{Name: User(erin), Store: Store{Password: "erin's"}})
	if err != nil {
		t.Fatal(err)
	}
	defer password.Close()
	_, a := pair(t, &Options{Credential: newTicket(t, "bob"), Flags: FlagDelegate}, nil)
	delegated := a.Delegated()
	defer delegated.Close()
	for name, c := range map[string]*Credential{"password": password, "delegated": delegated} {
		i := NewInitiator(Service("HTTP", "unknown.nego.test"), &Options{Credential: c})
		_, err := i.Step(t.Context(), nil)
		i.Close()
		if err == nil || strings.Contains(err.Error(), "user@NEGO.TEST") || strings.Contains(err.Error(), realm.CCache) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if password.pool.store.Password != "" || password.pool.copies.store != nil && bytes.Contains(password.pool.copies.store, []byte("erin's")) {
		t.Error("the password is kept")
	}
}

// Acceptors do not wait behind initiators, whatever their number.
func TestAcceptorsHaveTheirOwnSlots(t *testing.T) {
	initiator := NewInitiator(www, nil)
	defer initiator.Close()
	token, err := initiator.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range cap(network) {
		network <- struct{}{}
	}
	defer func() {
		for range cap(network) {
			<-network
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	a := NewAcceptor(nil)
	defer a.Close()
	if _, err := a.Step(ctx, token); err != nil {
		t.Error(err)
	}
	if _, err := ReadCache(ctx, ""); err != nil {
		t.Error(err)
	}
	// One that has not begun can be tried again.
	i := NewInitiator(www, &Options{Flags: FlagDelegate})
	defer i.Close()
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := i.Step(short, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	<-network
	if _, err := i.Step(t.Context(), nil); err != nil {
		t.Errorf("the second try: %v", err)
	}
	network <- struct{}{}
}

// What an abandoned call has got is freed: an acceptor's delegated credential, an acquired one.
func TestAbandonedCallsFreeWhatTheyGot(t *testing.T) {
	i := NewInitiator(www, &Options{Flags: FlagDelegate})
	defer i.Close()
	var tokens [][]byte
	for range 100 {
		i := NewInitiator(www, &Options{Flags: FlagDelegate})
		token, err := i.Step(t.Context(), nil)
		i.Close()
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	var wg sync.WaitGroup
	for n, token := range tokens {
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			a := NewAcceptor(nil)
			a.Step(ctx, token)
			a.Close()
		})
		wg.Go(func() {
			if c, err := Acquire(ctx, nil); err == nil {
				c.Close()
			}
		})
		time.AfterFunc(time.Duration(n%10)*50*time.Microsecond, cancel)
	}
	wg.Wait()
	i.Close()
	settle(t)
}

// Closing a context closes what was delegated with it, at once.
func TestCloseDropsTheDelegated(t *testing.T) {
	settle(t)
	i, a := NewInitiator(www, &Options{Flags: FlagDelegate}), NewAcceptor(nil)
	if err := handshake(i, a); err != nil {
		t.Fatal(err)
	}
	i.Close()
	before := held()
	a.Close()
	if n := before - held(); n != 2 {
		t.Errorf("%d objects were freed, want the context and the credential", n)
	}
	if a.Delegated() != nil {
		t.Error("it can still be taken")
	}
}

// The caller may wipe its options as soon as Acquire has returned.
func TestAcquireKeepsNoOptions(t *testing.T) {
	_, end := silence(t)
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		o := &CredentialOptions{Name: User("alice"), Store: Store{Password: "guess", Extra: map[string]string{"verify": "x"}}}
		c, err := Acquire(ctx, o)
		if err == nil {
			c.Close()
		}
		o.Store.Password, o.Name = "", Name{}
		delete(o.Store.Extra, "verify")
		cancel()
	}
	end()
	settle(t)
}

func TestDefaultAcceptorTakesKerberosAlone(t *testing.T) {
	raw := NewInitiator(www, &Options{Mech: IAKERB})
	defer raw.Close()
	token, err := raw.Step(t.Context(), nil)
	if heimdal { // which has NTLM built in instead
		if !errors.Is(err, ErrBadMech) {
			t.Error(err)
		}
		token, err = []byte("NTLMSSP\x00\x01\x00\x00\x00\x07\x82\x08\xa2"+strings.Repeat("\x00", 24)), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	a := NewAcceptor(nil)
	defer a.Close()
	if _, err := a.Step(t.Context(), token); err == nil {
		t.Error("the default acceptor takes another mechanism")
	}
}

// Each leg of an initiator passes its credential: here the environment has none, and the mechanism needs it twice.
func TestEveryLegOfAnInitiator(t *testing.T) {
	host := unique("legs") + ".nego.test" // whose ticket is not there yet
	if err := realm.AddService("HTTP/" + host); err != nil {
		t.Fatal(err)
	}
	cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
	if err := realm.Kinit(t.Context(), "alice", cc); err != nil {
		t.Fatal(err)
	}
	out := child(t, "iakerb", "KRB5CCNAME=FILE:/nonexistent", "TEST_CCACHE="+cc, "TEST_HOST="+host)
	if heimdal {
		if !strings.Contains(out, ErrUnavailable.Error()) {
			t.Error(out)
		}
	} else if out != "alice@NEGO.TEST replay,bound <nil>\n" {
		t.Error(out)
	}
}

func init() {
	children["iakerb"] = func() {
		ctx := context.Background()
		ticket, err := Acquire(ctx, &CredentialOptions{Mechs: []OID{IAKERB, KRB5}, Store: Store{CCache: env("TEST_CCACHE")}})
		if err != nil {
			fmt.Println(err)
			return
		}
		keys, err := Acquire(ctx, &CredentialOptions{Usage: Accept, Mechs: []OID{IAKERB}})
		if err != nil {
			fmt.Println(err)
			return
		}
		bindings := &ChannelBinding{Data: []byte("data")}
		i := NewInitiator(Service("HTTP", env("TEST_HOST")), &Options{Credential: ticket, Mech: IAKERB, Flags: FlagMutual | FlagReplay, ChannelBinding: bindings})
		a := NewAcceptor(&Options{Credential: keys, ChannelBinding: bindings})
		err = handshake(i, a)
		got := a.Info()
		var seen []string
		if got.Flags&FlagReplay != 0 {
			seen = append(seen, "replay")
		}
		if got.Flags&FlagChannelBound != 0 {
			seen = append(seen, "bound")
		}
		fmt.Println(got.Initiator, strings.Join(seen, ","), err)
	}
}

// A keytab that opens the ticket is not what was wrong with a token.
func TestReplayIsNotTheKeytabsFault(t *testing.T) {
	i := NewInitiator(www, nil)
	defer i.Close()
	token, err := i.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := acceptOnce(t, token); err != nil {
		t.Fatal(err)
	}
	if heimdal { // which takes it again
		token[len(token)-1] ^= 1
	}
	err = acceptOnce(t, token)
	var e *Error
	if !errors.As(err, &e) || e.Detail != "" || e.Hint != "" {
		t.Errorf("a bad token: %v", err)
	}
}

// No token from the peer is no answer, and no crash of the library.
func TestEmptyTokens(t *testing.T) {
	for _, mech := range either([]OID{SPNEGO, KRB5, IAKERB}, []OID{SPNEGO, KRB5}) {
		for _, empty := range [][]byte{nil, {}} {
			i := NewInitiator(Service("HTTP", "localhost"), &Options{Mech: mech, Flags: FlagMutual})
			if _, err := i.Step(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if _, err := i.Step(t.Context(), empty); !errors.Is(err, ErrDefectiveToken) || i.Established() {
				t.Errorf("%v: %v", mech, err)
			}
			i.Close()
			a := NewAcceptor(nil)
			// To an acceptor it is the wish for a list of its mechanisms (NegHints, an extension of SPNEGO).
			if out, err := a.Step(t.Context(), empty); err != nil || a.Established() || len(out) == 0 {
				t.Errorf("acceptor: %x, %v", out, err)
			}
			a.Close()
		}
	}
}

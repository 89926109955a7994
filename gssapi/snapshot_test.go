//go:build cgo && unix && !heimdal

package gssapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var ctx = context.Background()

// made is how many tokens have come of snapshots.
func made() int64 { return kept.tokens.Load() }

// first makes a first token, and says whether it came of a snapshot.
func first(target Name, o *Options) (c *SecContext, token []byte, snapped bool, err error) {
	before := made()
	c = NewInitiator(target, o)
	token, err = c.Step(ctx, nil)
	return c, token, made() > before, err
}

// warm makes tokens until one comes of a snapshot, without a context if that is what is asked for: a file that was written just
// now has to rest.
func warm(target Name, o *Options) error {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		c, _, snapped, err := first(target, o)
		whole := c.by == nil
		c.Close()
		if l := (leg{opts: c.opts}); whole && l.stencilled() && err == nil {
			makeRoom(service{target, c.opts.Mech})
			continue
		}
		if err != nil || snapped {
			return err
		}
	}
	return errors.New("no token comes of a snapshot")
}

// makeRoom drops everything where other tests have taken all the places that there are for stencils, or have made one bad.
func makeRoom(of service) {
	g, st, sn := kept.lend(of)
	if g == nil {
		return
	}
	isBad := func(s *stencil) bool { return s.bad.Load() }
	if all := st.stencils.Load(); all != nil && (len(*all) == maxStencils || slices.ContainsFunc(*all, isBad)) {
		kept.drop(g)
	}
	kept.put(g, st, sn, true)
}

func mustWarm(t testing.TB, target Name, o *Options) {
	t.Helper()
	for young := false; !young; {
		if err := warm(target, o); err != nil {
			t.Fatal(err)
		}
		// An earlier test may have begun the generation, which would end in the middle of this one.
		kept.mu.Lock()
		young = kept.now != nil && kept.now.end.Reset(generationAge)
		kept.mu.Unlock()
	}
}

// native makes a first token the library's own way.
func native(t *testing.T, target Name, o *Options) (*SecContext, []byte) {
	t.Helper()
	dropSnapshots()
	c, token, snapped, err := first(target, o)
	t.Cleanup(func() { c.Close() })
	if snapped || err != nil {
		t.Fatal(snapped, err)
	}
	return c, token
}

// quick makes one from a snapshot.
func quick(t *testing.T, target Name, o *Options) (*SecContext, []byte) {
	t.Helper()
	mustWarm(t, target, o)
	c, token, snapped, err := first(target, o)
	t.Cleanup(func() { c.Close() })
	if !snapped || err != nil {
		t.Fatal(snapped, err)
	}
	return c, token
}

// A context that began with a snapshot is like any other, on every leg and in all it tells.
func TestSnapshotIsLikeNative(t *testing.T) {
	bindings := &ChannelBinding{Data: []byte("some data")}
	for _, tc := range []struct {
		name     string
		target   Name
		o        Options
		acceptor *ChannelBinding
	}{
		{"SPNEGO", www, Options{}, nil},
		{"SPNEGO mutual", www, Options{Flags: FlagMutual}, nil},
		{"krb5", www, Options{Mech: KRB5}, nil},
		{"krb5 mutual", www, Options{Mech: KRB5, Flags: FlagMutual | FlagSequence | FlagReplay}, nil},
		{"krb5 three legs", www, Options{Mech: KRB5, Flags: FlagMutual | FlagDCEStyle}, nil},
		{"flags", www, Options{Flags: FlagIdentify | FlagExtendedError | FlagConfidential}, nil},
		{"bindings", www, Options{ChannelBinding: bindings}, bindings},
		{"bindings, three legs", www, Options{Mech: KRB5, Flags: FlagDCEStyle, ChannelBinding: bindings}, bindings},
		{"principal", Principal("HTTP/www.nego.test@NEGO.TEST"), Options{Flags: FlagMutual}, nil},
		{"principal of the default realm", Principal("HTTP/www.nego.test"), Options{}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			finish := func(c *SecContext, token []byte) (begun, i, a Info) {
				acceptor := NewAcceptor(&Options{ChannelBinding: tc.acceptor})
				defer acceptor.Close()
				begun = c.Info()
				for range 5 {
					var err error
					if token, err = acceptor.Step(ctx, token); err != nil {
						t.Fatal(err)
					}
					if !c.Established() {
						if token, err = c.Step(ctx, token); err != nil {
							t.Fatal(err)
						}
					}
					if acceptor.Established() && c.Established() {
						break
					}
				}
				msg := []byte("a message")
				wrapped, err := c.Wrap(msg, true)
				if err != nil {
					t.Fatal(err)
				}
				if got, _, err := acceptor.Unwrap(wrapped); err != nil || !bytes.Equal(got, msg) {
					t.Errorf("%q, %v", got, err)
				}
				return begun, c.Info(), acceptor.Info()
			}
			c, token := native(t, tc.target, &tc.o)
			q, quickToken := quick(t, tc.target, &tc.o)
			if !bytes.Equal(head(token), head(quickToken)) {
				t.Errorf("begins\n%x, the library's own\n%x", head(quickToken), head(token))
			}
			want, got := [3]Info{}, [3]Info{}
			want[0], want[1], want[2] = finish(c, token)
			got[0], got[1], got[2] = finish(q, quickToken)
			for n := range want { // a lifetime is asked for at another second
				if d := want[n].Expires.Sub(got[n].Expires).Abs(); d > 2*time.Second {
					t.Errorf("expires %v apart", d)
				}
				want[n].Expires = got[n].Expires
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%+v\nthe library's own:\n%+v", got, want)
			}
		})
	}
}

// head is a token up to what is encrypted: for SPNEGO the list of mechanisms, without the lengths of what contains it.
func head(token []byte) []byte {
	b, _, _ := cutDER(token, 0x60)
	oid, b, _ := cutDER(b, 0x06)
	if OID(oid) == SPNEGO {
		b, _, _ = cutDER(b, 0xa0)
		b, _, _ = cutDER(b, 0x30)
		list, _, _ := cutDER(b, 0xa0)
		return append(bytes.Clone(oid), list...)
	}
	return bytes.Clone(oid)
}

// Bindings are checked, and mutual authentication too: a context that began with a snapshot fails where any other does.
func TestSnapshotFailsLikeNative(t *testing.T) {
	mustWarm(t, www, nil)
	c, token := quick(t, www, &Options{ChannelBinding: &ChannelBinding{Data: []byte("some data")}})
	a := NewAcceptor(&Options{ChannelBinding: &ChannelBinding{Data: []byte("other")}})
	defer a.Close()
	if _, err := a.Step(ctx, token); !errors.Is(err, ErrBadBindings) {
		t.Error(err)
	}
	c.Close()
	if _, err := c.Step(ctx, nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	c, _ = quick(t, www, &Options{Flags: FlagMutual})
	if _, err := c.Step(ctx, []byte("no token")); !errors.Is(err, ErrDefectiveToken) {
		t.Error(err)
	}
	for _, target := range []Name{Service("HTTP", "unknown.nego.test"), Principal("nobody/at/all")} {
		_, _, snapped, err := first(target, nil)
		if !errors.Is(err, ErrFailure) || snapped || !strings.Contains(err.Error(), "user@NEGO.TEST") {
			t.Error(snapped, err)
		}
	}
	// A lifetime that the ticket has not got.
	c, _, snapped, _ := first(www, &Options{Lifetime: 1000 * time.Hour})
	c.Close()
	if snapped {
		t.Error("a lifetime was not heeded")
	}
}

// What only the library can do is left to it.
func TestSnapshotIsNotTaken(t *testing.T) {
	mustWarm(t, www, nil)
	ticket := newTicket(t, "alice")
	for name, o := range map[string]*Options{
		"delegation":         {Flags: FlagDelegate},
		"delegation, policy": {Flags: FlagDelegatePolicy},
		"anonymous":          {Flags: FlagAnonymous},
		"credential":         {Credential: ticket},
		"IAKERB":             {Mech: IAKERB},
	} {
		for range 3 {
			c, token, snapped, err := first(www, o)
			if snapped {
				t.Errorf("%s: a snapshot was used", name)
			}
			if name == "delegation" {
				a := NewAcceptor(nil)
				if _, err := a.Step(ctx, token); err != nil {
					t.Error(err)
				}
				d := a.Delegated()
				if d == nil {
					t.Errorf("%s: nothing was delegated", name)
				}
				d.Close()
				a.Close()
			}
			if name == "credential" && err != nil {
				t.Error(err)
			}
			c.Close()
		}
	}
}

// Tickets that a process gets are those of the user, who may have deleted one.
func TestSnapshotTicketIsInTheUsersCache(t *testing.T) {
	fresh := unique("fresh") + ".nego.test"
	if err := realm.AddService("HTTP/" + fresh); err != nil {
		t.Fatal(err)
	}
	mustWarm(t, Service("HTTP", fresh), nil)
	c, err := ReadCache(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, ticket := range c.Tickets {
		if ticket.Server == "HTTP/"+fresh+"@NEGO.TEST" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d tickets for %s in %s", n, fresh, c.Name)
	}
}

// While some wait for a KDC that is silent, the others go on.
func TestSnapshotDoesNotWait(t *testing.T) {
	mustWarm(t, www, nil)
	requests, end := silence(t)
	var stuck sync.WaitGroup
	back := make(chan error, 60)
	for range cap(back) {
		stuck.Go(func() {
			c := NewInitiator(silent, nil)
			defer c.Close()
			_, err := c.Step(ctx, nil)
			back <- err
		})
	}
	for range cap(back) {
		<-requests
	}
	var others sync.WaitGroup
	for range 8 {
		others.Go(func() {
			for range 100 {
				c, token, _, err := first(www, nil)
				if err != nil || len(token) == 0 {
					t.Error(err)
				}
				c.Close()
			}
		})
	}
	others.Wait()
	if len(back) > 0 {
		t.Errorf("a KDC answered: %v", <-back)
	}
	end()
	stuck.Wait()
	settle(t)
}

// Many goroutines use snapshots, while everything is dropped again and again.
func TestSnapshotConcurrentUse(t *testing.T) {
	mustWarm(t, www, nil)
	before := made()
	var wg sync.WaitGroup
	done := make(chan struct{})
	for g := range 16 {
		wg.Go(func() {
			for n := range 40 {
				c := NewInitiator([]Name{www, Principal("HTTP/localhost@NEGO.TEST")}[g%2], &Options{Flags: FlagMutual})
				if n%4 > 0 {
					if _, err := c.Step(t.Context(), nil); err != nil {
						t.Error(err)
					}
				} else {
					a := NewAcceptor(nil)
					if err := handshake(c, a); err != nil {
						t.Error(err)
					} else if who := a.Info().Initiator.String(); who != "user@NEGO.TEST" {
						t.Error(who)
					}
					a.Close()
				}
				c.Close()
			}
		})
	}
	var dropper sync.WaitGroup
	dropper.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
				dropSnapshots()
			}
		}
	})
	wg.Wait()
	close(done)
	dropper.Wait()
	if made() == before {
		t.Error("no snapshot was used")
	}
	settle(t)
}

// Whoever waits for a snapshot goes on when all there were are of no more use.
func TestSnapshotsGoWhileCallersWait(t *testing.T) {
	mustWarm(t, www, nil)
	of := service{www, SPNEGO}
	type loan struct {
		g  *generation
		st *stock
		sn snapshot
	}
	var lent []loan
	for len(lent) < enough() {
		if g, st, sn := kept.lend(of); g != nil {
			lent = append(lent, loan{g, st, sn})
		} else {
			kept.take(of)
		}
	}
	const callers = 50
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			c, _, _, err := first(www, nil)
			if err != nil {
				t.Error(err)
			}
			c.Close()
		})
	}
	for stacks := ""; strings.Count(stacks, "sync.(*Cond).Wait(") < callers; stacks = goroutines() {
	}
	for _, l := range lent {
		kept.refuse(of) // as step does, so that none is taken again soon
		kept.put(l.g, l.st, l.sn, false)
	}
	back := make(chan struct{})
	go func() {
		wg.Wait()
		close(back)
	}()
	select {
	case <-back:
	case <-time.After(generationAge / 2):
		t.Error("some wait for a snapshot that nobody has")
		dropSnapshots()
		<-back
	}
}

// goroutines is where all are.
func goroutines() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// What is kept is bounded, and what is used up is freed.
func TestSnapshotLeavesNothing(t *testing.T) {
	settle(t)
	mustWarm(t, www, nil)
	objects := func() int64 { parsed.drop(nil); return liveObjects() } // krb5.conf may begin to be kept on the way
	alive := objects()
	for range 2000 {
		c, _, _, err := first(www, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	if now := objects(); now > alive {
		t.Errorf("%d C objects, %d before", now, alive)
	}
	for range 100 {
		dropSnapshots()
		mustWarm(t, www, nil)
	}
	settle(t)
	// The cache may hold more tickets than are kept.
	mustWarm(t, www, nil)
	kept.mu.Lock()
	kept.now.n = maxSnapshots
	kept.mu.Unlock()
	for range 3 {
		if c, _, snapped, err := first(www, &Options{Mech: KRB5}); snapped || err != nil {
			t.Error(snapped, err)
		} else {
			c.Close()
		}
	}
	settle(t)
}

// kept counts nobody's past: a generation ends by itself.
func TestSnapshotGenerationEnds(t *testing.T) {
	mustWarm(t, www, nil)
	kept.mu.Lock()
	g := kept.now
	g.end.Reset(0)
	kept.mu.Unlock()
	for deadline := time.Now().Add(20 * time.Second); ; {
		kept.mu.Lock()
		over := g.over
		kept.mu.Unlock()
		if over {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it goes on")
		}
	}
	settle(t)
}

// twoUsers makes ticket caches of two users, whose names are of one length, with tickets for www.
func twoUsers(t *testing.T, dir string) (users [2]string) {
	t.Helper()
	for n := range users {
		users[n] = unique("user-")
		for len(users[n]) < 12 {
			users[n] += "-"
		}
		if err := realm.AddUser(users[n], "secret"); err != nil {
			t.Fatal(err)
		}
		cc := "FILE:" + filepath.Join(dir, fmt.Sprint(n))
		if err := realm.Kinit(t.Context(), users[n], cc); err != nil {
			t.Fatal(err)
		}
		c, err := Acquire(t.Context(), &CredentialOptions{Store: Store{CCache: cc}})
		if err != nil {
			t.Fatal(err)
		}
		i := NewInitiator(www, &Options{Credential: c})
		if _, err := i.Step(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		i.Close()
		c.Close()
	}
	if err := realm.AddToKeytab(filepath.Join(dir, "keys"), users[0], users[1]); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "home"), 0o700); err != nil {
		t.Fatal(err)
	}
	return users
}

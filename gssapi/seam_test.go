package gssapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// settle waits until the C side holds nothing that Go has not freed.
func settle(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); held() != 0; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatalf("%d C objects are alive", held())
		}
	}
}

// held counts what the C side has handed out, without what the package keeps for itself, which comes and goes as files change. Of
// two counts, the first one comes behind a settle, or the garbage collector frees what earlier tests have left in between.
func held() int64 {
	dropSnapshots()
	parsed.drop(nil)
	return liveObjects()
}

// silent is a service that no other test asks for: a ticket for it in the default cache would need no KDC.
var silent = Service("host", "silent.nego.test")

// silence puts something in the KDC's place that takes requests and never answers. The channel gets one
// value for each request. After the returned function was called, the calls that wait come back.
func silence(t *testing.T) (requests <-chan struct{}, end func()) {
	t.Helper()
	stopKDC(t)
	udp, err := net.ListenPacket("udp", realm.Addr)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", realm.Addr)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan struct{}, 1000)
	var readers sync.WaitGroup
	readers.Go(func() {
		b := make([]byte, 65536)
		for {
			if _, _, err := udp.ReadFrom(b); err != nil {
				return
			}
			select {
			case seen <- struct{}{}:
			default:
			}
		}
	})
	var mu sync.Mutex
	var conns []net.Conn
	readers.Go(func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		}
	})
	end = sync.OnceFunc(func() {
		udp.Close()
		tcp.Close()
		readers.Wait()
		for _, c := range conns {
			c.Close()
		}
	})
	t.Cleanup(end)
	return seen, end
}

// Each of many goroutines must read the text of its own failure: the library keeps it per OS thread.
func TestErrorOfTheRightGoroutine(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for n := range 20 {
				host := fmt.Sprintf("h%d-%d.nego.test", g, n)
				c := NewInitiator(Service("HTTP", host), nil)
				_, err := c.Step(t.Context(), nil)
				c.Close()
				if err == nil || !strings.Contains(err.Error(), either("Server HTTP/"+host+"@NEGO.TEST not found", "SERVER (HTTP/"+host+"@NEGO.TEST)")) {
					t.Errorf("for %s: %v", host, err)
				}
			}
		})
	}
	wg.Wait()
	settle(t)
}

func TestStepIsCancelled(t *testing.T) {
	settle(t)
	cred := newTicket(t, "alice")
	settled := held()
	_, end := silence(t)
	for _, tc := range []struct {
		name string
		opts Options
	}{{"default", Options{}}, {"credential", Options{Credential: cred}}} {
		t.Run(tc.name, func(t *testing.T) {
			cause := errors.New("the user went home")
			ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, cause)
			defer cancel()
			c := NewInitiator(silent, &tc.opts)
			start := time.Now()
			_, err := c.Step(ctx, nil)
			if took := time.Since(start); took < 100*time.Millisecond || took > 3*time.Second {
				t.Errorf("came back after %v", took)
			}
			var e *Error
			if !errors.Is(err, cause) || !errors.As(err, &e) || e.Name != silent.String() {
				t.Error(err)
			}
			if _, err := c.Step(context.Background(), nil); !errors.Is(err, ErrNoContext) || !strings.Contains(err.Error(), "abandoned") {
				t.Errorf("the next step: %v", err)
			}
			if held() <= settled {
				t.Error("the abandoned call holds nothing")
			}
			c.Close() // while the call is inside the library
		})
	}
	cred.Close()
	end()
	settle(t)
}

func TestAcquireIsCancelled(t *testing.T) {
	silence(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := Acquire(ctx, &CredentialOptions{Name: User("alice"), Store: Store{Password: "guess"}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestCancelledBeforeTheCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := NewInitiator(www, nil)
	defer c.Close()
	if _, err := c.Step(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := Acquire(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	settle(t)
}

// Calls that wait for the KDC fill their slots. Further ones wait with their context, and acceptors do not wait.
func TestSlots(t *testing.T) {
	ticket := newTicket(t, "alice")
	initiator := NewInitiator(www, &Options{Credential: ticket})
	defer initiator.Close()
	token, err := initiator.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	old := network
	network = make(slots, 4)
	requests, end := silence(t)
	stuck, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range cap(network) {
		wg.Go(func() {
			c := NewInitiator(silent, nil)
			defer c.Close()
			c.Step(stuck, nil)
		})
	}
	for range cap(network) {
		<-requests
	}
	cancel()
	wg.Wait()
	// Nobody waits for the four any more, and they still hold their slots.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	c := NewInitiator(www, &Options{Credential: ticket})
	defer c.Close()
	if _, err := c.Step(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a fifth: %v", err)
	}
	if err := acceptOnce(t, token); err != nil {
		t.Errorf("an acceptor: %v", err)
	}
	end()
	for range cap(network) { // each comes back
		network <- struct{}{}
	}
	network = old
	initiator.Close()
	c.Close()
	ticket.Close()
	settle(t)
}

// One call that waits for the KDC must not make another wait that has all it needs.
func TestSharedCredentialDoesNotWait(t *testing.T) {
	for _, tc := range []struct {
		name string
		cred func(*testing.T) *Credential
	}{
		{"cache", func(t *testing.T) *Credential { return newTicket(t, "alice") }},
		{"password", func(t *testing.T) *Credential {
			dave := unique("dave")
			if err := realm.AddUser(dave, "dave's"); err != nil {
				t.Fatal(err)
			}
			c, err := Acquire(t.Context(), &CredentialOptions{Name: User(dave), Store: Store{Password: "dave's"}})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}},
		{"delegated", func(t *testing.T) *Credential {
			_, a := pair(t, &Options{Flags: FlagDelegate}, nil)
			return a.Delegated()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cred := tc.cred(t)
			defer cred.Close()
			pair(t, &Options{Credential: cred}, nil)
			pair(t, &Options{Credential: cred}, nil)
			requests, end := silence(t)
			var wg sync.WaitGroup
			wg.Go(func() {
				c := NewInitiator(silent, &Options{Credential: cred})
				defer c.Close()
				if _, err := c.Step(context.Background(), nil); err == nil {
					t.Error("a KDC answered")
				}
			})
			<-requests
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			for range 3 {
				c := NewInitiator(www, &Options{Credential: cred})
				if _, err := c.Step(ctx, nil); err != nil {
					t.Errorf("beside a call that waits: %v", err)
				}
				c.Close()
			}
			end()
			wg.Wait()
		})
	}
}

func TestCloseDuringStep(t *testing.T) {
	requests, end := silence(t)
	c := NewInitiator(silent, nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := c.Step(context.Background(), nil); err == nil {
			t.Error("a KDC answered")
		}
	})
	<-requests
	for range 2 {
		c.Close()
	}
	if held() == 0 {
		t.Error("Close freed what the library still uses")
	}
	end()
	wg.Wait()
	settle(t)
}

func TestUseAfterClose(t *testing.T) {
	i, a := pair(t, nil, nil)
	for _, c := range []*SecContext{i, a} {
		c.Close()
		c.Close()
		_, err1 := c.Wrap([]byte("x"), false)
		_, _, err2 := c.Unwrap([]byte("x"))
		_, err3 := c.MIC([]byte("x"))
		_, err4 := c.VerifyMIC([]byte("x"), []byte("x"))
		_, err5 := c.WrapSizeLimit(false, 100)
		_, err6 := c.Export()
		for n, err := range []error{err1, err2, err3, err4, err5, err6} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%d: %v", n, err)
			}
		}
		c.Info()
	}
	c := NewInitiator(www, nil)
	c.Close()
	if _, err := c.Step(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	settle(t)
}

// What nobody closes is freed when the garbage collector finds it, in every state of a context.
func TestNothingIsLeftAlive(t *testing.T) {
	for n := range 50 {
		i, a := NewInitiator(www, &Options{Flags: FlagDelegate | FlagMutual}), NewAcceptor(nil)
		if err := handshake(i, a); err != nil {
			t.Fatal(err)
		}
		switch n % 5 {
		case 0:
			a.Delegated() // and lost
		case 1:
			i.Info()
			a.Close()
		case 2:
			token, err := i.Export()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ImportSecContext(token); err != nil {
				t.Fatal(err)
			}
		case 3:
			c, err := Acquire(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			h := NewInitiator(www, &Options{Credential: c})
			if _, err := h.Step(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		case 4:
			NewAcceptor(nil).Step(t.Context(), []byte("no token"))
			NewInitiator(Service("HTTP", "unknown.nego.test"), nil).Step(t.Context(), nil)
		}
	}
	settle(t)
}

// Every leg must pass the credential and the bindings: here the second one is the acceptor's first that needs
// them, and the environment has none.
func TestEveryLegIsEqual(t *testing.T) {
	cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
	if err := realm.Kinit(t.Context(), "alice", cc); err != nil {
		t.Fatal(err)
	}
	out := child(t, "legs", "KRB5CCNAME=FILE:/nonexistent", "KRB5_KTNAME=FILE:/nonexistent", "TEST_CCACHE="+cc, "TEST_KEYTAB="+realm.KeytabFile)
	if want := "alice@NEGO.TEST bound true\nalice@NEGO.TEST bound true\n" + ErrBadBindings.Error() + "\n"; out != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
}

func init() {
	children["legs"] = func() {
		ctx := context.Background()
		ticket, err := Acquire(ctx, &CredentialOptions{Store: Store{CCache: env("TEST_CCACHE")}})
		if err != nil {
			fmt.Println(err)
			return
		}
		keys, err := Acquire(ctx, &CredentialOptions{Usage: Accept, Store: Store{Keytab: env("TEST_KEYTAB")}})
		if err != nil {
			fmt.Println(err)
			return
		}
		bindings := &ChannelBinding{Data: []byte("some data")} // Heimdal takes four bytes for two ports
		try := func(mech OID, flags Flags, acceptor *ChannelBinding, hints bool) {
			i := NewInitiator(www, &Options{Credential: ticket, Mech: mech, Flags: flags, ChannelBinding: bindings})
			a := NewAcceptor(&Options{Credential: keys, ChannelBinding: acceptor})
			if hints { // an acceptor that speaks first
				if _, err := a.Step(ctx, nil); err != nil {
					fmt.Println(err)
				}
			}
			if err := handshake(i, a); err != nil {
				fmt.Println(errors.Unwrap(err))
				return
			}
			fmt.Println(a.Info().Initiator, "bound", a.Info().Flags&FlagChannelBound != 0)
		}
		try(SPNEGO, FlagMutual, bindings, true)
		try(KRB5, FlagMutual|FlagDCEStyle, bindings, false)
		try(SPNEGO, FlagMutual, &ChannelBinding{Data: []byte("other")}, true)
	}
}

// One credential of each kind serves many goroutines at once, each with its own context.
func TestConcurrentUse(t *testing.T) {
	ticket := newTicket(t, "alice")
	keys, err := Acquire(t.Context(), &CredentialOptions{Usage: Accept})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for range 20 {
				want := "user@NEGO.TEST"
				o := &Options{Flags: FlagMutual}
				if g%2 == 0 {
					want, o.Credential = "alice@NEGO.TEST", ticket
				}
				i, a := NewInitiator(www, o), NewAcceptor(&Options{Credential: keys})
				if err := handshake(i, a); err != nil {
					t.Error(err)
				} else if got := a.Info().Initiator.String(); got != want {
					t.Errorf("%s, want %s", got, want)
				}
				i.Close()
				a.Close()
			}
		})
	}
	wg.Wait()
	ticket.Close()
	keys.Close()
	settle(t)
}

// The first calls on a delegated credential come at once, where its tickets are not in a cache yet.
func TestConcurrentFirstUse(t *testing.T) {
	for range 20 {
		_, a := pair(t, &Options{Flags: FlagDelegate}, nil)
		d := a.Delegated()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				i := NewInitiator(www, &Options{Credential: d})
				defer i.Close()
				if _, err := i.Step(t.Context(), nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		d.Close()
	}
}

// The token that Step is given is the caller's again as soon as Step has returned, also from a call that was
// abandoned; and no call changes it.
func TestStepKeepsNoInput(t *testing.T) {
	i := NewInitiator(www, nil)
	defer i.Close()
	token, err := i.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		a := NewAcceptor(nil)
		done := make(chan struct{})
		go func() { defer close(done); cancel() }()
		in := append([]byte(nil), token...)
		a.Step(ctx, in)
		clear(in) // a race where the library still reads it
		<-done
		a.Close()
	}
}

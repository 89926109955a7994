//go:build !race && !asan

// Sanitizers keep what is freed, and count in their own way.

package gssapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soakSize is how many handshakes TestSoak makes; make soak has it make more.
func soakSize(t *testing.T) int {
	v := os.Getenv("NEGO_SOAK")
	if v == "" {
		return 4000
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// footprint is what a process holds.
type footprint struct {
	resident       int64 // bytes
	files, threads int
	goroutines     int
	objects        int64 // of C
}

func measure(t *testing.T) (f footprint) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); len(network)+len(acceptors)+len(caches) > 0; runtime.Gosched() { // calls that were abandoned
		if time.Now().After(deadline) {
			t.Fatal("calls do not come back")
		}
	}
	runtime.GC()
	runtime.GC() // what the first one cleaned up after
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		switch name {
		case "VmRSS":
			f.resident = n << 10
		case "Threads":
			f.threads = int(n)
		}
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	f.files, f.goroutines, f.objects = len(files), runtime.NumGoroutine(), liveObjects()
	return f
}

func (f footprint) String() string {
	return fmt.Sprintf("%.1f MiB, %d files, %d threads, %d goroutines, %d C objects", float64(f.resident)/(1<<20), f.files, f.threads, f.goroutines, f.objects)
}

// soak is what its handshakes share.
type soak struct {
	ctx            context.Context
	ticket, spent  *Credential // of alice, and one that is over
	keys, wrong    *Credential // of the service, and of another
	spentFile      string
	spentCache     []byte // as it was in the beginning
	bindings, lies *ChannelBinding
	kinds          []soakKind
}

// A soakKind is one kind of handshake; it returns what it should not have come to. One that asks the KDC is made less often.
type soakKind struct {
	name string
	rare bool
	run  func() error
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	s := &soak{ctx: t.Context(), ticket: newTicket(t, "alice"), bindings: &ChannelBinding{Data: []byte("tls-server-end-point:soak")}, lies: &ChannelBinding{Data: []byte("tls-server-end-point:lies")}}
	s.keys = acceptor(t, Service("HTTP", ""), realm.KeytabFile)
	s.wrong = acceptor(t, Name{}, addKeys(t, filepath.Join(t.TempDir(), "keytab"), "host/www.nego.test"))
	s.spentFile = filepath.Join(t.TempDir(), "cc")
	if err := realm.Kinit(t.Context(), "bob", "FILE:"+s.spentFile); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.spent, err = Acquire(t.Context(), &CredentialOptions{Store: Store{CCache: "FILE:" + s.spentFile}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.spent.Close() })
	expire(t, s.spentFile)
	if s.spentCache, err = os.ReadFile(s.spentFile); err != nil {
		t.Fatal(err)
	}
	s.kinds = []soakKind{
		{"default", false, func() error { return s.good(nil, &Options{Flags: FlagMutual}, nil) }},
		{"Kerberos alone", false, func() error { return s.good(s.ticket, &Options{Mech: KRB5}, nil) }},
		{"bindings and messages", false, func() error {
			return s.good(s.ticket, &Options{Flags: FlagMutual, ChannelBinding: s.bindings}, func(i, a *SecContext) error {
				wrapped, err := i.Wrap([]byte("text"), true)
				if err != nil {
					return err
				}
				text, _, err := a.Unwrap(wrapped)
				if err != nil || string(text) != "text" {
					return fmt.Errorf("%q, %w", text, err)
				}
				mic, err := a.MIC(text)
				if err != nil {
					return err
				}
				_, err = i.VerifyMIC(text, mic)
				return err
			})
		}},
		{"three legs", false, func() error { return s.good(s.ticket, &Options{Mech: KRB5, Flags: FlagMutual | FlagDCEStyle}, nil) }},
		{"exported", false, func() error {
			return s.good(s.ticket, &Options{Flags: FlagMutual}, func(i, _ *SecContext) error {
				token, err := i.Export()
				if err != nil {
					return err
				}
				c, err := ImportSecContext(token)
				if err != nil {
					return err
				}
				return c.Close()
			})
		}},
		{"delegated", true, func() error {
			return s.good(s.ticket, &Options{Flags: FlagDelegate | FlagMutual}, func(_, a *SecContext) error {
				d := a.Delegated()
				if d == nil {
					return errors.New("nothing was delegated")
				}
				return d.Close()
			})
		}},
		{"left half", false, func() error { _, err := s.token(&Options{Flags: FlagMutual}); return err }},
		{"closed by nobody", true, func() error {
			i, a := NewInitiator(www, &Options{Flags: FlagMutual}), NewAcceptor(nil)
			return handshake(i, a)
		}},
		{"noise", false, func() error { return s.refused(s.keys, []byte("noise"), nil, nil) }},
		{"nothing", false, func() error { return s.refused(s.keys, bytes.Repeat([]byte{0x60}, 3), nil, nil) }},
		{"half a token", false, func() error { return s.changed(func(b []byte) []byte { return b[:len(b)/2] }) }},
		{"a bit changed", false, func() error { return s.changed(func(b []byte) []byte { b[len(b)-9] ^= 1; return b }) }},
		{"other bindings", false, func() error {
			token, err := s.token(&Options{ChannelBinding: s.bindings})
			if err != nil {
				return err
			}
			return s.refused(s.keys, token, s.lies, ErrBadBindings)
		}},
		{"another key", false, func() error {
			token, err := s.token(&Options{Mech: KRB5})
			if err != nil {
				return err
			}
			return s.refused(s.wrong, token, nil, nil)
		}},
		{"a false answer", false, func() error {
			i := NewInitiator(www, &Options{Mech: KRB5, Flags: FlagMutual, Credential: s.ticket})
			defer i.Close()
			token, err := i.Step(s.ctx, nil)
			if err != nil {
				return err
			}
			a := NewAcceptor(&Options{Credential: s.keys})
			defer a.Close()
			answer, err := a.Step(s.ctx, token)
			if err != nil {
				return err
			}
			answer[len(answer)-9] ^= 1
			_, err = i.Step(s.ctx, answer)
			return fails(err, nil)
		}},
		{"no such mechanism", false, func() error { _, err := s.token(&Options{Mech: "\x2a\x03\x04"}); return fails(err, ErrBadMech) }},
		{"no such name", false, func() error {
			i := NewInitiator(Principal(""), nil)
			defer i.Close()
			_, err := i.Step(s.ctx, nil)
			return fails(err, ErrBadName)
		}},
		{"no such service", true, func() error {
			i := NewInitiator(Service("HTTP", "unknown.nego.test"), &Options{Credential: s.ticket})
			defer i.Close()
			_, err := i.Step(s.ctx, nil)
			return fails(err, ErrFailure)
		}},
		{"no ticket", false, func() error {
			_, err := Acquire(s.ctx, &CredentialOptions{Store: Store{CCache: "FILE:/nonexistent"}})
			return fails(err, ErrNoCred)
		}},
		{"a ticket that is over", false, func() error {
			i := NewInitiator(www, &Options{Credential: s.spent})
			defer i.Close()
			_, err := i.Step(s.ctx, nil)
			return fails(err, nil)
		}},
		{"a wrong password", true, func() error {
			_, err := Acquire(s.ctx, &CredentialOptions{Name: User("alice"), Store: Store{Password: "guess"}})
			return fails(err, nil)
		}},
		{"no keytab", false, func() error {
			_, err := Acquire(s.ctx, &CredentialOptions{Usage: Accept, Store: Store{Keytab: "FILE:/nonexistent"}})
			return fails(err, ErrNoCred)
		}},
		{"cancelled", false, func() error {
			ctx, cancel := context.WithCancel(s.ctx)
			go cancel()
			i := NewInitiator(www, &Options{Flags: FlagMutual})
			defer i.Close()
			if _, err := i.Step(ctx, nil); err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		}},
	}
	if !heimdal { // which takes tokens twice
		s.kinds = append(s.kinds, soakKind{"a token again", false, func() error {
			token, err := s.token(&Options{})
			if err != nil {
				return err
			}
			a := NewAcceptor(&Options{Credential: s.keys})
			defer a.Close()
			if _, err := a.Step(s.ctx, token); err != nil {
				return err
			}
			return s.refused(s.keys, token, nil, nil)
		}})
	}
	return s
}

// fails is nil where there was an error, and the right one.
func fails(err, want error) error {
	if err == nil || want != nil && !errors.Is(err, want) {
		return fmt.Errorf("it ended with %w", err)
	}
	return nil
}

// good makes a handshake that succeeds, and then uses it.
func (s *soak) good(cred *Credential, o *Options, use func(i, a *SecContext) error) error {
	o.Credential = cred
	i, a := NewInitiator(www, o), NewAcceptor(&Options{Credential: s.keys, ChannelBinding: o.ChannelBinding})
	defer i.Close()
	defer a.Close()
	err := handshake(i, a)
	if err == nil && use != nil {
		err = use(i, a)
	}
	return err
}

// token makes an initiator's first.
func (s *soak) token(o *Options) ([]byte, error) {
	o.Credential = s.ticket
	i := NewInitiator(www, o)
	defer i.Close()
	return i.Step(s.ctx, nil)
}

// changed has an acceptor refuse a token that is not what it was.
func (s *soak) changed(change func([]byte) []byte) error {
	token, err := s.token(&Options{Mech: KRB5})
	if err != nil {
		return err
	}
	return s.refused(s.keys, change(token), nil, nil)
}

func (s *soak) refused(cred *Credential, token []byte, bindings *ChannelBinding, want error) error {
	a := NewAcceptor(&Options{Credential: cred, ChannelBinding: bindings})
	defer a.Close()
	_, err := a.Step(s.ctx, token)
	return fails(err, want)
}

// shake makes n handshakes of all kinds.
func (s *soak) shake(t *testing.T, n int) {
	var frequent []soakKind
	for _, k := range s.kinds {
		if !k.rare {
			frequent = append(frequent, k)
		}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				at := int(next.Add(1)) - 1
				if at >= n {
					return
				}
				k := &frequent[at%len(frequent)]
				if at%50 == 0 {
					k = &s.kinds[at/50%len(s.kinds)]
				}
				if err := k.run(); err != nil {
					t.Errorf("%s: %v", k.name, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// shorten gives the files back their length that the library makes longer and reads from their beginning each time: the replay cache,
// and a cache whose ticket is over, in which it notes each time when it is to look again.
func (s *soak) shorten(t *testing.T) {
	t.Helper()
	file, ok := strings.CutPrefix(os.Getenv("KRB5RCACHENAME"), "file2:")
	if err := os.Remove(file); !ok || err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(file, err)
	}
	if err := os.WriteFile(s.spentFile, s.spentCache, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Handshakes of every kind, good ones and all that fail, leave nothing behind: memory, files, threads and goroutines stay as they
// are once all kinds have been there, and no C object is left in the end. The process has Kerberos alone: gss-ntlmssp loses memory of
// its own.
func TestSoak(t *testing.T) {
	settle(t) // nothing is of other tests
	size := soakSize(t)
	s := newSoak(t)
	rounds := max(20, size/10000)
	begin := time.Now()
	s.shake(t, max(size/20, 50*len(s.kinds))) // warms up
	var all []footprint
	for n := range rounds {
		s.shorten(t)
		s.shake(t, size/rounds)
		if t.Failed() {
			return
		}
		all = append(all, measure(t))
		t.Logf("%d handshakes of %d in %v: %v", (n+1)*(size/rounds), size, time.Since(begin).Round(time.Second), all[n])
	}
	first, last := all[0], all[len(all)-1]
	resident := func(l []footprint) int64 { // the median of some
		l = slices.Clone(l)
		slices.SortFunc(l, func(a, b footprint) int { return int(a.resident - b.resident) })
		return l[len(l)/2].resident
	}
	if grown := resident(all[len(all)-5:]) - resident(all[:5]); grown > 2<<20 {
		t.Errorf("memory has grown by %d KiB", grown>>10)
	}
	if last.files > first.files || last.goroutines > first.goroutines+2 || last.threads > first.threads+8 {
		t.Errorf("%v became %v", first, last)
	}
	for _, c := range []*Credential{s.ticket, s.spent, s.keys, s.wrong} {
		c.Close()
	}
	settle(t)
}

package krbtest

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

func TestStopStart(t *testing.T) {
	t.Parallel()
	r := Start(t, nil)
	addr := r.Addr
	for range 3 {
		for range 2 {
			if err := r.StopKDC(); err != nil {
				t.Fatal(err)
			}
		}
		err := r.Kinit(t.Context(), "user", "")
		if err == nil {
			t.Fatal("kinit without a KDC")
		}
		mustContain(t, err.Error(), "krbtest: kinit user: ")

		// The port is free, for TCP and UDP.
		tcp, err := net.Listen("tcp4", addr)
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp4", addr)
		if err != nil {
			t.Fatal(err)
		}
		// The database can be changed all the same.
		if err := r.AddToKeytab(r.KeytabFile, "user"); err != nil {
			t.Error(err)
		}
		err = r.StartKDC()
		if err == nil {
			t.Fatal("started on a port that is taken")
		}
		mustContain(t, err.Error(), "krbtest: start krb5kdc on "+addr, "krb5kdc ended", "in use")
		tcp.Close()
		udp.Close()

		for range 2 {
			if err := r.StartKDC(); err != nil {
				t.Fatal(err)
			}
		}
		if r.Addr != addr {
			t.Errorf("address %s, was %s", r.Addr, addr)
		}
		if err := r.Kinit(t.Context(), "user", ""); err != nil {
			t.Fatal(err)
		}
	}
}

// A KDC that ends by itself is reported, and can be started again.
func TestCrash(t *testing.T) {
	t.Parallel()
	r := Start(t, nil)
	crash := func() {
		killGroup(r.kdc.cmd.Process.Pid)
		<-r.kdc.running.Done()
	}
	crash()
	err := r.StopKDC()
	if !errors.Is(err, errEnded) {
		t.Fatal(err)
	}
	mustContain(t, err.Error(), "kdc.log", "ISSUE")
	if err := r.StartKDC(); err != nil {
		t.Fatal(err)
	}
	crash()
	if err := r.StartKDC(); err != nil {
		t.Fatal(err)
	}
	if err := r.Kinit(t.Context(), "user", ""); err != nil {
		t.Error(err)
	}
	// Only the shell is killed, as by the out-of-memory killer.
	if err := r.kdc.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := r.StopKDC(); err != nil {
		t.Error(err)
	}
	for _, network := range []string{"tcp", "udp"} {
		if err := r.probe.ask(t.Context(), network, r.Addr); err == nil {
			t.Errorf("%s: the KDC lives on", network)
		}
	}
}

func TestParallelRealms(t *testing.T) {
	t.Parallel()
	const n = 8
	var wg sync.WaitGroup
	realms := make([]*Realm, n)
	for i := range realms {
		wg.Go(func() {
			user := fmt.Sprintf("only%d", i)
			r, err := New(t.Context(), &Options{Users: []string{user}})
			if err != nil {
				t.Error(err)
				return
			}
			realms[i] = r
		})
	}
	wg.Wait()
	ports := map[string]bool{}
	for i, r := range realms {
		if r == nil {
			continue
		}
		wg.Go(func() {
			for range 5 {
				if err := r.Kinit(t.Context(), fmt.Sprintf("only%d", i), ""); err != nil {
					t.Error(err)
				}
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
		if ports[r.Addr] {
			t.Errorf("two realms on %s", r.Addr)
		}
		ports[r.Addr] = true
	}
	wg.Wait()
}

// A realm which is given the port of another one notices, and takes the next.
func TestForeignKDC(t *testing.T) {
	t.Parallel()
	first := Start(t, nil)
	var given []string
	second, err := newRealm(t.Context(), nil, hooks{dirs: programDirs(), reserve: func() (*reservation, error) {
		if len(given) == 0 {
			given = append(given, first.Addr)
			return &reservation{addr: first.Addr}, nil
		}
		p, err := reserve()
		if err == nil {
			given = append(given, p.addr)
		}
		return p, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if len(given) != 2 || second.Addr != given[1] || second.Addr == first.Addr {
		t.Errorf("ports %q, first %s, second %s", given, first.Addr, second.Addr)
	}
	for _, r := range []*Realm{first, second} {
		for range 10 {
			if err := r.Kinit(t.Context(), "user", ""); err != nil {
				t.Fatal(err)
			}
		}
	}

	// On one port only, there is an error, and nothing is left of the KDC.
	_, err = newRealm(t.Context(), &Options{Realm: "THIRD.TEST"}, hooks{dirs: programDirs(), reserve: func() (*reservation, error) {
		return &reservation{addr: first.Addr}, nil
	}})
	if !errors.Is(err, errForeign) {
		t.Fatal(err)
	}
	mustContain(t, err.Error(), "krbtest: start krb5kdc on "+first.Addr)
	if err := first.probe.prove(t.Context(), first.kdc.running, first.Addr); err != nil {
		t.Error(err)
	}
}

// The guard keeps the port of a realm from other realms, also while the KDC is
// stopped.
func TestGuard(t *testing.T) {
	t.Parallel()
	p, err := reserve()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if p.guard == nil {
		t.Fatal("no guard on this machine, which has no loopback address besides 127.0.0.1")
	}
	p.free()
	guard := p.guard.(net.Listener).Addr().String()
	if _, err := net.Listen("tcp", guard); err == nil {
		t.Errorf("%s can be taken", guard)
	}
	p.close()
	l, err := net.Listen("tcp", guard)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestCheckAnswer(t *testing.T) {
	t.Parallel()
	krbError := func(code byte) []byte {
		return der(1, msgKrbError, true, sequence(field(0, integer(5)), field(1, integer(30)), field(6, integer(code))))
	}
	for _, answer := range [][]byte{krbError(25), der(1, msgASRep, true, nil)} {
		if err := checkAnswer(answer); err != nil {
			t.Errorf("%x: %v", answer, err)
		}
	}
	for _, answer := range [][]byte{
		nil, {0}, []byte("HTTP/1.1 400 Bad Request"), krbError(6), krbError(68), sequence(),
		der(1, msgKrbError, true, nil), der(1, msgKrbError, true, sequence()), der(1, 13, true, nil),
		der(1, msgKrbError, true, sequence(field(6, nil))), der(1, msgKrbError, true, sequence([]byte{0xa6, 9})),
	} {
		if err := checkAnswer(answer); !errors.Is(err, errForeign) {
			t.Errorf("%x: %v", answer, err)
		}
	}
}

// The request is what RFC 4120 says, as far as the KDC's log tells.
func TestRequest(t *testing.T) {
	t.Parallel()
	r := Start(t, nil)
	for _, network := range []string{"tcp", "udp"} {
		if err := r.probe.ask(t.Context(), network, r.Addr); err != nil {
			t.Errorf("%s: %v", network, err)
		}
		unknown := probe{realm: r.Name, principal: "krbtest/unknown" + strings.Repeat("x", 200)} // long lengths
		if err := unknown.ask(t.Context(), network, r.Addr); !errors.Is(err, errForeign) {
			t.Errorf("%s: %v", network, err)
		} else {
			mustContain(t, err.Error(), "Kerberos error 6")
		}
	}
	mustContain(t, tail(r.logFile(), 0), r.probe.principal, "krbtgt/"+r.Name)
}

// Whatever answers on the port of a KDC, it is told from one, and never mistaken for one that knows the realm's principal unless it
// says so.
func FuzzCheckAnswer(f *testing.F) {
	krbError := func(code byte) []byte {
		return der(1, msgKrbError, true, sequence(field(0, integer(5)), field(1, integer(30)), field(6, integer(code))))
	}
	for _, answer := range [][]byte{nil, {0}, []byte("HTTP/1.1 400 Bad Request"), krbError(6), krbError(25), der(1, msgASRep, true, nil),
		der(1, msgKrbError, true, sequence(field(6, nil))), {0x7e, 0x84, 0xff, 0xff, 0xff, 0xff}} {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		err := checkAnswer(answer)
		if err == nil && (len(answer) < 2 || answer[0]&^0x20 != 0x4b && answer[0]&^0x20 != 0x5e) {
			t.Errorf("%x is taken for a KDC's", answer)
		}
		if err != nil && !errors.Is(err, errForeign) {
			t.Error(err)
		}
	})
}

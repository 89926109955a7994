package negotiate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// relay stands before a KDC, for its clients. What it makes of each answer is the test's choice.
type relay struct {
	addr, kdc string
	answer    atomic.Pointer[func(answer []byte) ([]byte, bool)] // what goes back, and whether anything does
	asked     atomic.Int64
}

// newRelay starts one, which answers as the KDC does.
func newRelay(t *testing.T, kdc string) *relay {
	t.Helper()
	r := &relay{kdc: kdc}
	var tcp net.Listener
	var udp net.PacketConn
	for try := 0; ; try++ { // one port for both
		var err error
		if tcp, err = net.Listen("tcp", "127.0.0.1:0"); err == nil {
			if udp, err = net.ListenPacket("udp", tcp.Addr().String()); err == nil {
				break
			}
			tcp.Close()
		}
		if try == 20 {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { tcp.Close(); udp.Close() })
	r.addr = tcp.Addr().String()
	r.set(faithful)
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go r.serveTCP(c)
		}
	}()
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			request := append([]byte(nil), b[:n]...)
			go func() {
				if answer, ok := r.ask("udp", request); ok {
					udp.WriteTo(answer, from)
				}
			}()
		}
	}()
	return r
}

func faithful(answer []byte) ([]byte, bool) { return answer, true }

func (r *relay) set(answer func([]byte) ([]byte, bool)) { r.answer.Store(&answer) }

func (r *relay) serveTCP(c net.Conn) {
	defer c.Close()
	size := make([]byte, 4)
	if _, err := io.ReadFull(c, size); err != nil {
		return
	}
	request := make([]byte, binary.BigEndian.Uint32(size))
	if _, err := io.ReadFull(c, request); err != nil {
		return
	}
	if answer, ok := r.ask("tcp", append(size, request...)); ok {
		c.Write(answer)
	}
}

func (r *relay) ask(network string, request []byte) ([]byte, bool) {
	r.asked.Add(1)
	c, err := net.Dial(network, r.kdc)
	if err != nil {
		return nil, false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write(request); err != nil {
		return nil, false
	}
	b := make([]byte, 64<<10)
	n, err := c.Read(b)
	if network == "tcp" && err == nil && n >= 4 {
		all := 4 + int(binary.BigEndian.Uint32(b))
		var more int
		more, err = io.ReadFull(c, b[n:max(n, all)])
		n += more
	}
	if err != nil {
		return nil, false
	}
	return (*r.answer.Load())(b[:n])
}

const kdcVariable = "NEGOTIATE_TEST_KDC"

// behind runs the calling test in a child process whose KDCs are relays, and returns them there. It asks them by UDP first, or
// by TCP alone.
func behind(t *testing.T, relays int, network string) []*relay {
	t.Helper()
	var env []string
	if realm != nil {
		dir := t.TempDir()
		cache := filepath.Join(dir, "ccache")
		if err := realm.Kinit(t.Context(), "user", "FILE:"+cache); err != nil {
			t.Fatal(err)
		}
		env = []string{"KRB5_CONFIG=" + filepath.Join(dir, "krb5.conf"), "KRB5CCNAME=FILE:" + cache, kdcVariable + "=" + realm.Addr + " " + realm.Config}
	}
	if !inChild(t, env...) {
		return nil
	}
	kdc, conf, _ := strings.Cut(os.Getenv(kdcVariable), " ")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	var all []*relay
	var lines, first string
	prefix := "\t\tkdc = "
	if network == "tcp" {
		first, prefix = either("[libdefaults]\n\tudp_preference_limit = 1\n", ""), either(prefix, prefix+"tcp/")
	}
	for range relays {
		r := newRelay(t, kdc)
		all, lines = append(all, r), lines+prefix+r.addr+"\n"
	}
	// The library has not read it yet.
	changed := strings.Replace(string(text), "\t\tkdc = "+kdc+"\n", lines, 1)
	if changed == string(text) {
		t.Fatal("krb5.conf has no such KDC")
	}
	if err := os.WriteFile(os.Getenv("KRB5_CONFIG"), []byte(first+changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return all
}

// freshHost makes a service that nobody has a ticket for yet, in a child process.
func freshHost(t *testing.T) string {
	t.Helper()
	h := fmt.Sprintf("fault%d-%d.nego.test", os.Getpid(), serial.Add(1))
	command(t, "kadmin.local", "-r", "NEGO.TEST", "-q", "addprinc -randkey HTTP/"+h)
	command(t, "kadmin.local", "-r", "NEGO.TEST", "-q", "ktadd -norandkey -k "+os.Getenv("KRB5_KTNAME")+" HTTP/"+h)
	return h
}

// KDCs that are not there, are slow or talk nonsense: the request is answered as that of somebody without a ticket, with the
// reason, in time; and the next one is fine when the KDC is.
func TestFaultyKDC(t *testing.T) { faultyKDC(t, "udp") }

func TestFaultyKDCOverTCP(t *testing.T) { faultyKDC(t, "tcp") }

func faultyKDC(t *testing.T, network string) {
	relays := behind(t, 1, network)
	if relays == nil {
		return
	}
	r := relays[0]
	s := protect(t, new(Authenticator))
	tr := &Transport{Base: sendTo(s.Listener.Addr().String())}
	defer tr.CloseIdleConnections()
	replace := func(b []byte) func([]byte) ([]byte, bool) {
		return func([]byte) ([]byte, bool) { return b, true }
	}
	for _, c := range []struct {
		name   string
		answer func([]byte) ([]byte, bool)
		works  bool
	}{
		{"slow", func(b []byte) ([]byte, bool) { <-time.After(300 * time.Millisecond); return b, true }, true},
		{"dead in mid-flight", func([]byte) ([]byte, bool) { return nil, false }, false},
		{"dead in mid-answer", func(b []byte) ([]byte, bool) { return b[:len(b)/2], true }, false},
		{"nothing in it", replace(nil), false},
		{"noise", replace([]byte("\x00\x00\x00\x10sixteen bytes of")), false},
		{"HTTP", replace([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), false},
		{"a promise of 2 GiB", replace([]byte("\x7f\xff\xff\xff\x30")), false},
		{"a bit changed", func(b []byte) ([]byte, bool) { b[len(b)-20] ^= 1; return b, true }, false},
		{"an endless number", replace(append([]byte("\x00\x00\x00\x14\x6d\x84\x7f\xff\xff\xff\x30\x84\x7f\xff\xff\xf0"), make([]byte, 8)...)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.set(c.answer)
			host := freshHost(t)
			before := r.asked.Load()
			patience := 3 * time.Second // the library's is longer
			if c.works {
				patience = 20 * time.Second
			}
			resp, body, err := within(t, tr, patience, "http://"+host)
			switch {
			case r.asked.Load() == before:
				t.Error("the KDC was not asked")
			case c.works && (err != nil || body != "user@NEGO.TEST"):
				t.Errorf("%q, %v", body, err)
			case !c.works && err == nil:
				o := OutcomeOf(resp)
				if e := (*Error)(nil); resp.StatusCode != 401 || !errors.As(o.Err, &e) || !strings.Contains(o.Err.Error(), host) {
					t.Errorf("%s, %q, %+v", resp.Status, body, o)
				}
				t.Log(o.Err)
			case !c.works && !errors.Is(err, context.DeadlineExceeded):
				t.Error(err)
			}
			r.set(faithful)
			if resp, body, err := within(t, tr, 20*time.Second, "http://"+host); err != nil || body != "user@NEGO.TEST" {
				t.Errorf("and then %v, %q, %v", resp, body, err)
			}
		})
	}
}

// within sends a request that has to end in time, whatever comes of it.
func within(t *testing.T, tr *Transport, d time.Duration, target string) (*http.Response, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	start := time.Now()
	defer func() {
		if took := time.Since(start); took > d+5*time.Second {
			t.Errorf("it took %v", took)
		}
	}()
	resp, err := tr.RoundTrip(newRequest(t, "GET", target, nil).WithContext(ctx))
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

// Of two KDCs the first answers nothing, or nonsense, or has died: the other one takes over.
func TestReplicaTakesOver(t *testing.T) {
	relays := behind(t, 2, "udp")
	if relays == nil {
		return
	}
	s := protect(t, new(Authenticator))
	tr := &Transport{Base: sendTo(s.Listener.Addr().String())}
	defer tr.CloseIdleConnections()
	nothing := func([]byte) ([]byte, bool) { return nil, false }
	for _, down := range []int{0, 1} { // the order in which the library asks is its own affair
		relays[down].set(nothing)
		before := relays[1-down].asked.Load()
		host := freshHost(t)
		if resp, body, err := within(t, tr, 20*time.Second, "http://"+host); err != nil || body != "user@NEGO.TEST" {
			t.Errorf("without the KDC %d: %v, %q, %v", down, resp, body, err)
		}
		if relays[1-down].asked.Load() == before {
			t.Error("the replica was not asked")
		}
		relays[down].set(faithful)
	}
}

package forward

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

func TestSecret(t *testing.T) {
	target := echoes(t)
	o := origin(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%q", r.Header["Proxy-Authorization"]) })
	r := serve(t, &Proxy{Secret: "user:pass:word", owner: func(net.Conn) (int, error) { return 4711, nil }, self: 1})
	for _, test := range []struct {
		fields string
		ok     bool
	}{
		{"", false},
		{"Proxy-Authorization: Basic dXNlcjpwYXNzOndvcmQ=\r\n", true},
		{"Proxy-Authorization: bAsIc  dXNlcjpwYXNzOndvcmQ=\r\n", true},
		{"Authorization: Basic dXNlcjpwYXNzOndvcmQ=\r\n", false},
		{"Proxy-Authorization: Basic dXNlcjpwYXNzOndvcm\r\n", false},
		{"Proxy-Authorization: Basic dXNlcjpwYXNzOndvcmQx\r\n", false},
		{"Proxy-Authorization: Basic\r\n", false},
		{"Proxy-Authorization: Bearer dXNlcjpwYXNzOndvcmQ=\r\n", false},
		{"Proxy-Authorization: Basic dXNlcjpwYXNzOndvcmQ=\r\nProxy-Authorization: Basic dXNlcjpwYXNzOndvcmQ=\r\n", false},
	} {
		for _, line := range []string{"GET " + o.URL, "CONNECT " + target} {
			c, read := r.dial(t)
			io.WriteString(c, line+" HTTP/1.1\r\nHost: x\r\n"+test.fields+"\r\n")
			resp, err := http.ReadResponse(read, &http.Request{Method: strings.Fields(line)[0]})
			if err != nil {
				t.Fatal(err)
			}
			want := map[bool]int{true: 200, false: 407}[test.ok]
			if ask := resp.Header.Get("Proxy-Authenticate"); resp.StatusCode != want || test.ok == strings.HasPrefix(ask, "Basic ") {
				t.Errorf("%s with %q: %s, %q", line, test.fields, resp.Status, ask)
			}
			if test.ok && line[0] == 'G' {
				if b, _ := io.ReadAll(resp.Body); string(b) != "[]" {
					t.Errorf("%s went on", b)
				}
			}
		}
	}
}

// Without a secret the kernel says who may: processes of the same user, and root's.
func TestOwner(t *testing.T) {
	o := origin(t, func(http.ResponseWriter, *http.Request) {})
	for _, test := range []struct {
		uid    int
		err    error
		status int
	}{
		{1000, nil, 200},
		{0, nil, 200},
		{1001, nil, 403},
		{65534, nil, 403},
		{0, errors.New("no answer"), 403},
		{0, errOwner, 200}, // as the manual says
	} {
		calls := 0
		r := serve(t, &Proxy{self: 1000, owner: func(net.Conn) (int, error) { calls++; return test.uid, test.err }})
		c, read := r.dial(t)
		for range 2 {
			io.WriteString(c, "GET "+o.URL+" HTTP/1.1\r\nHost: x\r\n\r\n")
			resp, body := answer(t, read)
			if resp.StatusCode != test.status {
				t.Errorf("%+v: %s %s", test, resp.Status, body)
			}
			if resp.StatusCode != 200 {
				break // and the connection is closed
			}
		}
		if calls != 1 {
			t.Errorf("%+v: %d calls", test, calls)
		}
		if _, _, resp := r.open(t, strings.TrimPrefix(o.URL, "http://"), ""); resp.StatusCode != test.status {
			t.Errorf("%+v: CONNECT %s", test, resp.Status)
		}
	}
}

func TestLoops(t *testing.T) {
	r := serve(t, &Proxy{})
	_, port, _ := net.SplitHostPort(r.url.Host)
	for _, host := range []string{"127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]"} {
		if resp, body := r.raw(t, "GET http://"+host+":"+port+"/ HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != http.StatusLoopDetected {
			t.Errorf("%s: %s %s", host, resp.Status, body)
		}
		if _, _, resp := r.open(t, host+":"+port, ""); resp.StatusCode != http.StatusLoopDetected {
			t.Errorf("CONNECT %s: %s", host, resp.Status)
		}
	}

	// Its own upstream.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := serveOn(t, &Proxy{Upstream: &url.URL{Scheme: "http", Host: l.Addr().String()}}, l)
	if resp, body := own.raw(t, "GET http://origin.example/ HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != http.StatusLoopDetected {
		t.Errorf("%s %s", resp.Status, body)
	}
	if _, _, resp := own.open(t, "origin.example:443", ""); resp.StatusCode != http.StatusLoopDetected {
		t.Error(resp.Status)
	}

	// Two that lead to each other.
	l, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	there := serve(t, &Proxy{Upstream: &url.URL{Scheme: "http", Host: l.Addr().String()}})
	back := serveOn(t, &Proxy{Upstream: there.url}, l)
	for range 2 {
		if resp, body := there.raw(t, "GET http://origin.example/ HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != http.StatusLoopDetected {
			t.Errorf("%s %s", resp.Status, body)
		}
		if _, _, resp := back.open(t, "origin.example:443", ""); resp.StatusCode != http.StatusLoopDetected {
			t.Error(resp.Status)
		}
	}
}

// Clients of other machines do not get to what listens on this one for itself; its upstream proxy may.
func TestInner(t *testing.T) {
	target := echoes(t)
	_, port, _ := net.SplitHostPort(target)
	p := &Proxy{listener: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}}
	for _, addr := range []string{target, "0.0.0.0:" + port, "169.254.169.254:80", "[::1]:" + port} {
		var r *refusal
		if c, err := p.dial(t.Context(), "tcp", addr); !errors.As(err, &r) || r.status != http.StatusForbidden {
			t.Errorf("%s: %v, %v", addr, c, err)
		}
	}
	p.Upstream = &url.URL{Host: target}
	c, err := p.dial(t.Context(), "tcp", target)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestIsSelf(t *testing.T) {
	for _, test := range []struct {
		own, to string
		want    bool
	}{
		{"127.0.0.1:5", "127.0.0.1:5", true},
		{"127.0.0.1:5", "127.0.0.1:6", false},
		{"127.0.0.1:5", "127.0.0.2:5", false},
		{"127.0.0.1:5", "0.0.0.0:5", true},
		{"0.0.0.0:5", "127.0.0.2:5", true},
		{"[::]:5", "127.0.0.1:5", true},
		{"[::]:5", "[::1]:5", true},
		{"[::]:5", "192.0.2.1:5", false},
		{"192.0.2.1:5", "192.0.2.1:5", true},
	} {
		p := &Proxy{listener: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(test.own))}
		if got := p.isSelf(netip.MustParseAddrPort(test.to)); got != test.want {
			t.Errorf("%+v", test)
		}
	}
}

// When it ends, requests finish and tunnels do not.
func TestStop(t *testing.T) {
	in, goOn := make(chan bool), make(chan bool)
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		in <- true
		<-goOn
		io.WriteString(w, "done")
	})
	r := serve(t, &Proxy{})
	_, tunnel, _ := r.open(t, echoes(t), "")
	c, read := r.dial(t)
	io.WriteString(c, "GET "+o.URL+" HTTP/1.1\r\nHost: x\r\n\r\n")
	<-in
	stopped := make(chan bool)
	go func() {
		r.stop()
		close(stopped)
	}()
	// No more connections, and the one request goes on.
	for {
		c, err := net.Dial("tcp", r.url.Host)
		if err != nil {
			break
		}
		c.Close()
	}
	close(goOn)
	if resp, body := answer(t, read); resp.StatusCode != 200 || body != "done" {
		t.Errorf("%s %s", resp.Status, body)
	}
	if b, err := tunnel.ReadByte(); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("%q, %v", b, err)
	}
	select {
	case <-stopped:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
}

// Tickets come, go, and are another's.
func TestRenewal(t *testing.T) {
	const names = "FORWARD_TEST_CACHES"
	if realm != nil {
		// Once in a process; -count has several goes.
		addRenewal()
	}
	dir := t.TempDir()
	if !inChild(t, "KRB5CCNAME=FILE:"+filepath.Join(dir, "cc"), names+"="+fresh(t, "user")+" "+fresh(t, "renewal")) {
		return
	}
	caches := strings.Fields(os.Getenv(names))
	o := protected(t)
	open := origin(t, func(http.ResponseWriter, *http.Request) {})
	up := newUpstream(t)
	target := echoes(t)
	direct := serve(t, &Proxy{Allow: allow("localhost")})
	through := serve(t, &Proxy{Upstream: up.url})
	clients := [2]*http.Client{direct.client(t), through.client(t)}
	for _, who := range []string{"", "user", "user", "", "renewal", "user"} {
		cache := strings.TrimPrefix(os.Getenv("KRB5CCNAME"), "FILE:")
		want := "401"
		if who == "" {
			os.Remove(cache)
		} else {
			b, err := os.ReadFile(strings.TrimPrefix(caches[slices.Index([]string{"user", "renewal"}, who)], "FILE:"))
			if err != nil {
				t.Fatal(err)
			}
			// As kinit does it, in one step.
			if err := errors.Join(os.WriteFile(cache+".new", b, 0o600), os.Rename(cache+".new", cache)); err != nil {
				t.Fatal(err)
			}
			want = "200" + who + "@NEGO.TEST"
		}
		status, body := get(t, clients[0], o.URL)
		if got := fmt.Sprint(status, body); !strings.HasPrefix(got, want) {
			t.Errorf("as %q: %s", who, got)
		}
		if e := direct.entry(t); errors.Is(e.Err, gssapi.ErrNoCred) != (who == "") {
			t.Errorf("as %q: %+v", who, e)
		}
		// The upstream proxy lets in user alone.
		want = map[bool]string{true: "200", false: "502"}[who == "user"]
		if status, body := get(t, clients[1], open.URL); fmt.Sprint(status) != want {
			t.Errorf("as %q: upstream %d %s", who, status, body)
		}
		if _, _, resp := through.open(t, target, ""); fmt.Sprint(resp.StatusCode) != want {
			t.Errorf("as %q: CONNECT %s", who, resp.Status)
		}
	}
}

var addRenewal = sync.OnceFunc(func() {
	if err := realm.AddUser("renewal", "secret"); err != nil {
		panic(err)
	}
})

// A thousand clients at once, half of them through tunnels, all through a proxy that wants a token from each.
func TestThousand(t *testing.T) {
	const n = 1000
	var arrived atomic.Int64
	open := make(chan struct{}) // once all are there at the same time, or one will never be
	opened := sync.OnceFunc(func() { close(open) })
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		if arrived.Add(1) == n {
			opened()
		}
		<-open
		io.WriteString(w, "ok")
	})
	host := strings.TrimPrefix(o.URL, "http://")
	r := serve(t, &Proxy{Upstream: newUpstream(t).url})
	if onHeimdal { // which asks a KDC for no ticket once there are this many files
		first := origin(t, func(http.ResponseWriter, *http.Request) {})
		if status, body := get(t, r.client(t), first.URL); status != 200 {
			t.Fatal(status, body)
		}
	}
	var all sync.WaitGroup
	var ok atomic.Int64
	for i := range n {
		all.Go(func() {
			served := false
			defer func() {
				if !served {
					opened()
				}
			}()
			c, err := net.Dial("tcp", r.url.Host)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(2 * time.Minute))
			read, target := bufio.NewReader(c), o.URL+"/"
			if i%2 == 1 {
				target = "/"
				io.WriteString(c, "CONNECT "+host+" HTTP/1.1\r\nHost: x\r\n\r\n")
				if resp, err := http.ReadResponse(read, &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
					t.Error(resp, err)
					return
				}
			}
			io.WriteString(c, "GET "+target+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
			resp, err := http.ReadResponse(read, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := io.ReadAll(resp.Body); string(b) != "ok" {
				t.Errorf("%s %q %v", resp.Status, b, err)
				return
			}
			served = true
			ok.Add(1)
		})
	}
	start := time.Now()
	all.Wait()
	t.Logf("%d served in %v", ok.Load(), time.Since(start).Round(time.Millisecond))
	if ok.Load() != n || arrived.Load() != n {
		t.Errorf("%d of %d served, %d arrived", ok.Load(), n, arrived.Load())
	}
}

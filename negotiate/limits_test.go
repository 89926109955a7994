package negotiate

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// A token longer than any client's is refused without being decoded, and the library never sees it.
func TestTokenTooLong(t *testing.T) {
	for _, c := range []struct {
		size int
		long bool
	}{{65535, false}, {maxToken, false}, {maxToken + 1, true}, {maxToken + 2, true}, {10 << 20, true}} {
		value := fieldValue(make([]byte, c.size))
		for _, value := range []string{value, strings.TrimRight(value, "=")} {
			calls := 0
			var denied error
			a := &Authenticator{Trace: &Trace{
				GSS: func(_ context.Context, i GSSInfo) {
					if i.Op == "accept" {
						calls++
					}
				},
				Deny: func(_ context.Context, i DenyInfo) { denied = i.Err },
			}}
			resp, who := serve(t, a, value)
			if who != "" || resp.StatusCode != 401 || errors.Is(denied, ErrChallenge) != c.long || (calls > 0) == c.long {
				t.Errorf("%d bytes: %s, %q, %v, %d calls", c.size, resp.Status, who, denied, calls)
			}
		}
	}
	long := http.Header{replyHeader: {fieldValue(make([]byte, 10<<20))}}
	if n := testing.AllocsPerRun(10, func() {
		if _, err := requestToken(long); err != errTooLong {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// The ticket of a token may be for a name of any length, which is in clear and in the library's text: not so in ours.
func TestErrorOfALongName(t *testing.T) {
	sealed := func() []byte { return der(0x30, der(0xa0, der(2, []byte{18})), der(0xa2, der(4, make([]byte, 100)))) }
	for _, size := range []int{10, 50_000} {
		name := der(0x30, der(0xa0, der(2, []byte{1})), der(0xa1, der(0x30, der(0x1b, []byte("HTTP")), der(0x1b, bytes.Repeat([]byte("a"), size)))))
		ticket := der(0x61, der(0x30, der(0xa0, der(2, []byte{5})), der(0xa1, der(0x1b, []byte("NEGO.TEST"))), der(0xa2, name), der(0xa3, sealed())))
		request := der(0x6e, der(0x30, der(0xa0, der(2, []byte{5})), der(0xa1, der(2, []byte{14})), der(0xa2, der(3, make([]byte, 5))),
			der(0xa3, ticket), der(0xa4, sealed())))
		var denied error
		a := &Authenticator{Deny: func(w http.ResponseWriter, _ *http.Request, err error) {
			denied = err
			w.WriteHeader(401)
		}}
		serve(t, a, fieldValue(framed(gssapi.KRB5, []byte{1, 0}, request)))
		if text := fmt.Sprint(denied); len(text) > 4000 || !strings.Contains(text, "HTTP/aaaaaaaaaa") {
			t.Errorf("for a name of %d bytes %d: %.200s…", size, len(text), text)
		}
	}
}

// Nothing grows with the bad requests of a connection: it has one half of a context at the most.
func TestFloodOfOneConnection(t *testing.T) {
	a := &Authenticator{Credential: acceptorFor(t, web), ConnectionBound: true, Sessions: newSessions()}
	ctx := a.ConnContext(t.Context(), (net.Conn)(nil))
	half, err := base64.StdEncoding.DecodeString("YBsGBisGAQUFAqARMA+gDTALBgkqhkiG9xIBAgI=") // NegTokenInit without a mechToken
	if err != nil {
		t.Fatal(err)
	}
	_, used := initiate(t, web, nil)
	halves := 0
	a.Deny = func(w http.ResponseWriter, _ *http.Request, err error) {
		if errors.Is(err, ErrContinue) {
			halves++
		}
		w.WriteHeader(401)
	}
	junk := strings.Repeat("__Host-nego="+oldCookie[1:]+"; ", 100)
	// round sends each kind of bad request and returns the half that is there then.
	round := func() *gssapi.SecContext {
		for _, values := range [][]string{{"Negotiate @@@"}, {fieldValue([]byte("noise"))}, {fieldValue(used), fieldValue(used)}, nil,
			{fieldValue(used[:len(used)/2])}, {fieldValue(make([]byte, maxToken+1))}, {fieldValue(half)}, {fieldValue(half)}} {
			r := newRequest(t, "GET", "/", nil).WithContext(ctx)
			r.Header[replyHeader], r.Header["Cookie"] = values, []string{junk}
			if id, err := a.Authenticate(discardResponse{}, r); id != nil || err == nil {
				t.Fatalf("%+v", id)
			} else {
				a.Deny(discardResponse{}, r, err)
			}
		}
		c := a.conn(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.sc
	}
	for range 20 {
		round()
	}
	goroutines, heap := runtime.NumGoroutine(), heapSize()
	halves = 0
	former := round()
	for range 100 {
		next := round()
		if next == nil || next == former {
			t.Fatal("there is no half of a context")
		}
		if _, err := former.Step(t.Context(), nil); !errors.Is(err, gssapi.ErrClosed) {
			t.Fatalf("a former half: %v", err)
		}
		former = next
	}
	if halves != 202 {
		t.Errorf("%d halves", halves)
	}
	if n := runtime.NumGoroutine(); n > goroutines+2 {
		t.Errorf("%d goroutines became %d", goroutines, n)
	}
	if n := heapSize(); n > heap+256<<10 {
		t.Errorf("the heap of %d bytes became %d", heap, n)
	}
	a.conn(ctx).begin().Close()
}

func heapSize() uint64 {
	runtime.GC()
	runtime.GC() // what the first one cleaned up after
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

type discardResponse struct{}

func (discardResponse) Header() http.Header         { return http.Header{} }
func (discardResponse) Write(p []byte) (int, error) { return len(p), nil }
func (discardResponse) WriteHeader(int)             {}

// A request of too many header fields ends before it is looked at, and one of many cookies costs a few tries.
func TestHeaderFlood(t *testing.T) {
	a := &Authenticator{Sessions: &Sessions{Keys: [][]byte{sessionKey(2), sessionKey(1)}, BehindTLS: true}}
	s := protect(t, a)
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	for n, want := range map[int]int{100: 401, 1900: 401, 40000: http.StatusRequestHeaderFieldsTooLarge} {
		req := newRequest(t, "GET", s.URL, nil)
		req.Header.Set("Cookie", strings.Repeat("__Host-nego="+oldCookie+"; ", n))
		if n == 40000 {
			req.Header.Set("Cookie", strings.Repeat("__Host-nego=x; ", n*3))
		}
		if resp, body := do(t, c, req); resp.StatusCode != want {
			t.Errorf("%d cookies: %s, %q", n, resp.Status, body)
		}
	}
	req := newRequest(t, "GET", s.URL, nil)
	for i := range 1000 {
		req.Header.Add(replyHeader, fmt.Sprint("Negotiate AAAA", i))
	}
	if resp, _ := do(t, c, req); resp.StatusCode != 401 {
		t.Error(resp.Status)
	}
}

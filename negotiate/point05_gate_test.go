package negotiate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A whole gigabyte goes through a challenge, of unknown length and of a declared one, and is never in memory.
func TestPoint5Memory(t *testing.T) {
	const limit = 64 << 20
	for _, c := range []struct {
		kind    string
		size    int64
		length  bool
		oneShot bool
	}{
		{kindGo, 1 << 30, true, true},
		{kindGo, 64 << 20, false, true},
		{kindAtOnce, 64 << 20, false, true},
		{kindAtOnce, 64 << 20, true, true},
		{kindHTTP2, 64 << 20, false, true},
		{kindHTTP2, 64 << 20, true, true},
		{kindFirst, 64 << 20, true, false},
		{kindMiddle, 64 << 20, false, false},
	} {
		t.Run(fmt.Sprint(c.kind, " ", c.size>>20, " MiB, declared ", c.length), func(t *testing.T) {
			want := whole(c.size)
			s := newReceiver(t, c.kind)
			defer s.Close()
			tr := &Transport{Base: s.base(time.Second)}
			defer tr.CloseIdleConnections()
			tr.pools().gateTime = time.Minute
			body := io.ReadCloser(&seekBody{ReadSeeker: &generator{size: c.size}})
			if c.oneShot {
				body = &countedBody{Reader: &generator{size: c.size}}
			}
			req := newRequest(t, "PUT", s.url, nil)
			req.Body, req.ContentLength = body, -1
			if c.length {
				req.ContentLength = c.size
			}
			runtime.GC()
			stop, peak := make(chan struct{}), make(chan uint64)
			go func() {
				tick := time.NewTicker(2 * time.Millisecond)
				defer tick.Stop()
				var m runtime.MemStats
				var highest uint64
				for {
					runtime.ReadMemStats(&m)
					highest = max(highest, m.HeapInuse)
					select {
					case <-stop:
						peak <- highest
						return
					case <-tick.C:
					}
				}
			}()
			start := time.Now()
			resp, text := do(t, &http.Client{Transport: tr}, req)
			took := time.Since(start)
			close(stop)
			highest := <-peak
			t.Logf("%v, peak of the heap %d KiB", took, highest>>10)
			if resp.StatusCode != 200 || text != want {
				t.Errorf("%s, %q, %+v", resp.Status, text, OutcomeOf(resp))
			}
			if highest > limit {
				t.Errorf("peak of the heap: %d MiB", highest>>20)
			}
		})
	}
}

// raw is a server that is a function of a connection. It is gone when the test ends.
func raw(t testing.TB, serve func(c net.Conn, br *bufio.Reader)) (url string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				serve(c, bufio.NewReader(c))
			})
		}
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "http://localhost:" + port, func() { l.Close(); wg.Wait() }
}

// untouched is a body of a declared or unknown length that says when it is read.
type untouched struct {
	countedBody
	once sync.Once
	read chan struct{}
}

func newUntouched(text string) *untouched {
	b := &untouched{read: make(chan struct{})}
	src := strings.NewReader(text)
	b.Reader = readFunc(func(p []byte) (int, error) { b.once.Do(func() { close(b.read) }); return src.Read(p) })
	return b
}

func (b *untouched) touched() bool {
	select {
	case <-b.read:
		return true
	default:
		return false
	}
}

// The final 401 is there in full, however long it is, also where the body of the request is still held back. Read,
// closed or neither, nothing stays behind and nothing of the body is sent.
func TestPoint5Final401(t *testing.T) {
	for _, size := range []int{0, 10, drainBytes, drainBytes + 1, 5 * drainBytes} {
		for _, length := range []int64{4, -1} {
			for _, how := range []string{"read", "closed", "cancelled", "strict"} {
				t.Run(fmt.Sprint(size, " declared ", length, " ", how), func(t *testing.T) {
					left := noneLeft(t)
					got, more := make(chan string, 10), make(chan struct{})
					rest := sync.OnceFunc(func() { close(more) })
					url, stop := raw(t, func(c net.Conn, br *bufio.Reader) {
						r, err := http.ReadRequest(br)
						if err != nil {
							return
						}
						text := strings.Repeat("x", size)
						fmt.Fprintf(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nContent-Length: %d\r\n\r\n%s", size, text[:size/2])
						<-more
						io.WriteString(c, text[size/2:])
						b, _ := io.ReadAll(r.Body)
						got <- string(b)
					})
					tr := &Transport{Mech: "\x2a\x03\x04", Strict: how == "strict"} // no such mechanism
					tr.pools().gateTime = time.Hour
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					body := newUntouched("text")
					req := newRequest(t, "POST", url, body).WithContext(ctx)
					req.ContentLength = length
					if how == "strict" {
						rest() // there it is read before RoundTrip returns
					}
					resp, err := tr.RoundTrip(req)
					if how == "strict" {
						if err == nil {
							t.Error("strict, and no error")
						}
					} else if err != nil || resp.StatusCode != 401 || OutcomeOf(resp).Err == nil {
						t.Fatal(resp, err)
					} else {
						switch how {
						case "read":
							b := make([]byte, size/2)
							if n, err := io.ReadFull(resp.Body, b); err != nil {
								t.Errorf("%d bytes of half of %d, %v", n, size, err)
							}
							if size > 0 && length > 0 && body.closed.Load() > 0 {
								t.Error("the sender was told before the response was read")
							}
							rest()
							if b, err := io.ReadAll(resp.Body); err != nil || len(b) != size-size/2 {
								t.Errorf("%d bytes of the other half of %d, %v", len(b), size, err)
							}
						case "closed":
							resp.Body.Close()
						case "cancelled":
							cancel()
						}
						defer resp.Body.Close()
					}
					rest()
					waitFor(t, func() bool { return body.closed.Load() > 0 }, "the body is closed")
					tr.CloseIdleConnections()
					stop()
					left()
					if b := <-got; b != "" || body.touched() || body.closed.Load() != 1 {
						t.Errorf("the server got %q, read %v, closed %d times", b, body.touched(), body.closed.Load())
					}
				})
			}
		}
	}
}

// A 401 without an end is the caller's, at once.
func TestPoint5Endless401(t *testing.T) {
	left := noneLeft(t)
	url, stop := raw(t, func(c net.Conn, br *bufio.Reader) {
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwho?\r\n")
		io.Copy(io.Discard, br)
	})
	tr := &Transport{}
	tr.pools().gateTime = time.Hour
	body := newUntouched("text")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req := newRequest(t, "POST", url, body).WithContext(ctx)
	req.ContentLength = 4
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	if _, err := io.ReadFull(resp.Body, b); string(b) != "who?" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	resp.Body.Close()
	waitFor(t, func() bool { return body.closed.Load() == 1 }, "the body is closed")
	stop()
	left()
	if body.touched() {
		t.Error("the body was sent")
	}
}

// While the token is made, which may take long, the body that was held back stays held back.
func TestPoint5SlowToken(t *testing.T) {
	for _, length := range []int64{4, -1} {
		t.Run(fmt.Sprint("declared ", length), func(t *testing.T) {
			t.Parallel() // each waits for its gate
			s := newReceiver(t, kindAtOnce)
			defer s.Close()
			body := newUntouched("text")
			tr := &Transport{}
			defer tr.CloseIdleConnections()
			tr.pools().gateTime = time.Second // which the 401 must come in
			tr.Trace = &Trace{Challenge: func(context.Context, ChallengeInfo) {
				select {
				case <-body.read:
					t.Error("the body was sent to a server that had asked for a token")
				case <-time.After(tr.inner.gateTime * 3 / 2):
				}
			}}
			req := newRequest(t, "POST", s.url, body)
			req.ContentLength = length
			resp, text := do(t, &http.Client{Transport: tr}, req)
			s.mu.Lock()
			stray := s.stray
			s.mu.Unlock()
			if resp.StatusCode != 200 || !strings.HasPrefix(text, "4 ") || stray != 0 {
				t.Errorf("%s, %q, %+v", resp.Status, text, OutcomeOf(resp))
			}
		})
	}
}

// The gate ends with the request's context, wherever that strikes, and the server never gets a body that ends
// in good order before it has begun.
func TestPoint5Cancel(t *testing.T) {
	stopped := errors.New("stopped")
	for _, version := range []int{1, 2} {
		for _, length := range []int64{4, -1} {
			for _, stage := range []string{"held", "in the token", "in the drain", "in the body"} {
				t.Run(fmt.Sprint("HTTP/", version, " declared ", length, " ", stage), func(t *testing.T) {
					left := noneLeft(t)
					arrived := make(chan struct{}, 1)
					type result struct {
						text string
						err  error
					}
					results := make(chan result, 10)
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					tr := &Transport{}
					var url string
					var stop func()
					if version == 1 {
						url, stop = raw(t, func(c net.Conn, br *bufio.Reader) {
							r, err := http.ReadRequest(br)
							if err != nil {
								return
							}
							b := make([]byte, 1)
							switch stage {
							case "held":
								cancel(stopped)
							case "in the body":
								io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
								io.ReadFull(r.Body, b)
								cancel(stopped)
							default:
								io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwho?\r\n")
								arrived <- struct{}{}
								io.Copy(io.Discard, br)
								return
							}
							_, err = io.ReadAll(r.Body)
							results <- result{string(b), err}
						})
					} else {
						s := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) {
							b := make([]byte, 1)
							switch stage {
							case "held":
								cancel(stopped)
								<-r.Context().Done()
							case "in the body":
								io.ReadFull(r.Body, b)
								cancel(stopped)
							default:
								w.Header().Set("WWW-Authenticate", "Negotiate")
								w.WriteHeader(401)
								w.(http.Flusher).Flush()
								arrived <- struct{}{}
								<-r.Context().Done()
								return
							}
							_, err := io.ReadAll(r.Body)
							results <- result{string(b), err}
						})
						s.EnableHTTP2 = true
						s.StartTLS()
						url, stop = "https://localhost:"+s.port(), s.Close
						tr.Base = trusting(s)
					}
					tr.pools().gateTime = time.Hour
					tr.Trace = &Trace{
						Challenge: func(context.Context, ChallengeInfo) {
							if stage == "in the token" {
								cancel(stopped)
							}
						},
						GSS: func(context.Context, GSSInfo) {
							if stage == "in the drain" {
								<-arrived
								cancel(stopped)
							}
						},
					}
					src := strings.NewReader("text")
					body := &countedBody{Reader: readFunc(func(p []byte) (int, error) {
						if stage != "in the body" {
							t.Error("the body was read")
						}
						if src.Len() < 4 {
							<-ctx.Done()
							return 0, context.Cause(ctx)
						}
						return src.Read(p[:1])
					})}
					req := newRequest(t, "POST", url, body).WithContext(ctx)
					req.ContentLength = length
					resp, err := tr.RoundTrip(req)
					if err == nil {
						resp.Body.Close()
					}
					// net/http's HTTP/2 does not tell the cause.
					if !errors.Is(err, stopped) && (version == 1 || !errors.Is(err, context.Canceled)) {
						t.Errorf("error %v", err)
					}
					if stage == "held" || stage == "in the body" {
						if r := <-results; r.err == nil {
							t.Errorf("the server got a body that ends: %q", r.text)
						}
					}
					waitFor(t, func() bool { return body.closed.Load() > 0 }, "the body is closed")
					tr.CloseIdleConnections()
					stop()
					left()
					if n := body.closed.Load(); n != 1 {
						t.Errorf("closed %d times", n)
					}
				})
			}
		}
	}
}

// A server that goes away while the body is held back costs the gate's time at most.
func TestPoint5ServerCloses(t *testing.T) {
	for _, length := range []int64{4, -1} {
		for _, answer := range []string{"", "HTTP/1.1 ", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 100\r\n\r\nwho"} {
			t.Run(fmt.Sprintf("%d %q", length, answer), func(t *testing.T) {
				left := noneLeft(t)
				var conns atomic.Int64
				url, stop := raw(t, func(c net.Conn, br *bufio.Reader) {
					conns.Add(1)
					if _, err := http.ReadRequest(br); err != nil {
						return
					}
					io.WriteString(c, answer)
					if strings.Contains(answer, "401") { // whose end may meet the body's, and then be a reset
						c.(*net.TCPConn).CloseWrite()
						io.Copy(io.Discard, br)
					}
				})
				tr := &Transport{}
				tr.pools().gateTime = 20 * time.Millisecond
				if strings.Contains(answer, "401") { // which opens no gate, but may be later than that
					tr.pools().gateTime = time.Hour
				}
				body := newUntouched("text")
				req := newRequest(t, "POST", url, body)
				req.ContentLength = length
				var o Outcome
				resp, err := tr.RoundTrip(req.WithContext(WithOutcome(t.Context(), &o)))
				if strings.Contains(answer, "401") {
					// Half of one asks for a token like a whole one. The second is the caller's, as far as it goes.
					if err != nil {
						t.Fatal(err)
					}
					if b, err := io.ReadAll(resp.Body); resp.StatusCode != 401 || string(b) != "who" || err != io.ErrUnexpectedEOF {
						t.Errorf("%s, %q, %v", resp.Status, b, err)
					}
					resp.Body.Close()
				} else if err == nil {
					resp.Body.Close()
					t.Errorf("%s, %+v", resp.Status, o)
				}
				waitFor(t, func() bool { return body.closed.Load() > 0 }, "the body is closed")
				tr.CloseIdleConnections()
				stop()
				left()
				if n := body.closed.Load(); n != 1 {
					t.Errorf("closed %d times", n)
				}
				if n := conns.Load(); n > 2 {
					t.Errorf("%d connections", n)
				}
				if body.touched() && strings.Contains(answer, "401") {
					t.Error("the body was sent to a server that had asked for a token")
				}
			})
		}
	}
}

// A caller who announces a body himself waits as long as Base says, with every kind of body.
func TestPoint5CallersExpect(t *testing.T) {
	for _, expect := range []time.Duration{0, time.Millisecond, time.Hour} {
		for _, kind := range []string{kindGo, kindDeaf} {
			if kind == kindDeaf && expect == time.Hour {
				continue // an hour it would be, as with net/http alone
			}
			for _, foreign := range []bool{false, true} {
				t.Run(fmt.Sprint(expect, " ", kind, " foreign ", foreign), func(t *testing.T) {
					left := noneLeft(t)
					s := newReceiver(t, kind)
					tr := &Transport{Base: s.base(expect)}
					tr.pools().gateTime = time.Hour
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // so that what hangs fails
					defer cancel()
					req := newRequest(t, "POST", s.url, strings.NewReader("text")).WithContext(ctx)
					req.Header.Set("Expect", "100-Continue")
					if foreign {
						req.Header.Set("Authorization", "Bearer x")
					}
					resp, text := do(t, &http.Client{Transport: tr}, req)
					if foreign && (resp.StatusCode != 401 || text != s.deny) || !foreign && (resp.StatusCode != 200 || !strings.HasPrefix(text, "4 ")) {
						t.Errorf("%s, %q, %+v", resp.Status, text, OutcomeOf(resp))
					}
					tr.CloseIdleConnections()
					s.Close()
					left()
				})
			}
		}
	}
}

// A server that is deaf to Expect is known after the first time: what can be sent again is not announced to it.
func TestPoint5DeafIsRemembered(t *testing.T) {
	s := newReceiver(t, kindDeaf)
	defer s.Close()
	tr := &Transport{}
	defer tr.CloseIdleConnections()
	tr.pools().gateTime = time.Millisecond
	for range 2 {
		req := newRequest(t, "POST", s.url, &seekBody{ReadSeeker: &generator{size: 2 << 20}})
		req.ContentLength = 2 << 20
		if resp, text := do(t, &http.Client{Transport: tr}, req); text != whole(2<<20) {
			t.Errorf("%s, %q, %+v", resp.Status, text, OutcomeOf(resp))
		}
	}
	var announced []bool
	for _, h := range s.heads {
		announced = append(announced, h.Get("Expect") != "")
	}
	if fmt.Sprint(announced) != "[true false false false]" {
		t.Errorf("announced: %v", announced)
	}
}

// The verdicts of a gate: the first counts, silence is one unless the answer is there.
func TestPoint5Gate(t *testing.T) {
	for name, c := range map[string]struct {
		act  func(*gate)
		want error
		late bool
	}{
		"pass":           {func(g *gate) { g.decide(pass); g.decide(fail) }, nil, false},
		"end":            {func(g *gate) { g.decide(end); g.decide(pass) }, io.EOF, false},
		"fail":           {func(g *gate) { g.decide(fail); g.decide(end) }, errOver, false},
		"silence":        {func(g *gate) { g.silence(); g.decide(fail) }, nil, true},
		"late silence":   {func(g *gate) { g.keep(); g.silence(); g.decide(fail) }, errOver, false},
		"no answer":      {func(g *gate) { (&leg{gate: g}).judge(nil) }, errOver, false},
		"silence, twice": {func(g *gate) { g.decide(pass); g.silence() }, nil, false},
	} {
		late := false
		g := newGate(t.Context(), time.Hour, func() { late = true })
		entered := make(chan error)
		go func() { entered <- g.enter(nil) }()
		c.act(g)
		if err := <-entered; err != c.want || late != c.late || g.holds() {
			t.Errorf("%s: %v, late %v, holds %v", name, err, late, g.holds())
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	g := newGate(ctx, time.Hour, nil)
	g.keep()
	cancel(stopped)
	if err := g.enter(nil); err != stopped || !g.holds() {
		t.Error(err)
	}
}

// A body that its sender closes is not read any more, and one that takes its place is held back still.
func TestPoint5GateOfTwoBodies(t *testing.T) {
	g := newGate(t.Context(), time.Hour, nil)
	first, second := newGated(io.NopCloser(strings.NewReader("text")), g), newGated(io.NopCloser(strings.NewReader("text")), g)
	read := make(chan error)
	go func() { _, err := first.Read(make([]byte, 1)); read <- err }()
	first.Close()
	if err := <-read; err != errOver || !g.holds() {
		t.Errorf("the first: %v", err)
	}
	go func() { _, err := second.Read(make([]byte, 1)); read <- err }()
	g.decide(pass)
	if err := <-read; err != nil {
		t.Errorf("the second: %v", err)
	}
}

// A method that usually has no body makes net/http look for its first byte, which a held body does not have yet.
func TestPoint5OddMethods(t *testing.T) {
	for _, method := range []string{"GET", "DELETE", "OPTIONS", "LINK"} {
		var encodings []string
		s := newReceiver(t, kindAtOnce)
		own := s.base(0)
		tr := &Transport{Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			encodings = append(encodings, fmt.Sprint(r.TransferEncoding))
			return own.RoundTrip(r)
		})}
		tr.pools().gateTime = time.Hour
		req := newRequest(t, method, s.url, &countedBody{Reader: strings.NewReader("text")})
		resp, text := do(t, &http.Client{Transport: tr}, req)
		if !strings.HasPrefix(text, "4 ") || fmt.Sprint(encodings) != "[[chunked] [chunked]]" {
			t.Errorf("%s: %s, %q, %+v, %s", method, resp.Status, text, OutcomeOf(resp), encodings)
		}
		own.CloseIdleConnections()
		s.Close()
	}
}

// Where the answer comes while a short body is still being sent, the sender may come to its end, for the sake of the
// connection.
func TestPoint5SlowBody(t *testing.T) {
	s := newReceiver(t, kindAtOnce)
	answered := make(chan struct{})
	var once sync.Once
	tr := &Transport{Trace: &Trace{GSS: func(context.Context, GSSInfo) { once.Do(func() { close(answered) }) }}}
	src := strings.NewReader("text")
	body := &seekBody{ReadSeeker: struct {
		io.Reader
		io.Seeker
	}{readFunc(func(p []byte) (int, error) { <-answered; return src.Read(p[:1]) }), src}}
	req := newRequest(t, "POST", s.url, body)
	req.ContentLength = 4
	resp, text := do(t, &http.Client{Transport: tr}, req)
	if want := summary(strings.NewReader("text")); text != want {
		t.Errorf("%s, %q, %+v", resp.Status, text, OutcomeOf(resp))
	}
	tr.CloseIdleConnections()
	s.Close()
	if s.opened != 1 || s.stray != 4 {
		t.Errorf("%d connections, %d bytes after the 401", s.opened, s.stray)
	}
}

// Where net/http loses a connection and sends a leg again by itself, the body waits for the word of the next server,
// and is there.
func TestPoint5RetryByBase(t *testing.T) {
	for _, length := range []int64{4, -1} {
		left := noneLeft(t)
		s := newReceiver(t, kindAtOnce)
		own := s.base(0)
		tr := &Transport{Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			read := make(chan error)
			go func() { _, err := r.Body.Read(make([]byte, 1)); read <- err }()
			r.Body.Close()
			if err := <-read; err != errOver {
				t.Errorf("the first attempt reads: %v", err)
			}
			again := *r
			var err error
			if again.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
			return own.RoundTrip(&again)
		})}
		tr.pools().gateTime = time.Hour
		body := newUntouched("text")
		req := newRequest(t, "POST", s.url, body)
		req.ContentLength = length
		resp, text := do(t, &http.Client{Transport: tr}, req)
		if want := summary(strings.NewReader("text")); text != want {
			t.Errorf("declared %d: %s, %q, %+v", length, resp.Status, text, OutcomeOf(resp))
		}
		waitFor(t, func() bool { return body.closed.Load() > 0 }, "the body is closed")
		own.CloseIdleConnections()
		s.Close()
		left()
		if n := body.closed.Load(); n != 1 {
			t.Errorf("closed %d times", n)
		}
	}
}

// A gate has its whole time for each sender.
func TestPoint5GateTime(t *testing.T) {
	g := newGate(t.Context(), time.Hour, func() { t.Error("late") })
	first, second := newGated(http.NoBody, g), newGated(io.NopCloser(strings.NewReader("x")), g)
	done := make(chan error)
	go func() { _, err := first.Read(make([]byte, 1)); done <- err }()
	waitFor(t, func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.timer != nil }, "the time begins")
	first.Close()
	first.Close()
	if err := <-done; err != errOver {
		t.Error(err)
	}
	if _, err := first.Read(make([]byte, 1)); err != errOver || g.timer != nil || !g.holds() {
		t.Errorf("closed: %v, timer %v", err, g.timer)
	}
	g.decide(pass)
	if n, err := second.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Error(n, err)
	}
}

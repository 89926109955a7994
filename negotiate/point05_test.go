package negotiate

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Point 5: a request body is never sent empty or cut. Either the server gets every byte of it, or the caller gets
// the 401, its body readable, and ErrBody.

// pattern is what generated bodies consist of, again and again. Its length is no power of two, so that a piece that
// is lost or doubled shows.
var pattern = func() []byte {
	b := make([]byte, 1<<20-3)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}()

// generator is a body that is in no memory. It can seek where it is wrapped in a seekBody.
type generator struct{ at, size int64 }

func (g *generator) Read(p []byte) (int, error) {
	if g.at >= g.size {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), g.size-g.at)], pattern[g.at%int64(len(pattern)):])
	g.at += int64(n)
	return n, nil
}

func (g *generator) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += g.at
	case io.SeekEnd:
		offset += g.size
	}
	g.at = offset
	return offset, nil
}

// sums are the hashes of generated bodies by size.
var sums sync.Map

// whole is what a server says that got all of a generated body.
func whole(size int64) string {
	if s, ok := sums.Load(size); ok {
		return s.(string)
	}
	s := summary(&generator{size: size})
	sums.Store(size, s)
	return s
}

// summary is what a server says of a body that it got: length and hash.
func summary(r io.Reader) string {
	h := sha256.New()
	n, err := io.CopyBuffer(h, struct{ io.Reader }{r}, make([]byte, 256<<10))
	if err != nil {
		return fmt.Sprintf("%d bytes, then %v", n, err)
	}
	return fmt.Sprintf("%d %x", n, h.Sum(nil))
}

// How a server of test treats a body.
const (
	kindGo       = "http.Server with an Authenticator"
	kindFirst    = "reads everything first"
	kindHTTP2    = "HTTP/2 with an Authenticator"
	kindFirst2   = "HTTP/2 that reads everything first"
	kindAtOnce   = "401 at once, keep-alive"
	kindClose    = "401 at once, close"
	kindEmpty    = "401 at once, keep-alive, without a body"
	kindMiddle   = "401 in the middle, keep-alive"
	kindMidClose = "401 in the middle, close"
	kindDeaf     = "deaf"
	kind417      = "417"
)

// receiver is a server that wants a token and a body.
type receiver struct {
	t    testing.TB
	kind string
	a    Authenticator
	url  string
	deny string // the body of its 401

	site *site // or
	l    net.Listener
	wg   sync.WaitGroup

	mu       sync.Mutex
	conns    map[net.Conn]bool
	opened   int
	accepted []string // summaries of bodies that came with a good token
	before   []string // and of those that were read before the answer, without one
	stray    int64    // bytes that came after a 401
	heads    []http.Header
}

func newReceiver(t testing.TB, kind string) *receiver {
	s := &receiver{t: t, kind: kind, deny: strings.Repeat("who are you? ", 10), conns: make(map[net.Conn]bool)}
	switch kind {
	case kindGo, kindFirst, kindHTTP2, kindFirst2:
		s.site = newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { s.serveHTTP(w, r) })
		if kind == kindHTTP2 || kind == kindFirst2 {
			s.site.EnableHTTP2 = true
			s.site.StartTLS()
			s.url = "https://localhost:" + s.site.port()
		} else {
			s.site.Start()
			s.url = "http://localhost:" + s.site.port()
		}
		return s
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.l = l
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s.url = "http://localhost:" + port
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.opened++
			s.mu.Unlock()
			s.wg.Go(func() {
				s.serveConn(c)
				c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			})
		}
	})
	return s
}

// base is a Base that the server can be reached with.
func (s *receiver) base(expect time.Duration) *http.Transport {
	base := &http.Transport{}
	if s.site != nil && s.site.TLS != nil {
		base = trusting(s.site)
	}
	base.ExpectContinueTimeout = expect
	return base
}

func (s *receiver) Close() {
	if s.site != nil {
		s.site.Close()
		return
	}
	s.l.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// open returns the number of connections that there are.
func (s *receiver) open() int {
	if s.site != nil {
		return int(s.site.opened.Load() - s.site.closed.Load())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *receiver) note(list *[]string, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, what)
}

func (s *receiver) serveHTTP(w http.ResponseWriter, r *http.Request) {
	read := ""
	if s.kind == kindFirst || s.kind == kindFirst2 {
		read = summary(r.Body)
	}
	if _, err := s.a.Authenticate(w, r); err != nil {
		if read != "" {
			s.note(&s.before, read)
		}
		w.WriteHeader(401)
		io.WriteString(w, s.deny)
		return
	}
	if read == "" {
		read = summary(r.Body)
	}
	s.note(&s.accepted, read)
	io.WriteString(w, read)
}

func (s *receiver) serveConn(c net.Conn) {
	br := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.heads = append(s.heads, r.Header)
		s.mu.Unlock()
		expects := r.Header.Get("Expect") != ""
		if expects && s.kind == kind417 {
			fmt.Fprintf(c, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno")
			if !s.discard(r) {
				return
			}
			continue
		}
		w := httptest.NewRecorder()
		_, refused := s.a.Authenticate(w, r)
		early := s.kind == kindAtOnce || s.kind == kindClose || s.kind == kindEmpty
		middle := s.kind == kindMiddle || s.kind == kindMidClose
		closing := s.kind == kindClose || s.kind == kindMidClose
		read := ""
		if refused == nil || !early {
			if expects && s.kind != kindDeaf {
				io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			if middle && refused != nil {
				io.CopyN(io.Discard, r.Body, 1<<20)
			} else {
				read = summary(r.Body)
			}
		}
		if refused == nil {
			s.note(&s.accepted, read)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(read), read)
			continue
		}
		if read != "" {
			s.note(&s.before, read)
		}
		text, connection := s.deny, ""
		if s.kind == kindEmpty {
			text = ""
		}
		if closing {
			connection = "Connection: close\r\n"
		}
		fmt.Fprintf(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\n%sContent-Length: %d\r\n\r\n%s", connection, len(text), text)
		if closing {
			// Not with bytes unread, or the client's end of the connection forgets the response.
			c.(*net.TCPConn).CloseWrite()
			s.discard(r)
			return
		}
		if !s.discard(r) {
			return
		}
	}
}

// discard reads what comes behind an answer, and reports whether another request may follow.
func (s *receiver) discard(r *http.Request) bool {
	n, err := io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stray += n
	return err == nil
}

// sender is a way to give a request its body.
type sender struct {
	name   string
	make   func(t testing.TB, size int64) (body io.ReadCloser, get func() (io.ReadCloser, error), closed func() int64)
	length bool // declared
	size   int64
	once   bool // it can be sent only once
	held   bool // it is announced
}

func senders() []sender {
	oneShot := func(_ testing.TB, size int64) (io.ReadCloser, func() (io.ReadCloser, error), func() int64) {
		b := &countedBody{Reader: &generator{size: size}}
		return b, nil, b.closed.Load
	}
	pipe := func(_ testing.TB, size int64) (io.ReadCloser, func() (io.ReadCloser, error), func() int64) {
		r, w := io.Pipe()
		go func() {
			_, err := io.Copy(w, struct{ io.Reader }{&generator{size: size}})
			w.CloseWithError(err)
		}()
		b := &closeCounter{ReadCloser: r}
		return b, nil, b.closed.Load
	}
	seekable := func(_ testing.TB, size int64) (io.ReadCloser, func() (io.ReadCloser, error), func() int64) {
		b := &seekBody{ReadSeeker: &generator{size: size}}
		return b, nil, b.closed.Load
	}
	getBody := func(_ testing.TB, size int64) (io.ReadCloser, func() (io.ReadCloser, error), func() int64) {
		b := &countedBody{Reader: &generator{size: size}}
		return b, func() (io.ReadCloser, error) { return io.NopCloser(&generator{size: size}), nil }, b.closed.Load
	}
	file := func(t testing.TB, size int64) (io.ReadCloser, func() (io.ReadCloser, error), func() int64) {
		name := filepath.Join(t.TempDir(), "body")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, "not this")
		io.Copy(f, &generator{size: size})
		f.Seek(int64(len("not this")), io.SeekStart)
		b := &fileBody{File: f}
		return b, nil, b.closed.Load
	}
	var all []sender
	for _, length := range []bool{true, false} {
		all = append(all,
			sender{"one-shot", oneShot, length, 3 << 20, true, true},
			sender{"one-shot small", oneShot, length, 10, true, true},
			sender{"pipe", pipe, length, 2 << 20, true, true},
			sender{"seekable", seekable, length, 3 << 20, false, true},
			sender{"seekable small", seekable, length, 10, false, !length},
			sender{"GetBody", getBody, length, 3 << 20, false, true},
			sender{"GetBody small", getBody, length, 10, false, !length},
			sender{"file from an offset", file, length, 3 << 20, false, true},
		)
	}
	return all
}

// closeCounter counts how often a body is closed.
type closeCounter struct {
	io.ReadCloser
	closed atomic.Int64
}

func (b *closeCounter) Close() error { b.closed.Add(1); return b.ReadCloser.Close() }

type fileBody struct {
	*os.File
	closed atomic.Int64
}

func (b *fileBody) Close() error { b.closed.Add(1); return b.File.Close() }

// noneLeft returns a function that waits until there are no more goroutines than now.
func noneLeft(t testing.TB) func() {
	t.Helper()
	start := runtime.NumGoroutine()
	return func() {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > start; runtime.Gosched() {
			if time.Now().After(end) {
				buf := make([]byte, 1<<20)
				t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), start, buf[:runtime.Stack(buf, true)])
			}
		}
	}
}

func TestPoint5Bodies(t *testing.T) {
	kinds := []string{kindGo, kindFirst, kindHTTP2, kindFirst2, kindAtOnce, kindClose, kindEmpty, kindMiddle, kindMidClose, kindDeaf, kind417}
	for _, kind := range kinds {
		expects := []time.Duration{time.Hour} // Base's ExpectContinueTimeout must not matter
		switch kind {
		case kindGo, kindHTTP2, kindAtOnce, kindDeaf:
			expects = append(expects, 0, time.Second)
		}
		for _, expect := range expects {
			for _, c := range senders() {
				how := "chunked"
				if c.length {
					how = "declared"
				}
				t.Run(fmt.Sprint(kind, "/", c.name, "/", how, "/", expect), func(t *testing.T) {
					body, get, closed := c.make(t, c.size)
					left := noneLeft(t)
					s := newReceiver(t, kind)
					tr := &Transport{Base: s.base(expect)}
					// The server's word counts; one that is deaf has none.
					tr.pools().gateTime = time.Hour
					if kind == kindDeaf {
						tr.pools().gateTime = time.Millisecond
					}
					req := newRequest(t, "POST", s.url, nil)
					req.Body, req.GetBody, req.ContentLength = body, get, -1
					if c.length {
						req.ContentLength = c.size
					}
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // so that what hangs fails
					defer cancel()
					req = req.WithContext(ctx)
					header := req.Header.Clone()
					resp, err := tr.RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					text, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil {
						t.Errorf("the body of the response: %v", err)
					}
					if req.Body != body || fmt.Sprint(req.Header) != fmt.Sprint(header) || len(req.TransferEncoding) > 0 {
						t.Error("the request was changed")
					}
					waitFor(t, func() bool { return closed() > 0 }, "the body is closed")
					// A connection whose sender was told late may become idle after the first time.
					waitFor(t, func() bool { tr.CloseIdleConnections(); return s.open() == 0 }, "all connections are closed")
					s.Close()
					left()
					if n := closed(); n != 1 {
						t.Errorf("the body was closed %d times", n)
					}

					lost := false
					switch kind {
					case kindFirst, kindFirst2, kindMiddle, kindMidClose, kindDeaf, kind417:
						lost = c.once
					}
					want := whole(c.size)
					switch {
					case lost:
						if resp.StatusCode != 401 || string(text) != s.deny || !errors.Is(OutcomeOf(resp).Err, ErrBody) {
							t.Errorf("%s, %q, %+v", resp.Status, text, OutcomeOf(resp))
						}
						if len(s.accepted) > 0 {
							t.Errorf("the server accepted %q", s.accepted)
						}
					case resp.StatusCode != 200 || string(text) != want || OutcomeOf(resp).Err != nil:
						t.Errorf("%s, %q, %+v", resp.Status, text, OutcomeOf(resp))
					case len(s.accepted) != 1 || s.accepted[0] != want:
						t.Errorf("the server accepted %q", s.accepted)
					}
					for _, b := range s.before {
						if b != want {
							t.Errorf("the server read %q before it answered", b)
						}
					}
					if s.stray > 0 && c.held && kind != kindMiddle && kind != kindMidClose {
						t.Errorf("%d bytes came after a 401", s.stray)
					}
					if len(s.heads) > 0 {
						if got := s.heads[0].Get("Expect") != ""; got != c.held {
							t.Errorf("announced: %v", got)
						}
					}
				})
			}
		}
	}
}

package negotiate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// countedBody counts how often it is closed.
type countedBody struct {
	io.Reader
	closed atomic.Int64
}

func (b *countedBody) Close() error { b.closed.Add(1); return nil }

// seekBody can seek too.
type seekBody struct {
	io.ReadSeeker
	closed atomic.Int64
	seek   func() error
}

func (b *seekBody) Close() error { b.closed.Add(1); return nil }

func (b *seekBody) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekStart && b.seek != nil {
		if err := b.seek(); err != nil {
			return 0, err
		}
	}
	return b.ReadSeeker.Seek(offset, whence)
}

// upload is a site that says what it received with a good token. Early, it asks for one before it has read
// the body.
func upload(t *testing.T, early bool) *site {
	var a Authenticator
	return newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		var b []byte
		if !early {
			b, _ = io.ReadAll(r.Body)
		}
		if _, err := a.Authenticate(w, r); err != nil {
			w.WriteHeader(401)
			fmt.Fprint(w, "who are you?")
			return
		}
		if early {
			b, _ = io.ReadAll(r.Body)
		}
		fmt.Fprintf(w, "%d ", r.ContentLength)
		w.Write(b)
	})
}

func TestBodies(t *testing.T) {
	for _, size := range []int{0, 1, 5000, 200 << 10, 3 << 20} {
		text := strings.Repeat("0123456789abcde\n", size/16+1)[:size]
		file := func(t *testing.T) *os.File {
			name := filepath.Join(t.TempDir(), "body")
			if err := os.WriteFile(name, []byte("skipped"+text), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			if _, err := f.Seek(7, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			return f
		}
		length := fmt.Sprint(size, " ")
		for _, c := range []struct {
			name string
			body func(t *testing.T, req *http.Request)
			want string
		}{
			{"bytes", func(t *testing.T, req *http.Request) {
				*req = *newRequest(t, "POST", req.URL.String(), bytes.NewReader([]byte(text)))
			}, length},
			{"strings.Reader", func(t *testing.T, req *http.Request) {
				*req = *newRequest(t, "POST", req.URL.String(), strings.NewReader(text))
			}, length},
			{"file from an offset", func(t *testing.T, req *http.Request) { req.Body, req.ContentLength = file(t), int64(size) }, length},
			{"file from an offset, chunked", func(t *testing.T, req *http.Request) { req.Body, req.ContentLength = file(t), -1 }, "-1 "},
		} {
			for _, early := range []bool{false, true} {
				t.Run(fmt.Sprint(c.name, " ", size, " early ", early), func(t *testing.T) {
					s := upload(t, early)
					req := newRequest(t, "POST", s.URL, nil)
					c.body(t, req)
					want := c.want
					if size == 0 && req.GetBody == nil {
						want = "-1 " // zero and a body: net/http takes it as not known
					}
					resp, body := do(t, &http.Client{Transport: &Transport{}}, req)
					if resp.StatusCode != 200 || body != want+text {
						t.Errorf("%s: %d bytes came of %d, %+v", resp.Status, len(body), len(text), OutcomeOf(resp))
					}
				})
			}
		}
	}
}

// What cannot be sent again is not asked for a second time, and no ticket is fetched for it.
func TestPipeBody(t *testing.T) {
	r, w := io.Pipe()
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		r io.ReadCloser
		w io.WriteCloser
	}{"io.Pipe": {r, w}, "os.Pipe": {pr, pw}} {
		t.Run(name, func(t *testing.T) {
			go func() {
				io.WriteString(c.w, "text")
				c.w.Close()
			}()
			s := upload(t, false)
			counted := &countedBody{Reader: c.r}
			tr := &Transport{}
			req := newRequest(t, "POST", s.URL, counted)
			resp, body := do(t, &http.Client{Transport: tr}, req)
			if resp.StatusCode != 401 || body != "who are you?" || !errors.Is(OutcomeOf(resp).Err, ErrBody) || len(s.seen()) != 1 {
				t.Errorf("%s, %q, %+v, %d requests", resp.Status, body, OutcomeOf(resp), len(s.seen()))
			}
			if n := counted.closed.Load(); n != 1 {
				t.Errorf("closed %d times", n)
			}
		})
	}
	s := upload(t, false)
	req := newRequest(t, "POST", s.URL, &countedBody{Reader: strings.NewReader("text")})
	if _, err := (&http.Client{Transport: &Transport{Strict: true}}).Do(req); !errors.Is(err, ErrBody) {
		t.Errorf("strict: %v", err)
	}
}

func TestBodyClosedOnce(t *testing.T) {
	good := upload(t, false)
	early := upload(t, true)
	open := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) { fmt.Fprint(w, "public") })
	hangUp := newSite(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(401)
			return
		}
		c, _, _ := w.(http.Hijacker).Hijack()
		c.Close()
	})
	malformed := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		w.Header().Set("WWW-Authenticate", "Negotiate @@@")
		w.WriteHeader(401)
	})
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		url  string
		tr   *Transport
	}{
		{"authenticated", good.URL, &Transport{}},
		{"authenticated early", early.URL, &Transport{}},
		{"public", open.URL, &Transport{}},
		{"public, mutual", open.URL, &Transport{Mutual: MutualRequired}},
		{"connection lost with the token", hangUp.URL, &Transport{}},
		{"malformed", malformed.URL, &Transport{}},
		{"malformed, strict", malformed.URL, &Transport{Strict: true}},
		{"refused connection", "http://127.0.0.1:1/", &Transport{}},
		{"no such scheme", "x://y/", &Transport{}},
		{"base fails", good.URL, &Transport{Base: &fakeBase{roundTrip: func(r *http.Request) (*http.Response, error) {
			r.Body.Close()
			r.Body.Close()
			return nil, broken
		}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{4, 100 << 10} {
				text := strings.Repeat("x", size)
				rewind := &countedBody{Reader: strings.NewReader(text)}
				var copies []*countedBody
				req := newRequest(t, "POST", c.url, rewind)
				req.ContentLength = int64(size)
				req.GetBody = func() (io.ReadCloser, error) {
					b := &countedBody{Reader: strings.NewReader(text)}
					copies = append(copies, b)
					return b, nil
				}
				seek := &seekBody{ReadSeeker: strings.NewReader(text)}
				reqSeek := newRequest(t, "POST", c.url, seek)
				reqSeek.ContentLength = int64(size)
				for _, r := range []*http.Request{req, reqSeek} {
					resp, err := c.tr.RoundTrip(r)
					if err == nil {
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				}
				// net/http may close it a little later.
				waitFor(t, func() bool { return rewind.closed.Load() >= 1 && seek.closed.Load() >= 1 }, "bodies are closed")
				if rewind.closed.Load() != 1 || seek.closed.Load() != 1 {
					t.Errorf("closed %d and %d times", rewind.closed.Load(), seek.closed.Load())
				}
				for _, b := range copies {
					waitFor(t, func() bool { return b.closed.Load() >= 1 }, "copies are closed")
				}
			}
		})
	}
}

func TestBodyThatFailsToRewind(t *testing.T) {
	broken := errors.New("broken")
	s := upload(t, false)
	byFunc := newRequest(t, "POST", s.URL, &countedBody{Reader: strings.NewReader("text")})
	byFunc.GetBody = func() (io.ReadCloser, error) { return nil, broken }
	seek := &seekBody{ReadSeeker: strings.NewReader("text"), seek: func() error { return broken }}
	for _, req := range []*http.Request{byFunc, newRequest(t, "POST", s.URL, seek)} {
		req.ContentLength = 4
		resp, body := do(t, &http.Client{Transport: &Transport{}}, req)
		err := OutcomeOf(resp).Err
		if resp.StatusCode != 401 || body != "who are you?" || !errors.Is(err, ErrBody) || !errors.Is(err, broken) {
			t.Errorf("%s, %q, %v", resp.Status, body, err)
		}
	}
	if seek.closed.Load() != 1 {
		t.Errorf("closed %d times", seek.closed.Load())
	}
	if s.tokens() != 0 {
		t.Error("a token was sent without the body")
	}
}

// The answer may come, and be the final one, while the body is still being sent: it stays open until then.
func TestBodyOutlivesResponse(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		io.Copy(w, r.Body)
	})
	more := make(chan struct{})
	src := strings.NewReader("text")
	body := &seekBody{}
	body.ReadSeeker = struct {
		io.Reader
		io.Seeker
	}{readFunc(func(p []byte) (int, error) { <-more; return src.Read(p) }), src}
	req := newRequest(t, "POST", s.URL, body)
	req.ContentLength = 4
	resp, err := (&Transport{}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body.closed.Load() != 0 {
		t.Error("closed too early")
	}
	close(more)
	if b, err := io.ReadAll(resp.Body); string(b) != "text" {
		t.Errorf("%q, %v", b, err)
	}
	waitFor(t, func() bool { return body.closed.Load() == 1 }, "the body is closed")
}

// A leg that got its answer may still be sending: it gets nothing more, and the next leg gets everything.
func TestSlowSender(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, c := range []struct {
		read int
		want error
	}{{2, errOver}, {4, io.EOF}} {
		seek := &seekBody{ReadSeeker: strings.NewReader("text")}
		req := newRequest(t, "POST", "http://localhost", seek).WithContext(ctx)
		req.ContentLength = 4
		b := newBody(req)
		var first, second http.Request
		b.take(&first, nil)
		io.ReadFull(first.Body, make([]byte, c.read))
		if err := b.prepare(false); err != nil {
			t.Fatal(err)
		}
		if n, err := first.Body.Read(make([]byte, 4)); n != 0 || err != c.want {
			t.Errorf("%d bytes, %v", n, err)
		}
		b.take(&second, nil)
		first.Body.Close()
		if text, err := io.ReadAll(second.Body); string(text) != "text" || err != nil {
			t.Errorf("%q, %v", text, err)
		}
		second.Body.Close()
		if seek.closed.Load() != 0 {
			t.Error("closed while a further leg is possible")
		}
		b.release()
		second.Body.Close()
		if n := seek.closed.Load(); n != 1 {
			t.Errorf("closed %d times", n)
		}
	}

	// One whose source does not answer is not waited for longer than the request lives.
	in, stop := make(chan struct{}), make(chan struct{})
	src := strings.NewReader("text")
	stuck := &seekBody{ReadSeeker: struct {
		io.Reader
		io.Seeker
	}{readFunc(func([]byte) (int, error) { close(in); <-stop; return 0, io.EOF }), src}}
	b := newBody(newRequest(t, "POST", "http://localhost", stuck).WithContext(ctx))
	var leg http.Request
	b.take(&leg, nil)
	done := make(chan struct{})
	go func() { leg.Body.Read(make([]byte, 1)); close(done) }()
	<-in
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := b.prepare(false); err != context.Canceled {
		t.Error(err)
	}
	close(stop)
	<-done
}

package negotiate

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// Every method goes through a challenge, with a body where it has one.
func TestPoint4Methods(t *testing.T) {
	for _, version := range []int{1, 2} {
		h := new(Authenticator).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Method", r.Method)
			w.Header().Set("X-Length", fmt.Sprint(len(b)))
			if r.Method != "HEAD" {
				fmt.Fprintf(w, "%s %s", r.Method, b)
			}
		}))
		s := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { h.ServeHTTP(w, r) })
		s.EnableHTTP2 = version == 2
		s.StartTLS()
		s.URL = "https://localhost:" + s.port()
		base := trusting(s)
		base.ForceAttemptHTTP2 = version == 2
		client := &http.Client{Transport: &Transport{Base: base, Mutual: MutualRequired}}
		for _, method := range []string{"", "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"} {
			for _, text := range []string{"", "a text"} {
				t.Run(fmt.Sprint("HTTP/", version, " ", method, " ", text), func(t *testing.T) {
					var body io.Reader
					if text != "" {
						body = strings.NewReader(text)
					}
					before := len(s.seen())
					resp, got := do(t, client, newRequest(t, method, s.URL, body))
					if method == "" {
						method = "GET"
					}
					want := method + " " + text
					if method == "HEAD" {
						want = ""
					}
					o := OutcomeOf(resp)
					if resp.StatusCode != 200 || resp.ProtoMajor != version || got != want || resp.Header.Get("X-Method") != method ||
						resp.Header.Get("X-Length") != fmt.Sprint(len(text)) || o.Legs != 1 || !o.Mutual || o.Err != nil {
						t.Errorf("%s %s: %q, %v, %+v", resp.Proto, resp.Status, got, resp.Header, o)
					}
					if n := len(s.seen()) - before; n != 2 {
						t.Errorf("%d requests", n)
					}
				})
			}
		}
		if n := s.opened.Load(); n != 1 {
			t.Errorf("HTTP/%d: %d connections", version, n)
		}
		s.Close()
	}
}

// The challenge's connection serves what follows: also where a held body of unknown length was not wanted, and where
// a server cuts the connection by itself nothing is lost.
func TestPoint4Connections(t *testing.T) {
	for _, c := range []struct {
		kind   string
		length int64
		want   int
	}{
		{kindAtOnce, -1, 1},
		{kindFirst, 4, 1},
		{kindClose, -1, 6}, // each 401 costs one
	} {
		t.Run(fmt.Sprint(c.kind, " ", c.length), func(t *testing.T) {
			left := noneLeft(t)
			s := newReceiver(t, c.kind)
			tr := &Transport{}
			tr.pools().gateTime = time.Hour
			client := &http.Client{Transport: tr}
			for range 6 {
				req := newRequest(t, "POST", s.url, &seekBody{ReadSeeker: &generator{size: 4}})
				req.ContentLength = c.length
				if resp, body := do(t, client, req); body != whole(4) {
					t.Fatalf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
				}
			}
			opened := s.opened
			if s.site != nil {
				opened = int(s.site.opened.Load())
			}
			if c.kind == kindClose && opened <= c.want || c.kind != kindClose && opened != c.want {
				t.Errorf("%d connections", opened)
			}
			tr.CloseIdleConnections()
			s.Close()
			left()
		})
	}
}

// A response that goes on comes piece by piece, and its end is the caller's to choose.
func TestPoint4Stream(t *testing.T) {
	for _, version := range []int{1, 2} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(fmt.Sprint("HTTP/", version, " ", method), func(t *testing.T) {
				left := noneLeft(t)
				next := make(chan struct{})
				gone := make(chan struct{})
				h := new(Authenticator).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					for i := range 3 {
						fmt.Fprintf(w, "part %d\n", i)
						w.(http.Flusher).Flush()
						<-next
					}
					<-r.Context().Done()
					close(gone)
				}))
				s := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { h.ServeHTTP(w, r) })
				s.EnableHTTP2 = version == 2
				s.StartTLS()
				s.URL = "https://localhost:" + s.port()
				base := trusting(s)
				base.ForceAttemptHTTP2 = version == 2
				tr := &Transport{Base: base, Mutual: MutualOptional}
				var body io.Reader
				if method == "POST" {
					body = &countedBody{Reader: strings.NewReader("text")}
				}
				resp, err := tr.RoundTrip(newRequest(t, method, s.URL, body))
				if err != nil {
					t.Fatal(err)
				}
				lines := bufio.NewScanner(resp.Body)
				for i := range 3 {
					if !lines.Scan() || lines.Text() != fmt.Sprint("part ", i) {
						t.Fatalf("%q, %v", lines.Text(), lines.Err())
					}
					next <- struct{}{}
				}
				resp.Body.Close()
				<-gone
				tr.CloseIdleConnections()
				s.Close()
				left()
			})
		}
	}
}

// A body goes both ways at once behind a challenge.
func TestPoint4BothWays(t *testing.T) {
	left := noneLeft(t)
	h := new(Authenticator).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			w.Write(buf[:n])
			w.(http.Flusher).Flush()
			if err != nil {
				return
			}
		}
	}))
	s := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { h.ServeHTTP(w, r) })
	s.EnableHTTP2 = true
	s.StartTLS()
	tr := &Transport{Base: trusting(s)}
	pr, pw := io.Pipe()
	req := newRequest(t, "POST", "https://localhost:"+s.port(), pr)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	for _, word := range []string{"words", "there", "again"} {
		io.WriteString(pw, word)
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != word {
			t.Errorf("%q, %v", buf, err)
		}
	}
	pw.Close()
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	resp.Body.Close()
	tr.CloseIdleConnections()
	s.Close()
	left()
}

// Client.Timeout holds wherever the time goes: in the answer to the first leg, to the second, in its body, and while
// the request's body is held back.
func TestPoint4ClientTimeout(t *testing.T) {
	for _, stage := range []string{"first leg", "second leg", "response body", "held body", "401"} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(stage+" "+method, func(t *testing.T) {
				left := noneLeft(t)
				release := make(chan struct{})
				a := new(Authenticator)
				url, stop := raw(t, func(c net.Conn, br *bufio.Reader) {
					for {
						r, err := http.ReadRequest(br)
						if err != nil {
							return
						}
						w := &header{h: make(http.Header)}
						_, refused := a.Authenticate(w, r)
						hang := false
						switch {
						case stage == "first leg", stage == "held body", stage == "second leg" && refused == nil:
							hang = true
						case stage == "401" && refused != nil:
							io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 1000\r\n\r\nhalf")
							hang = true
						case refused != nil:
							io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 4\r\n\r\nwho?")
							if _, err := io.Copy(io.Discard, r.Body); err != nil {
								return
							}
						default:
							io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
							hang = true
						}
						if hang {
							<-release
							return
						}
					}
				})
				tr := &Transport{}
				tr.pools().gateTime = time.Hour
				var body io.Reader
				if method == "POST" {
					body = &countedBody{Reader: strings.NewReader("text")}
				}
				client := &http.Client{Transport: tr, Timeout: 150 * time.Millisecond}
				start := time.Now()
				resp, err := client.Do(newRequest(t, method, url, body))
				if err == nil {
					if stage != "response body" && stage != "401" {
						t.Errorf("%s came", resp.Status)
					}
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				if te, ok := err.(net.Error); !ok || !te.Timeout() {
					t.Errorf("error %v", err)
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("it took %v", took)
				}
				close(release)
				tr.CloseIdleConnections()
				stop()
				left()
			})
		}
	}
}

// header is a ResponseWriter for Authenticate, which sets header fields alone.
type header struct{ h http.Header }

func (w *header) Header() http.Header       { return w.h }
func (w *header) Write([]byte) (int, error) { panic("a body") }
func (w *header) WriteHeader(int)           { panic("a status") }

// Cookies of a 401 that is not answered are in it once; those of each of several reach the jar and the next leg.
func TestPoint13Cookies(t *testing.T) {
	t.Run("final 401", func(t *testing.T) {
		s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			w.Header().Set("WWW-Authenticate", "Negotiate @@@")
			w.Header().Set("Set-Cookie", "a=1")
			w.WriteHeader(401)
		})
		resp, _ := get(t, &http.Client{Transport: &Transport{}}, s.URL)
		if got := resp.Header["Set-Cookie"]; len(got) != 1 || got[0] != "a=1" {
			t.Errorf("%q", got)
		}
	})
	t.Run("several", func(t *testing.T) {
		var a Authenticator
		s := newSite(t, func(w http.ResponseWriter, r *http.Request, n int) {
			w.Header().Set("Set-Cookie", fmt.Sprintf("n=%d; HttpOnly", n))
			w.Header().Add("Set-Cookie", fmt.Sprintf("only%d=1; Path=/elsewhere", n))
			if n == 0 {
				w.WriteHeader(417)
				return
			}
			if _, err := a.Authenticate(w, r); err != nil {
				w.WriteHeader(401)
			}
		})
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &Transport{}, Jar: jar}
		resp, _ := do(t, client, newRequest(t, "POST", s.URL, &seekBody{ReadSeeker: strings.NewReader("text")}))
		if resp.StatusCode != 200 {
			t.Errorf("%s, %+v", resp.Status, OutcomeOf(resp))
		}
		var sent []string
		for _, r := range s.seen() {
			sent = append(sent, r.Header.Get("Cookie"))
		}
		if fmt.Sprintf("%q", sent) != `["" "n=0" "n=1"]` {
			t.Errorf("sent %q", sent)
		}
		if got := resp.Header["Set-Cookie"]; len(got) != 6 || !strings.HasPrefix(got[4], "n=2") {
			t.Errorf("the caller learns %q", got)
		}
		u, _ := url.Parse(s.URL)
		if got := jar.Cookies(u); len(got) != 1 || got[0].Value != "2" {
			t.Errorf("the jar has %v", got)
		}
	})
}

// Cookies that come while a connection is authenticated ahead of a body are the request's too.
func TestPoint13CookiesOfALane(t *testing.T) {
	b := newBound(t)
	if b == nil {
		return
	}
	serve := b.Config.Handler
	n := 0
	b.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", fmt.Sprintf("n%d=1", n))
		n++
		serve.ServeHTTP(w, r)
	})
	client := newLanes(t, b, &Transport{})
	resp, body := do(t, client, newRequest(t, "POST", b.URL, strings.NewReader("text")))
	if resp.StatusCode != 200 || body != "user@NEGO.TEST text" {
		t.Fatalf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
	}
	seen := b.seen()
	want := ""
	for i, r := range seen {
		if got := r.Header.Get("Cookie"); got != want {
			t.Errorf("request %d, a %s, has the cookies %q, want %q", i, r.Method, got, want)
		}
		want = strings.TrimPrefix(fmt.Sprintf("%s; n%d=1", want, i), "; ")
	}
	if got := resp.Header["Set-Cookie"]; len(got) != len(seen) {
		t.Errorf("the caller learns %q of %d", got, len(seen))
	}
}

// That a token was too large for a server is said, whatever else is.
func TestPoint17LargeToken(t *testing.T) {
	name := fmt.Sprintf("u%d%s", serial.Add(1), strings.Repeat("x", 1500))
	if err := realm.AddUser(name, "secret"); err != nil {
		t.Fatal(err)
	}
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Name: gssapi.User(name), Store: gssapi.Store{Password: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	for _, status := range []int{400, 431, 403} {
		s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			if r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", "Negotiate")
				w.WriteHeader(401)
				return
			}
			w.WriteHeader(status)
			io.WriteString(w, "too large")
		})
		for _, tr := range []*Transport{{}, {Mutual: MutualOptional}, {Mutual: MutualRequired}, {Mutual: MutualRequired, KeepErrorBody: true},
			{Preemptive: PreemptAlways}, {Strict: true}} {
			tr.Credential = cred
			resp, body := get(t, &http.Client{Transport: tr}, s.URL)
			o := OutcomeOf(resp)
			want := "too large"
			if tr.Mutual == MutualRequired && !tr.KeepErrorBody {
				want = ""
			}
			if resp.StatusCode != status || body != want || o.Legs != 1 {
				t.Errorf("%s, %q, %+v", resp.Status, body, o)
			}
			if said := o.Err != nil && strings.Contains(o.Err.Error(), " bytes"); said != (status != 403) {
				t.Errorf("%d, mutual %s: %v", status, tr.Mutual, o.Err)
			}
		}
	}
}

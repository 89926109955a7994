package negotiate

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Single-leg authentication stays on HTTP/2, many requests on one connection.
func TestPoint9HTTP2(t *testing.T) {
	c := certificates(t)[0]
	for _, preempt := range []Preemption{PreemptNever, PreemptRemember, PreemptAlways} {
		for _, mutual := range []Mutual{MutualDisabled, MutualRequired} {
			t.Run(fmt.Sprint(preempt, mutual), func(t *testing.T) {
				var a Authenticator
				h := a.Handler(http.HandlerFunc(whoami))
				s := newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) { h.ServeHTTP(w, r) })
				s.EnableHTTP2 = true
				s.TLS = &tls.Config{Certificates: []tls.Certificate{c.cert}}
				s.StartTLS()
				t.Cleanup(s.Close)
				tr := &Transport{Base: sendTo(s.Listener.Addr().String()), Preemptive: preempt, Mutual: mutual, ChannelBinding: BindIfTLS}
				defer tr.CloseIdleConnections()
				client := &http.Client{Transport: tr}
				send := func() {
					resp, err := client.Get("https://localhost")
					if err != nil {
						t.Error(err)
						return
					}
					b, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					if o := OutcomeOf(resp); string(b) != "user@NEGO.TEST" || resp.ProtoMajor != 2 || o.Err != nil || o.Legs != 1 || o.Mutual != (mutual == MutualRequired) {
						t.Errorf("%s %s, %q, %+v", resp.Proto, resp.Status, b, o)
					}
				}
				send()
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						for range 10 {
							send()
						}
					})
				}
				wg.Wait()
				if n := s.opened.Load(); n != 1 {
					t.Errorf("%d connections", n)
				}
			})
		}
	}
}

// refuser is a server that refuses HTTP/2: each request, or those with a token, in one of two ways. Over HTTP/1.1 it is
// a keeper.
type refuser struct {
	*keeper
	goAway, tokensOnly bool
	refused            atomic.Int64
	tunnels            atomic.Int64 // connections of HTTP/2
}

func newRefuser(t *testing.T, goAway, tokensOnly bool) *refuser {
	r := &refuser{keeper: newUnstartedKeeper(t), goAway: goAway, tokensOnly: tokensOnly}
	c := certificates(t)[0]
	r.show(&c.cert, c.hash)
	r.TLS = &tls.Config{Certificates: []tls.Certificate{c.cert}, NextProtos: []string{"h2", "http/1.1"}}
	r.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) {
		r.tunnels.Add(1)
		r.talk(c)
	}}
	r.StartTLS()
	r.URL = "https://localhost:" + r.port()
	return r
}

// talk is HTTP/2, as far as it takes. Challenges are answered before the body is read, and what comes of that is dropped.
func (r *refuser) talk(c *tls.Conn) {
	defer c.Close()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				f.WritePing(true, frame.Data)
			}
		case *http2.MetaHeadersFrame:
			token := false
			for _, h := range frame.Fields {
				token = token || h.Name == "authorization"
			}
			id := frame.StreamID
			if r.tokensOnly && !token {
				var b bytes.Buffer
				e := hpack.NewEncoder(&b)
				e.WriteField(hpack.HeaderField{Name: ":status", Value: "401"})
				e.WriteField(hpack.HeaderField{Name: "www-authenticate", Value: "Negotiate"})
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b.Bytes(), EndHeaders: true, EndStream: true})
				if !frame.StreamEnded() {
					f.WriteRSTStream(id, http2.ErrCodeNo)
				}
				continue
			}
			r.refused.Add(1)
			if !r.goAway {
				f.WriteRSTStream(id, http2.ErrCodeHTTP11Required)
				continue
			}
			f.WriteGoAway(0, http2.ErrCodeHTTP11Required, []byte("HTTP/1.1 only"))
			c.CloseWrite()
			io.Copy(io.Discard, c) // else what is unread becomes a reset, which overtakes the frame
			return
		}
	}
}

// A server that refuses HTTP/2 for a request gets it again over HTTP/1.1, whole, and further ones at once.
func TestPoint9HTTP11Required(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 2<<20>>4)
	for _, goAway := range []bool{false, true} {
		for _, tokensOnly := range []bool{false, true} {
			for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
				for _, binding := range []Binding{BindNever, BindIfTLS, BindRequired} {
					for name, body := range map[string]func() io.Reader{
						"none":           func() io.Reader { return nil },
						"memory":         func() io.Reader { return strings.NewReader("text") },
						"long":           func() io.Reader { return strings.NewReader(long) },
						"once":           func() io.Reader { return iotest.OneByteReader(strings.NewReader("text")) },
						"once, and long": func() io.Reader { return io.MultiReader(strings.NewReader(long)) },
					} {
						if strings.Contains(name, "long") && binding != BindNever {
							continue // for the time it takes
						}
						t.Run(fmt.Sprint("goaway ", goAway, " tokens ", tokensOnly, preempt, binding, name), func(t *testing.T) {
							r := newRefuser(t, goAway, tokensOnly)
							tr := &Transport{Base: sendTo(r.Listener.Addr().String()), Preemptive: preempt, ChannelBinding: binding}
							defer tr.CloseIdleConnections()
							client := &http.Client{Transport: tr}
							for i := range 3 {
								req := newRequest(t, "POST", r.URL+"/always", body())
								want := "user@NEGO.TEST"
								if b := body(); b != nil {
									text, _ := io.ReadAll(b)
									want += string(text)
								}
								resp, got := do(t, client, req)
								o := OutcomeOf(resp)
								if resp.StatusCode != 200 || got != want || resp.ProtoMajor != 1 || o.Err != nil || o.ChannelBound != (binding != BindNever) {
									t.Errorf("%d: %s %s, %d bytes, want %d, %+v", i, resp.Proto, resp.Status, len(got), len(want), o)
								}
								if n := r.refused.Load(); n == 0 || !goAway && n != 1 {
									t.Errorf("%d: %d refusals", i, n)
								}
							}
							n := r.tunnels.Load()
							get(t, client, r.URL+"/always")
							if r.tunnels.Load() != n {
								t.Error("HTTP/2 was tried again")
							}
						})
					}
				}
			}
		}
	}
}

// Another error of HTTP/2 is none that HTTP/1.1 helps against.
func TestPoint9OtherErrors(t *testing.T) {
	for _, code := range []http2.ErrCode{http2.ErrCodeInternal, http2.ErrCodeHTTP11Required} {
		if got := wantsHTTP1(http2.StreamError{StreamID: 1, Code: code}); got != (code == http2.ErrCodeHTTP11Required) {
			t.Errorf("%v: %v", code, got)
		}
	}
}

package negotiate

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
)

// response is the ResponseWriter of a handler whose response has something of Authenticate's to say. It sees to it that the final one
// says that: [net/http/httputil.ReverseProxy] clears the header behind each interim response. Until then it only looks on, because
// the server may still be reading the header after it has taken an interim response.
type response struct {
	http.ResponseWriter
	request *http.Request
	own     http.Header // what Authenticate has said
	interim bool        // there was an interim response
}

// serveKeeping has a handler serve a request, and keeps what is in the header for the final response. A ResponseWriter that cannot
// flush has no interim ones either, as that of http.TimeoutHandler.
func serveKeeping(next http.Handler, w http.ResponseWriter, r *http.Request) {
	own := http.Header{}
	for _, field := range []string{askHeader, "Persistent-Auth", setCookieHeader, "Cache-Control"} {
		if lines := w.Header()[field]; len(lines) > 0 {
			own[field] = slices.Clone(lines)
		}
	}
	if _, ok := w.(http.Flusher); !ok || len(own) == 0 {
		next.ServeHTTP(w, r)
		return
	}
	kept := &response{ResponseWriter: w, request: r, own: own}
	defer kept.restore() // also where somebody else will answer, behind a panic
	next.ServeHTTP(kept, r)
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	switch {
	case status < 100 || status >= 200 || status == http.StatusSwitchingProtocols:
		w.restore()
		if status == http.StatusRequestEntityTooLarge && w.request.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // as http.MaxBytesReader does where it knows the ResponseWriter
		}
	case !w.interim:
		w.interim = true
		for field, own := range w.own { // what the handler has taken off is not to come back
			w.own[field] = slices.DeleteFunc(own, func(line string) bool { return !slices.Contains(w.Header()[field], line) })
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// restore puts back what is missing where somebody has cleared the header. Who takes off one field leaves the others.
func (w *response) restore() {
	if !w.interim {
		return
	}
	w.interim = false
	h := w.Header()
	for field, own := range w.own {
		if field != "Cache-Control" && slices.ContainsFunc(own, func(line string) bool { return slices.Contains(h[field], line) }) {
			return // a handler or its upstream has that of its own
		}
	}
	for field, own := range w.own {
		lines := slices.DeleteFunc(own, func(line string) bool { return slices.Contains(h[field], line) })
		if len(lines) > 0 {
			h[field] = append(lines, h[field]...)
		}
	}
}

// replace changes what is kept of a field. Behind an interim response the new line is not kept: it is in the header, whatever
// that was before.
func (w *response) replace(field string, old func(line string) bool, line string) {
	w.own[field] = slices.DeleteFunc(w.own[field], old)
	if !w.interim {
		w.own[field] = append(w.own[field], line)
	}
}

// keeping finds what keeps the header of a ResponseWriter, if anything does.
func keeping(w http.ResponseWriter) *response {
	for {
		switch kept := w.(type) {
		case *response:
			return kept
		case interface{ Unwrap() http.ResponseWriter }:
			w = kept.Unwrap()
		default:
			return nil
		}
	}
}

func (w *response) Write(b []byte) (int, error) {
	w.restore()
	return w.ResponseWriter.Write(b)
}

func (w *response) WriteString(s string) (int, error) {
	w.restore()
	return io.WriteString(w.ResponseWriter, s)
}

// ReadFrom lets the kernel send files.
func (w *response) ReadFrom(r io.Reader) (int64, error) {
	w.restore()
	return io.Copy(w.ResponseWriter, r)
}

func (w *response) Flush() { _ = w.FlushError() }

func (w *response) FlushError() error {
	w.restore()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack is where a reverse proxy changes the protocol, with what is in the header by then.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.restore()
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Push is what HTTP/2 can.
func (w *response) Push(target string, opts *http.PushOptions) error {
	if p, ok := w.ResponseWriter.(http.Pusher); ok {
		return p.Push(target, opts)
	}
	return http.ErrNotSupported
}

// CloseNotify is what some still ask for without asking whether it is there.
func (w *response) CloseNotify() <-chan bool {
	//lint:ignore SA1019 who asks for it does so as well
	if n, ok := w.ResponseWriter.(http.CloseNotifier); ok {
		return n.CloseNotify()
	}
	gone := make(chan bool, 1)
	context.AfterFunc(w.request.Context(), func() { gone <- true })
	return gone
}

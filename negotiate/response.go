package negotiate

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
)

// response is the ResponseWriter of a handler whose response has something of Authenticate's to say. That is for the final one:
// an interim response would take with it all that is in the header, and [net/http/httputil.ReverseProxy] clears the header behind each.
type response struct {
	http.ResponseWriter
	own     http.Header // what Authenticate has said, and nobody is to change
	interim bool        // there was one since the header was looked at
}

// notCleared is a field without a value, which nobody sends: who clears the header takes it away as well, and who takes off
// one field means it.
const notCleared = "Nego-Not-Cleared"

// serveKeeping has a handler serve a request, and keeps what is in the header for the final response.
func serveKeeping(next http.Handler, w http.ResponseWriter, r *http.Request) {
	own := http.Header{}
	for _, field := range []string{askHeader, "Persistent-Auth", setCookieHeader, "Cache-Control"} {
		if lines := w.Header()[field]; len(lines) > 0 {
			own[field] = slices.Clone(lines)
		}
	}
	if len(own) == 0 {
		next.ServeHTTP(w, r)
		return
	}
	kept := &response{ResponseWriter: w, own: own}
	next.ServeHTTP(kept, r)
	kept.restore()
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	w.restore()
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	h := w.Header()
	all := maps.Clone(h)
	for field, own := range w.own {
		if lines, ok := h[field]; ok {
			h[field] = slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return slices.Contains(own, line) })
		}
	}
	w.ResponseWriter.WriteHeader(status)
	maps.Copy(h, all)
	h[notCleared] = nil
	w.interim = true
}

// restore puts back what somebody has cleared away.
func (w *response) restore() {
	if !w.interim {
		return
	}
	w.interim = false
	h := w.Header()
	if _, ok := h[notCleared]; ok {
		delete(h, notCleared)
		return
	}
	for field, own := range w.own {
		h[field] = append(slices.Clone(own), h[field]...)
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

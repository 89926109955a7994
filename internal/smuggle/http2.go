package smuggle

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A stream is a request of HTTP/2, where lengths are those of frames and line ends mean nothing: what it says of itself may mean
// something in HTTP/1.1.
type stream struct {
	name    string
	fields  []string // name, value, name …, beside those of a good request, or in their place; {path} stands for the path
	body    string
	trailer []string
}

func streams() []stream {
	const start = " HTTP/1.1\r\nHost: localhost\r\n\r\n"
	coding := "0\r\n\r\n" + hidden
	all := []stream{
		{"a length that is longer", []string{"content-length", "100"}, hidden, nil},
		{"a length that is shorter", []string{"content-length", "5"}, hidden, nil},
		{"a length of nothing", []string{"content-length", "0"}, hidden, nil},
		{"two lengths", []string{"content-length", "0", "content-length", strconv.Itoa(len(hidden))}, hidden, nil},
		{"a list of lengths", []string{"content-length", fmt.Sprintf("0, %d", len(hidden))}, hidden, nil},
		{"a length with a sign", []string{"content-length", fmt.Sprintf("+%d", len(hidden))}, hidden, nil},
		{"a length and no body", []string{"content-length", strconv.Itoa(len(hidden))}, "", nil},
		{"a coding", []string{"transfer-encoding", "chunked"}, coding, nil},
		{"a coding in capitals", []string{"Transfer-Encoding", "chunked"}, coding, nil},
		{"a coding with an underscore", []string{"transfer_encoding", "chunked"}, coding, nil},
		{"a coding and a length", []string{"transfer-encoding", "chunked", "content-length", strconv.Itoa(len(coding))}, coding, nil},
		{"a coding that Connection names", []string{"connection", "transfer-encoding", "transfer-encoding", "chunked"}, coding, nil},
		{"a coding as a second line", []string{"x-a", "b\r\ntransfer-encoding: chunked"}, coding, nil},
		{"a coding behind a line feed", []string{"x-a", "b\ntransfer-encoding: chunked"}, coding, nil},
		{"a coding in a name", []string{"x-a: b\r\ntransfer-encoding", "chunked"}, coding, nil},
		{"a coding in a name with a colon", []string{"transfer-encoding: chunked\r\nx-a", "b"}, coding, nil},
		{"a request in a field", []string{"x-a", "b\r\n\r\n" + hidden}, "", nil},
		{"a request in a name", []string{"x-a: b\r\n\r\n" + hidden + "x", "b"}, "", nil},
		{"a request in the path", []string{":path", "{path}" + start + "GET /hidden"}, "", nil},
		{"a version in the path", []string{":path", "{path} HTTP/1.1\r\nX-Remote-User: " + admin + "\r\nX-A: b"}, "", nil},
		{"a space in the path", []string{":path", "{path} HTTP/1.1"}, "", nil},
		{"a request in the method", []string{":method", "GET {path}" + start + "GET"}, "", nil},
		{"a space in the method", []string{":method", "GET /hidden"}, "", nil},
		{"a request in the authority", []string{":authority", "localhost\r\n\r\n" + hidden}, "", nil},
		{"a field in the authority", []string{":authority", "localhost\r\nX-Remote-User: " + admin}, "", nil},
		{"a request in the scheme", []string{":scheme", "http://localhost/hidden?"}, "", nil},
		{"a whole URL for a path", []string{":path", "http://other.example{path}"}, "", nil},
		{"another host", []string{"host", "other.example"}, "", nil},
		{"an upgrade", []string{"connection", "upgrade", "upgrade", "h2c"}, hidden, nil},
		{"a tunnel to another protocol", []string{":method", "CONNECT", ":protocol", "websocket"}, hidden, nil},
		{"what is announced", []string{"expect", "100-continue"}, hidden, nil},
		{"a body with a GET", []string{":method", "GET"}, hidden, nil},
		{"a user", []string{"x-remote-user", admin, "x_remote_user", admin, "x.remote_user-local", admin}, "", nil},
		{"a user in capitals", []string{"X-Remote-User", admin}, "", nil},
		{"a user in a name", []string{"x-remote-user: " + admin + "\r\nx-a", "b"}, "", nil},
		{"a user in a trailer", []string{"trailer", "x-remote-user"}, hidden, []string{"x-remote-user", admin}},
		{"a length in a trailer", nil, hidden, []string{"content-length", "0"}},
		{"a coding in a trailer", nil, hidden, []string{"transfer-encoding", "chunked"}},
		{"a request in a trailer", nil, hidden, []string{"x-a", "b\r\n\r\n" + hidden}},
		{"a path in a trailer", nil, hidden, []string{":path", "/hidden"}},
	}
	for i := range all {
		all[i].fields = append([]string{":method", "POST"}, all[i].fields...)
	}
	return all
}

// CheckHTTP2 is Check with a front that has TLS and HTTP/2.
func (c *Chain) CheckHTTP2(t *testing.T) {
	t.Helper()
	var cases []Case
	for i, bad := range streams() {
		cases = append(cases, Case{Name: bad.name, Most: 1})
		c.sendHTTP2(t, &bad, fmt.Sprint("/", i, "/"))
		path := fmt.Sprint("/", i, "/", next)
		if status, body := c.sendHTTP2(t, new(stream), path); status != http.StatusOK || body != path {
			t.Errorf("%s: the next request of all gets %d, %q", bad.name, status, body)
		}
	}
	c.check(t, cases)
}

// head encodes the fields of a request for a path.
func (c *Chain) head(s *stream, path string) []byte {
	fields := []string{":method", http.MethodGet, ":scheme", "https", ":path", c.Target(path), ":authority", "localhost"}
	for line := range strings.SplitSeq(strings.TrimSuffix(c.Fields(), "\r\n"), "\r\n") {
		if name, value, _ := strings.Cut(line, ": "); name != "Host" {
			fields = append(fields, strings.ToLower(name), value)
		}
	}
	for i := 0; i < len(s.fields); i += 2 {
		name, value := s.fields[i], strings.ReplaceAll(s.fields[i+1], "{path}", c.Target(path))
		switch at := pair(fields, name); {
		case at >= 0:
			fields[at+1] = value
		case name[0] == ':':
			fields = append([]string{name, value}, fields...)
		default:
			fields = append(fields, name, value)
		}
	}
	return encode(fields)
}

// pair is where a pseudo-header is, of which there can be one alone, or -1.
func pair(fields []string, name string) int {
	for i := 0; i < len(fields); i += 2 {
		if name[0] == ':' && fields[i] == name {
			return i
		}
	}
	return -1
}

func encode(fields []string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // a Buffer takes all
	}
	return b.Bytes()
}

// sendHTTP2 sends a request on a connection of its own, and returns the answer, if there is one. Where writing fails, the front knows
// enough.
func (c *Chain) sendHTTP2(t *testing.T, s *stream, path string) (status int, body string) {
	t.Helper()
	d := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: patience},
		Config:    &tls.Config{NextProtos: []string{"h2"}, InsecureSkipVerify: true}, // the certificate is a test's
	}
	conn, err := d.DialContext(t.Context(), "tcp", c.Front)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, http2.ClientPreface)
	f := http2.NewFramer(conn, conn)
	f.AllowIllegalWrites = true
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = f.WriteSettings()
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.head(s, path), EndHeaders: true, EndStream: s.body == ""})
	if s.body != "" {
		_ = f.WriteData(1, s.trailer == nil, []byte(s.body))
	}
	if s.trailer != nil {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(s.trailer), EndHeaders: true, EndStream: true})
	}
	for {
		frame, err := f.ReadFrame()
		if e, ok := err.(net.Error); ok && e.Timeout() {
			t.Errorf("no end of %s", s.name)
		}
		if err != nil {
			return status, body
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			status, _ = strconv.Atoi(frame.PseudoValue("status"))
			if frame.StreamEnded() {
				return status, body
			}
		case *http2.DataFrame:
			body += string(frame.Data())
			if frame.StreamEnded() {
				return status, body
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return status, body
		}
	}
}

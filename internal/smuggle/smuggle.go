// Package smuggle has requests that two servers in a row may read differently, for the tests of what stands before others,
// and a back end that reads in one way alone and counts what arrives.
package smuggle

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Case is what a client sends on one connection. {line} stands for the target and the version of its first request,
// {fields} for the fields that every request of the client has, with their line ends.
type Case struct {
	Name, Text string

	// Most is how many requests may arrive at the back end, at the most: each that the client has begun itself.
	Most int
}

// hidden is what no front may take for a request of its own where it stands in a body, nor a back end.
const hidden = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"

// Cases returns them.
func Cases() []Case {
	post := func(fields, body string) string { return "POST {line}\r\n{fields}" + fields + "\r\n" + body }
	chunked := func(body string) string { return post("Transfer-Encoding: chunked\r\n", body) }
	cases := []Case{
		{"length and coding", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden), 1},
		{"coding and length", post("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\n"+hidden), 1},
		{"two lengths", post("Content-Length: 5\r\nContent-Length: 0\r\n", "hello"), 0},
		{"one length twice", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), 1},
		{"a length of HTTP/1.0 and a coding", "POST {line10}\r\n{fields}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, 1},
		{"a folded coding", post("Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"+hidden), 1},
		{"a coding that is folded into another field", post("Content-Length: 5\r\nX-A: b\r\n Transfer-Encoding: chunked\r\n", "hello"), 1},
		{"a folded length", post("Content-Length: 1\r\n 0\r\n", "helloworld"), 1},
		{"a fold in the first field", "POST {line}\r\n X-A: b\r\n{fields}Content-Length: 5\r\n\r\nhello", 0},
		{"line feeds alone", "POST {line}\n{fields}Content-Length: 5\n\nhello", 1},
		{"a line feed in a field", post("X-A: b\nContent-Length: 5\r\n", "hello"), 1},
		{"a carriage return in a field", post("X-A: b\rContent-Length: 5\r\n", ""), 0},
		{"a NUL in a field", post("X-A: b\x00c\r\nContent-Length: 0\r\n", ""), 0},
		{"a field without a name", post(": b\r\nContent-Length: 0\r\n", ""), 0},
		{"a field without a colon", post("X-A\r\nContent-Length: 0\r\n", ""), 0},
		{"a space in a name", post("Content-Length : 5\r\n", "hello"), 0},
		{"a body with a GET", "GET {line}\r\n{fields}Content-Length: " + strconv.Itoa(len(hidden)) + "\r\n\r\n" + hidden, 1},
		{"chunks with a GET", "GET {line}\r\n{fields}Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden), 1},
		{"a body with a HEAD", "HEAD {line}\r\n{fields}Content-Length: " + strconv.Itoa(len(hidden)) + "\r\n\r\n" + hidden, 1},
		{"an announced body that comes at once", post("Expect: 100-continue\r\nContent-Length: "+strconv.Itoa(len(hidden))+"\r\n", hidden), 1},
		{"something else expected", post("Expect: 200-maybe\r\nContent-Length: 5\r\n", "hello"), 1},
		{"a length that Connection names", post("Connection: Content-Length\r\nContent-Length: "+strconv.Itoa(len(hidden))+"\r\n", hidden), 1},
		{"a coding that Connection names", post("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)), 1},
		{"a host that Connection names", post("Connection: Host\r\nContent-Length: 0\r\n", ""), 1},
		{"an upgrade to HTTP/2", "GET {line}\r\n{fields}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1},
		{"an upgrade to one of several", "GET {line}\r\n{fields}Connection: upgrade\r\nUpgrade: websocket, H2C\r\nUpgrade: TLS/1.0\r\n\r\n", 1},
		{"an upgrade with a body", post("Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: "+strconv.Itoa(len(hidden))+"\r\n", hidden), 1},
		{"HTTP/2 from the start", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 0},
		{"HTTP/0.9", "GET /hidden\r\n\r\n", 0},
		{"a version to come", "GET {target} HTTP/1.9\r\n{fields}\r\n", 1},
		{"a version that is none", "GET {target} HTTP/11\r\n{fields}\r\n", 0},
		{"a space in the target", "GET {target} x HTTP/1.1\r\n{fields}\r\n", 0},
		{"a tab for a space", "GET\t{line}\r\n{fields}\r\n", 0},
		{"line ends in the target", "GET {target}%0d%0aX-A:%20b%0d%0a HTTP/1.1\r\n{fields}\r\n", 1},
		{"more behind the body", post("Content-Length: 5\r\n", "hello"+hidden), 1},
	}
	for _, v := range []string{"5, 5", "+5", "-5", "0x5", "5_0", "5 0", "\v5", "18446744073709551621", "five", ""} {
		cases = append(cases, Case{fmt.Sprintf("a length of %q", v), post("Content-Length: "+v+"\r\n", "hello"), 0})
	}
	for _, v := range []string{"xchunked", "chunked, identity", "identity, chunked", "gzip, chunked", "chunked, chunked", "chunked;q=1", `"chunked"`, "\vchunked",
		"chunked\v", "identity", "chunked\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding: identity"} {
		cases = append(cases, Case{fmt.Sprintf("a coding of %q", v), post("Transfer-Encoding: "+v+"\r\n", "0\r\n\r\n"+hidden), 0},
			Case{fmt.Sprintf("a coding of %q and a length", v), post("Content-Length: 6\r\nTransfer-Encoding: "+v+"\r\n", "0\r\n\r\n"+hidden), 0})
	}
	for name, body := range map[string]string{
		"an extension":                  "5;a=b\r\nhello\r\n0\r\n\r\n",
		"an extension in quotes":        "5;a=\"b\r\n\"\r\nhello\r\n0\r\n\r\n",
		"a line feed in an extension":   "5;a\nhello\r\n0\r\n\r\n" + hidden,
		"line feeds alone":              "5\nhello\n0\n\n",
		"spaces behind a size":          "5  \r\nhello\r\n0\r\n\r\n",
		"a sign":                        "+5\r\nhello\r\n0\r\n\r\n",
		"another base":                  "0x5\r\nhello\r\n0\r\n\r\n",
		"an underscore":                 "0_5\r\nhello\r\n0\r\n\r\n",
		"a negative size":               "-5\r\nhello\r\n0\r\n\r\n",
		"a size of more than 64 bits":   "10000000000000005\r\nhello\r\n0\r\n\r\n",
		"the largest size":              "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
		"many zeros":                    strings.Repeat("0", 100) + "5\r\nhello\r\n0\r\n\r\n",
		"no line end behind a chunk":    "5\r\nhello0\r\n\r\n" + hidden,
		"more in a chunk than its size": "5\r\nhelloworld\r\n0\r\n\r\n" + hidden,
		"a length behind them":          "5\r\nhello\r\n0\r\nContent-Length: 40\r\n\r\n" + hidden,
		"a coding behind them":          "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n" + hidden,
		"a fold behind them":            "5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n",
		"no end":                        "5\r\nhello\r\n",
	} {
		cases = append(cases, Case{"chunks: " + name, chunked(body), 1})
	}
	return cases
}

// Format returns what is sent, for a target and the fields of the client, each with its line end.
func (c *Case) Format(target, fields string) string {
	return strings.NewReplacer("{line}", target+" HTTP/1.1", "{line10}", target+" HTTP/1.0", "{target}", target, "{fields}", fields).Replace(c.Text)
}

// Check has a front pass on every case, ends it, and checks what has arrived. The target of a path is what is said to the front.
func Check(t *testing.T, back *Backend, front string, target func(path string) string, fields func() string, end func()) {
	cases := Cases()
	for i, c := range cases {
		send(t, front, c.Format(target(fmt.Sprint("/", i, "/")), fields()))
	}
	end()
	served, wrong := back.Arrived()
	for _, what := range wrong {
		t.Errorf("there arrived, wrong: %s", what)
	}
	if len(served) < len(cases)/3 {
		t.Errorf("only %d requests have arrived", len(served))
	}
	for i, c := range cases {
		n := 0
		for _, path := range served {
			if strings.HasPrefix(path, fmt.Sprint("/", i, "/")) {
				n++
			}
		}
		if n > c.Most {
			t.Errorf("%s: %d requests have arrived", c.Name, n)
		}
	}
	for _, path := range served {
		if strings.Contains(path, "hidden") {
			t.Error("what was hidden has arrived")
		}
	}
}

// send sends text to a front, and returns once the front has closed the connection, or has nothing more to say.
func send(t testing.TB, addr, text string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, text) // where that fails, the front knows enough
	// A client that has closed its side before there is an answer wants none; one that has not gets as many as it has to.
	end := func() { _ = c.(*net.TCPConn).CloseWrite() }
	defer time.AfterFunc(500*time.Millisecond, end).Stop()
	r := bufio.NewReader(c)
	if _, err := http.ReadResponse(r, nil); err == nil {
		end()
	}
	_, err = io.Copy(io.Discard, r)
	if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
		t.Errorf("no end of %q", text)
	}
}

// A Backend takes requests that can be read in one way alone. Others it counts as wrong.
type Backend struct {
	Addr string

	upgrades bool
	listener net.Listener
	conns    sync.WaitGroup

	mu     sync.Mutex
	served []string // targets
	wrong  []string
}

// NewBackend starts one, for the time of a test. With upgrades clients may leave HTTP/1.1 behind: where there is nobody else whose
// name they could use.
func NewBackend(t testing.TB, upgrades bool) *Backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Backend{Addr: l.Addr().String(), upgrades: upgrades, listener: l}
	t.Cleanup(func() { _ = l.Close() })
	b.conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.conns.Go(func() { b.serve(c) })
		}
	})
	return b
}

// Arrived is called when the front has ended, and its connections with it. It returns the targets of all requests, and what was
// wrong.
func (b *Backend) Arrived() (served, wrong []string) {
	_ = b.listener.Close()
	b.conns.Wait()
	return b.served, b.wrong
}

func (b *Backend) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 1<<20)
	for {
		var raw bytes.Buffer
		line, err := read(r, &raw, b.upgrades)
		b.mu.Lock()
		if line != "" {
			b.served = append(b.served, strings.Fields(line)[1])
		}
		if text, ok := errors.AsType[ambiguous](err); ok {
			b.wrong = append(b.wrong, fmt.Sprintf("%v: %q", text, raw.String()))
		}
		b.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
			return
		}
	}
}

var (
	requestLine = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/1\\.1$")
	fieldName   = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	digits      = regexp.MustCompile(`^[0-9]{1,15}$`)
	hexDigits   = regexp.MustCompile(`^[0-9a-f]{1,12}$`)
)

// ambiguous is what is wrong with a request. Connections may end at any time.
type ambiguous string

func (a ambiguous) Error() string { return string(a) }

// read reads one request. The request line is known as soon as all of the head is.
func read(from *bufio.Reader, raw *bytes.Buffer, upgrades bool) (first string, err error) {
	line := func() (string, error) {
		s, err := from.ReadString('\n')
		raw.WriteString(s)
		switch text, ended := strings.CutSuffix(s, "\r\n"); {
		case err != nil:
			return "", err
		case !ended:
			return "", ambiguous("a line feed alone")
		default:
			return text, nil
		}
	}
	request, err := line()
	if err != nil {
		return "", err
	}
	if !requestLine.MatchString(request) {
		return "", ambiguous("no request line")
	}
	fields := make(map[string][]string)
	for {
		s, err := line()
		if err != nil {
			return "", err
		}
		if s == "" {
			break
		}
		name, value, found := strings.Cut(s, ":")
		if !found || !fieldName.MatchString(name) || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			return "", ambiguous(fmt.Sprintf("no field: %q", s))
		}
		name = strings.ToLower(name)
		fields[name] = append(fields[name], strings.Trim(value, " \t"))
	}
	length, coding := fields["content-length"], fields["transfer-encoding"]
	switch {
	case len(fields["host"]) != 1:
		return "", ambiguous("not one host")
	case len(fields["upgrade"]) > 0 && !upgrades:
		return "", ambiguous("another protocol")
	case len(length)+len(coding) > 1:
		return "", ambiguous("several lengths")
	case len(length) == 1:
		if !digits.MatchString(length[0]) {
			return "", ambiguous(fmt.Sprintf("a length of %q", length[0]))
		}
		n, err := strconv.Atoi(length[0])
		if err != nil {
			return "", err
		}
		_, err = io.CopyN(raw, from, int64(n))
		return request, err
	case len(coding) == 1 && coding[0] != "chunked":
		return "", ambiguous(fmt.Sprintf("a coding of %q", coding[0]))
	case len(coding) == 0:
		return request, nil
	}
	for {
		s, err := line()
		if err != nil {
			return request, err
		}
		if !hexDigits.MatchString(s) {
			return request, ambiguous(fmt.Sprintf("a chunk of size %q", s))
		}
		n, err := strconv.ParseInt(s, 16, 64)
		if err != nil {
			return request, err
		}
		if _, err := io.CopyN(raw, from, n); err != nil {
			return request, err
		}
		if s, err := line(); err != nil || s != "" {
			return request, cmp.Or(err, error(ambiguous("no line end behind a chunk")))
		}
		if n == 0 {
			return request, nil
		}
	}
}

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
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A Backend takes requests that can be read in one way alone, and answers with their targets. Others it counts as wrong.
type Backend struct {
	Addr string

	user     string
	listener net.Listener
	conns    sync.WaitGroup

	mu     sync.Mutex
	served []string // targets
	wrong  []string
}

// NewBackend starts one, for the time of a test. Every request is to be the user's, by its X-Remote-User. With "" clients may say what
// they like, and leave HTTP/1.1 behind: where there is nobody else whose name they could use.
func NewBackend(t testing.TB, user string) *Backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Backend{Addr: l.Addr().String(), user: user, listener: l}
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
		line, err := read(r, &raw, b.user, func() { _, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n") })
		var method, target string
		b.mu.Lock()
		if line != "" {
			method, target = strings.Fields(line)[0], strings.Fields(line)[1]
			b.served = append(b.served, target)
		}
		if text, ok := errors.AsType[ambiguous](err); ok {
			b.wrong = append(b.wrong, fmt.Sprintf("%v: %q", text, raw.String()))
		}
		b.mu.Unlock()
		if err != nil {
			return
		}
		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(target))
		if method != http.MethodHead {
			answer += target
		}
		if _, err := io.WriteString(c, answer); err != nil {
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

// read reads one request. The request line is known as soon as all of the head is; ask is for a body that is announced, which some
// hold back for as long as they can.
func read(from *bufio.Reader, raw *bytes.Buffer, user string, ask func()) (first string, err error) {
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
	fields, err := section(line)
	if err != nil {
		return "", err
	}
	if err := forged(fields, user); err != nil {
		return request, err
	}
	if slices.Contains(fields["expect"], "100-continue") {
		ask()
	}
	length, coding := fields["content-length"], fields["transfer-encoding"]
	switch {
	case len(fields["host"]) != 1:
		return "", ambiguous("not one host")
	case len(fields["upgrade"]) > 0 && user != "":
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
		if n == 0 {
			break
		}
		if _, err := io.CopyN(raw, from, n); err != nil {
			return request, err
		}
		if s, err := line(); err != nil || s != "" {
			return request, cmp.Or(err, error(ambiguous("no line end behind a chunk")))
		}
	}
	trailer, err := section(line)
	if err == nil && len(trailer) > 0 && user != "" {
		err = ambiguous("a trailer, which some take for fields")
	}
	for _, name := range []string{"content-length", "transfer-encoding", "host"} {
		if trailer[name] != nil {
			err = ambiguous(name + " behind the chunks")
		}
	}
	return request, err
}

// section reads fields up to their end. Their names are in lower case.
func section(line func() (string, error)) (map[string][]string, error) {
	fields := make(map[string][]string)
	for {
		s, err := line()
		if err != nil || s == "" {
			return fields, err
		}
		name, value, found := strings.Cut(s, ":")
		if !found || !fieldName.MatchString(name) || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			return nil, ambiguous(fmt.Sprintf("no field: %q", s))
		}
		name = strings.ToLower(name)
		fields[name] = append(fields[name], strings.Trim(value, " \t"))
	}
}

// forged reports fields that tell of another user, in whatever spelling CGI and its kin read as that name; "" is anybody.
func forged(fields map[string][]string, user string) error {
	if user == "" {
		return nil
	}
	if got := fields["x-remote-user"]; !slices.Equal(got, []string{user}) {
		return ambiguous(fmt.Sprintf("a request of %q", got))
	}
	for name, values := range fields {
		if variable := strings.NewReplacer("_", "-", ".", "-").Replace(name); strings.HasPrefix(variable, "x-remote-user") && strings.Contains(strings.Join(values, ","), admin) {
			return ambiguous(name + " of the client")
		}
	}
	return nil
}

package smuggle

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

const patience = 20 * time.Second // for what takes no time, on a machine with other things to do

// next is the path of the request that comes behind a case, on another connection: what is left over of the case between two servers
// would be in front of it.
const next = "next"

// A Chain is who passes on what a client sends, up to a back end.
type Chain struct {
	Back   *Backend                 // nil where there is another last server, which too says for which path it answers
	Front  string                   // the address that the client sends to
	Target func(path string) string // what it says there for a path
	Fields func() string            // of each request of the client, with their line ends
	End    func()                   // ends what the back end has its connections from

	// Mends says that a server may make a good request of a bad one. Otherwise nothing may arrive of those without a good reading.
	Mends bool

	nexts int // how many good requests were sent
}

// Check has a chain pass on every case, ends it, and checks what has arrived.
func (c *Chain) Check(t *testing.T) {
	t.Helper()
	cases := Cases()
	good := Case{Text: "GET {line}\r\n{fields}\r\n"}
	for i, bad := range cases {
		send(t, c.Front, bad.Format(c.Target(fmt.Sprint("/", i, "/")), c.Fields()))
		path := fmt.Sprint("/", i, "/", next)
		if status, body := send(t, c.Front, good.Format(c.Target(path), c.Fields())); status != http.StatusOK || body != path {
			t.Errorf("%s: the next request of all gets %d, %q", bad.Name, status, body)
		}
	}
	c.check(t, cases)
}

// check ends the chain.
func (c *Chain) check(t *testing.T, cases []Case) {
	t.Helper()
	c.nexts = len(cases)
	c.End()
	if c.Back == nil {
		return
	}
	served, wrong := c.Back.Arrived()
	for _, what := range wrong {
		t.Errorf("there arrived, wrong: %s", what)
	}
	arrived := make(map[string]int)
	for _, path := range served {
		arrived[path]++
		if strings.Contains(path, "hidden") {
			t.Error("what was hidden has arrived")
		}
	}
	for i, bad := range cases {
		most := bad.Most
		if c.Mends {
			most = max(most, 1)
		}
		n := 0
		for path := range arrived {
			if strings.HasPrefix(path, fmt.Sprint("/", i, "/")) {
				n += arrived[path]
			}
		}
		if nexts := arrived[fmt.Sprint("/", i, "/", next)]; nexts != 1 || n-nexts > most {
			t.Errorf("%s: %d requests have arrived, and %d next ones", bad.Name, n-nexts, nexts)
		}
	}
	if n := len(served) - len(cases); n < len(cases)/5 {
		t.Errorf("only %d requests have arrived", n)
	}
}

// logged is what the access logs of all servers have in common: a blank, and the target. Where they have no target there is no request.
var logged = regexp.MustCompile(" (?:http://[^/ ]*)?/([0-9]+/(?:" + next + ")?|hidden)")

// Follow checks by access logs, once the chain has been checked, that a server has had no request that the one before it does not know of. A line may come later than
// the answer that it tells of.
func (c *Chain) Follow(t *testing.T, before, behind func() []string) {
	t.Helper()
	count := func(lines []string) (requests map[string]int, nexts int) {
		requests = make(map[string]int)
		for _, line := range lines {
			target := "no request"
			if m := logged.FindStringSubmatch(line); m != nil {
				target = m[1]
			}
			if strings.HasSuffix(target, next) {
				nexts++
			}
			requests[target]++
		}
		return requests, nexts
	}
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		said, known := count(before())
		had, done := count(behind())
		var wrong []string
		for target, n := range had {
			if n > said[target] {
				wrong = append(wrong, fmt.Sprintf("%d of %s, not %d", n, target, said[target]))
			}
		}
		if known != c.nexts || done != c.nexts {
			wrong = append(wrong, fmt.Sprintf("%d and %d of %d next requests", known, done, c.nexts))
		}
		if wrong == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Errorf("the server behind has had %s", strings.Join(wrong, "; "))
			return
		}
	}
}

// send sends text to a front, and returns once the front has closed the connection, or has nothing more to say: with the first answer,
// if there is one.
func send(t testing.TB, addr, text string) (status int, body string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, text) // where that fails, the front knows enough
	// A client that has closed its side before there is an answer wants none; one that has not gets as many as it has to.
	end := func() { _ = c.(*net.TCPConn).CloseWrite() }
	defer time.AfterFunc(500*time.Millisecond, end).Stop()
	r := bufio.NewReader(c)
	if resp, err := http.ReadResponse(r, &http.Request{Method: strings.Fields(text)[0]}); err == nil {
		all, _ := io.ReadAll(resp.Body)
		status, body = resp.StatusCode, string(all)
		end()
	}
	_, err = io.Copy(io.Discard, r)
	if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
		t.Errorf("no end of %q", text)
	}
	return status, body
}

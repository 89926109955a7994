// Package smuggle has requests that two servers in a row may read differently, for the tests of what stands before others,
// and a back end that reads in one way alone and counts what arrives.
package smuggle

import (
	"fmt"
	"strconv"
	"strings"
)

// A Case is what a client sends on one connection. {line} stands for the target and the version of its first request,
// {fields} for the fields that every request of the client has, with their line ends.
type Case struct {
	Name, Text string

	// Most is how many requests may arrive at the back end, at the most: each that the client has begun itself.
	Most int
}

// admin is who a client would like to be.
const admin = "admin@NEGO.TEST"

// hidden is what no front may take for a request of its own where it stands in a body, nor a back end.
const hidden = "GET /hidden HTTP/1.1\r\nHost: localhost\r\nX-Remote-User: " + admin + "\r\n\r\n"

// Cases returns them.
func Cases() []Case {
	post := func(fields, body string) string { return "POST {line}\r\n{fields}" + fields + "\r\n" + body }
	chunked := func(body string) string { return post("Transfer-Encoding: chunked\r\n", body) }
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
	long := strings.Repeat(hidden, 300<<10/len(hidden)) // more than net/http reads of a body that a handler has left
	cases := []Case{
		{"length and coding", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden), 1},
		{"coding and length", post("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\n"+hidden), 1},
		{"a length of the first chunk's size and a coding", post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", chunk), 1},
		{"a coding of HTTP/1.0", "POST {line10}\r\n{fields}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk, 1},
		{"a coding with an underscore and a length", post("Content-Length: 6\r\nTransfer_Encoding: chunked\r\n", "0\r\n\r\nX"), 1},
		{"a length with an underscore and a coding", post("Content_Length: 6\r\nTransfer-Encoding: chunked\r\n", chunk), 1},
		{"a coding in capitals behind a tab", post("Content-Length: 4\r\nTRANSFER-ENCODING:\tCHUNKED\r\n", chunk), 1},
		{"a coding behind a line feed", post("Content-Length: 6\r\nX-A: b\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden), 1},
		{"a coding behind a carriage return", post("Content-Length: 6\r\nX-A: b\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden), 1},
		{"a coding behind a carriage return too many", post("Content-Length: 6\r\nX-A: b\r\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden), 1},
		{"a folded word of a coding", post("Content-Length: 6\r\nTransfer-Encoding: chun\r\n ked\r\n", "0\r\n\r\n"+hidden), 1},
		{"a space behind the coding's name", post("Content-Length: 6\r\nTransfer-Encoding : chunked\r\n", "0\r\n\r\n"+hidden), 1},
		{"a tab before the colon", post("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"+hidden), 0},
		{"a NUL in a coding", post("Content-Length: 6\r\nTransfer-Encoding: chunked\x00\r\n", "0\r\n\r\n"+hidden), 0},
		{"a carriage return behind a length", post("Content-Length: 5\r\r\n", "hello"), 1},
		{"a host twice", post("Host: other.example\r\nContent-Length: 0\r\n", ""), 1},
		{"line ends before the request", "\r\n\r\n" + post("Content-Length: 5\r\n", "hello"), 1},
		{"line ends behind the body", post("Content-Length: 5\r\n", "hello\r\n\r\n"+hidden), 1},
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
		{"chunks with a GET", "GET {line}\r\n{fields}Transfer-Encoding: chunked\r\n\r\n" + chunk, 1},
		{"a body with a HEAD", "HEAD {line}\r\n{fields}Content-Length: " + strconv.Itoa(len(hidden)) + "\r\n\r\n" + hidden, 1},
		{"an announced body that comes at once", post("Expect: 100-continue\r\nContent-Length: "+strconv.Itoa(len(hidden))+"\r\n", hidden), 1},
		{"something else expected", post("Expect: 200-maybe\r\nContent-Length: 5\r\n", "hello"), 1},
		{"a length that Connection names", post("Connection: Content-Length\r\nContent-Length: "+strconv.Itoa(len(hidden))+"\r\n", hidden), 1},
		{"a coding that Connection names", post("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", chunk), 1},
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
		{"a trailer of a user", post("Trailer: X-Remote-User\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nX-Remote-User: "+admin+"\r\n\r\n"), 1},
		{"a long body", post("Content-Length: "+strconv.Itoa(len(long))+"\r\n", long), 1},
		{"long chunks", chunked(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(long), long)), 1},
		{"a body that is shorter than its length", post("Content-Length: "+strconv.Itoa(2*len(hidden))+"\r\n", hidden), 1},
		{"a body of a stranger", fmt.Sprintf("POST {line}\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(hidden), hidden), 1},
		{"chunks of a stranger", "POST {line}\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk, 1},
		{"a long body of a stranger", fmt.Sprintf("POST {line}\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(long), long), 1},
		{"more behind the body", post("Content-Length: 5\r\n", "hello"+hidden), 1},
	}
	for _, field := range []string{"X-Remote-User:", "X_Remote_User:", "x.remote_user:", "X-REMOTE-USER :", "X-Remote-User\t:", "X-A: b\r\n X-Remote-User:",
		"X-A: b\nX-Remote-User:", "X-A: b\rX-Remote-User:", "Connection: X-Remote-User\r\nX-Remote-User:", "X-Remote-User-Realm:", "X_Remote_User_Local:",
		"X-Remote-User: b\r\n\t", "\x0bX-Remote-User:"} {
		cases = append(cases, Case{fmt.Sprintf("a user as %q", field), "GET {line}\r\n{fields}" + field + " " + admin + "\r\n\r\n", 1})
	}
	for _, v := range []string{"5, 5", "+5", "-5", "0x5", "5_0", "5 0", "\v5", "18446744073709551621", "five", ""} {
		cases = append(cases, Case{fmt.Sprintf("a length of %q", v), post("Content-Length: "+v+"\r\n", "hello"), 0})
	}
	for _, v := range []string{"xchunked", "chunked, identity", "identity, chunked", "gzip, chunked", "chunked, chunked", "chunked,", ", chunked", "chunked;q=1", `"chunked"`, "\vchunked",
		"chunked\v", "identity", "chunked\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding: identity"} {
		cases = append(cases, Case{fmt.Sprintf("a coding of %q", v), post("Transfer-Encoding: "+v+"\r\n", "0\r\n\r\n"+hidden), 0},
			Case{fmt.Sprintf("a coding of %q and a length", v), post("Content-Length: 6\r\nTransfer-Encoding: "+v+"\r\n", "0\r\n\r\n"+hidden), 0})
	}
	for name, body := range map[string]string{
		"an extension":                      "5;a=b\r\nhello\r\n0\r\n\r\n",
		"an extension in quotes":            "5;a=\"b\r\n\"\r\nhello\r\n0\r\n\r\n",
		"a carriage return in an extension": "5;a\rb\r\nhello\r\n0\r\n\r\n" + hidden,
		"a carriage return for a line end":  "5\rhello\r\n0\r\n\r\n" + hidden,
		"two carriage returns":              "5\r\r\nhello\r\n0\r\n\r\n" + hidden,
		"a line end of something else":      "5\r\nhelloXX0\r\n\r\n" + hidden,
		"a size below zero by 32 bits":      "80000005\r\nhello\r\n0\r\n\r\n" + hidden,
		"a size that is 5 in 32 bits":       "100000005\r\nhello\r\n0\r\n\r\n" + hidden,
		"an empty size":                     "\r\nhello\r\n0\r\n\r\n" + hidden,
		"a line feed in an extension":       "5;a\nhello\r\n0\r\n\r\n" + hidden,
		"line feeds alone":                  "5\nhello\n0\n\n",
		"spaces behind a size":              "5  \r\nhello\r\n0\r\n\r\n",
		"a sign":                            "+5\r\nhello\r\n0\r\n\r\n",
		"another base":                      "0x5\r\nhello\r\n0\r\n\r\n",
		"an underscore":                     "0_5\r\nhello\r\n0\r\n\r\n",
		"a negative size":                   "-5\r\nhello\r\n0\r\n\r\n",
		"a size of more than 64 bits":       "10000000000000005\r\nhello\r\n0\r\n\r\n",
		"the largest size":                  "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
		"many zeros":                        strings.Repeat("0", 100) + "5\r\nhello\r\n0\r\n\r\n",
		"no line end behind a chunk":        "5\r\nhello0\r\n\r\n" + hidden,
		"more in a chunk than its size":     "5\r\nhelloworld\r\n0\r\n\r\n" + hidden,
		"a length behind them":              "5\r\nhello\r\n0\r\nContent-Length: 40\r\n\r\n" + hidden,
		"a coding behind them":              "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n" + hidden,
		"a user behind them":                "5\r\nhello\r\n0\r\nX-Remote-User: " + admin + "\r\n\r\n",
		"a fold behind them":                "5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n",
		"no end":                            "5\r\nhello\r\n",
	} {
		cases = append(cases, Case{"chunks: " + name, chunked(body), 1})
	}
	return cases
}

// Format returns what is sent, for a target and the fields of the client, each with its line end.
func (c *Case) Format(target, fields string) string {
	return strings.NewReplacer("{line}", target+" HTTP/1.1", "{line10}", target+" HTTP/1.0", "{target}", target, "{fields}", fields).Replace(c.Text)
}

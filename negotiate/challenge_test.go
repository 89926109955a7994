package negotiate

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
)

// challenges are what servers and proxies send, or get wrong.
var challenges = []struct {
	name  string
	lines []string
	token string
	found bool
	bad   bool
}{
	{name: "none"},
	{name: "empty line", lines: []string{""}},
	{name: "bare", lines: []string{"Negotiate"}, found: true},
	{name: "lower case", lines: []string{"negotiate"}, found: true},
	{name: "odd case and token", lines: []string{"nEGOTIATE U1JW"}, token: "SRV", found: true},
	{name: "IIS", lines: []string{"Negotiate", "NTLM"}, found: true},
	{name: "Basic first, two lines", lines: []string{`Basic realm="x"`, "Negotiate"}, found: true},
	{name: "one line", lines: []string{`Basic realm="x", Negotiate`}, found: true},
	{name: "one line, Negotiate first", lines: []string{`Negotiate, Basic realm="x", charset="UTF-8"`}, found: true},
	{name: "Elasticsearch", lines: []string{`Basic realm="security" charset="UTF-8"`, "Negotiate", `Bearer realm="security"`, "ApiKey"}, found: true},
	{name: "Kerberos and NTLM only", lines: []string{"Kerberos, NTLM TlRMTVNTUAACAAAA"}},
	{name: "NTLM token beside", lines: []string{"NTLM TlRMTVNTUAACAAAA==, Negotiate U1JW"}, token: "SRV", found: true},
	{name: "quoted Negotiate", lines: []string{`Basic realm="Negotiate this"`}},
	{name: "quoted Negotiate, then a real one", lines: []string{`Basic realm="Negotiate this", Negotiate U1JW`}, token: "SRV", found: true},
	{name: "quoted comma", lines: []string{`Basic realm="a, Negotiate QUFB", Negotiate U1JW`}, token: "SRV", found: true},
	{name: "quoted quote", lines: []string{`Basic realm="a\", Negotiate QUFB, \"", Negotiate U1JW`}, token: "SRV", found: true},
	{name: "open quote", lines: []string{`Basic realm="a, Negotiate QUFB`, "Negotiate U1JW"}, token: "SRV", found: true},
	{name: "parameters of Digest", lines: []string{`Digest realm="d", qop="auth, auth-int", nonce=abc, algorithm=MD5, Negotiate`}, found: true},
	{name: "parameter with that name", lines: []string{`Digest realm="d", Negotiate=U1JW`}},
	{name: "parameter with that name and blanks", lines: []string{`Digest realm="d", Negotiate = U1JW`}},
	{name: "empty elements", lines: []string{" , ,\t, Negotiate ,"}, found: true},
	{name: "tabs", lines: []string{"Basic realm=x\t,\tNegotiate\tU1JW\t"}, token: "SRV", found: true},
	{name: "many blanks", lines: []string{"Negotiate    U1JW"}, token: "SRV", found: true},
	{name: "padding", lines: []string{"Negotiate QQ=="}, token: "A", found: true},
	{name: "no padding", lines: []string{"Negotiate QQ"}, token: "A", found: true},
	{name: "too much padding", lines: []string{"Negotiate QQ==="}, token: "A", found: true},
	{name: "prefix", lines: []string{"XNegotiate U1JW"}},
	{name: "no blank", lines: []string{"NegotiateU1JW"}},
	{name: "blank in the token", lines: []string{"Negotiate U1 JW"}, bad: true},
	{name: "not base64", lines: []string{"Negotiate @@@@"}, bad: true},
	{name: "base64url", lines: []string{"Negotiate -_-_"}, bad: true},
	{name: "only padding", lines: []string{"Negotiate ===="}, bad: true},
	{name: "impossible length", lines: []string{"Negotiate AAAAA"}, bad: true},
	{name: "line end in the token", lines: []string{"Negotiate U1\r\nJW"}, bad: true},
	{name: "first usable", lines: []string{"Negotiate @@@@, Negotiate U1JW, Negotiate QUFB"}, token: "SRV", found: true},
	{name: "usable on another line", lines: []string{"Negotiate @@@@", "Negotiate"}, found: true},
	{name: "parameters", lines: []string{`Negotiate realm="x"`}, found: true},
	{name: "parameters, then others", lines: []string{`Negotiate realm=x, charset="UTF-8", Basic realm="y"`}, found: true},
	{name: "not a scheme", lines: []string{"@@@, Negotiate"}, found: true},
	{name: "error token", lines: []string{"Negotiate oQcwBaADCgEC"}, token: "\xa1\x070\x05\xa0\x03\n\x01\x02", found: true},
}

func TestPoint2FindChallenge(t *testing.T) {
	for _, c := range challenges {
		t.Run(c.name, func(t *testing.T) {
			token, found, err := findChallenge(c.lines)
			if string(token) != c.token || found != c.found || errors.Is(err, ErrChallenge) != c.bad {
				t.Errorf("findChallenge(%q) = %q, %v, %v", c.lines, token, found, err)
			}
		})
	}
}

func TestPoint2DoesNotAllocate(t *testing.T) {
	for _, lines := range [][]string{{"Negotiate"}, {`Basic realm="x", charset="UTF-8"`, "NTLM, Negotiate"}, {`Bearer realm="x"`}} {
		if n := testing.AllocsPerRun(100, func() { findChallenge(lines) }); n != 0 {
			t.Errorf("%q: %v allocations", lines, n)
		}
	}
}

func FuzzChallenge(f *testing.F) {
	for _, c := range challenges {
		f.Add(strings.Join(c.lines, "\n"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		token, found, err := findChallenge(lines)
		if found && err != nil || !found && token != nil {
			t.Fatalf("%q, %v, %v", token, found, err)
		}
		if found && len(token) > 0 {
			again, _, err := findChallenge([]string{fieldValue(token)})
			if err != nil || !bytes.Equal(again, token) {
				t.Fatalf("%q came back as %q, %v", token, again, err)
			}
		}
		// Whatever comes before on lines of its own, a good challenge is found, unless there was one already.
		if _, now, _ := findChallenge(append(lines, "Negotiate")); !now {
			t.Fatal("a challenge was hidden by the lines before it")
		}
		// Whatever stands in a quoted string, it is neither a challenge nor hides one.
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
		token, _, err = findChallenge([]string{`Basic realm="` + quoted + `", Negotiate U1JW`})
		if err != nil || string(token) != "SRV" {
			t.Fatalf("behind a quoted string: %q, %v", token, err)
		}
	})
}

func TestRequestToken(t *testing.T) {
	for _, c := range []struct {
		values []string
		token  string
		err    error
	}{
		{nil, "", ErrNoToken},
		{[]string{""}, "", ErrNoToken},
		{[]string{"Basic dTpw"}, "", ErrNoToken},
		{[]string{"NegotiateU1JW"}, "", ErrNoToken},
		{[]string{"Negotiate U1JW"}, "SRV", nil},
		{[]string{" NEGOTIATE  U1JW "}, "SRV", nil},
		{[]string{"negotiate QQ"}, "A", nil},
		{[]string{"negotiate QQ=="}, "A", nil},
		{[]string{"Negotiate"}, "", ErrChallenge},
		{[]string{"Negotiate "}, "", ErrChallenge},
		{[]string{"Negotiate =="}, "", ErrChallenge},
		{[]string{"Negotiate U1 JW"}, "", ErrChallenge},
		{[]string{"Negotiate U1JW, Basic dTpw"}, "", ErrChallenge},
		{[]string{`Negotiate realm="x"`}, "", ErrChallenge},
		{[]string{"Negotiate U1JW", "Basic dTpw"}, "", ErrChallenge},
		{[]string{"Basic dTpw", "Negotiate U1JW"}, "", ErrChallenge},
	} {
		token, err := requestToken(http.Header{"Authorization": c.values})
		if string(token) != c.token || err != c.err {
			t.Errorf("requestToken(%q) = %q, %v", c.values, token, err)
		}
	}
}

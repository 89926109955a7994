package negotiate

import (
	"encoding/base64"
	"net/http"
	"strings"
)

const (
	scheme      = "Negotiate"
	askHeader   = "Www-Authenticate"
	replyHeader = "Authorization"
)

// findChallenge looks for the first usable Negotiate challenge in the values of WWW-Authenticate, which
// are lists of challenges (RFC 9110 section 11.6.1). The token of a bare challenge is nil. Where there are
// none but malformed ones, the error is ErrChallenge.
//
// One line may hold several challenges, and commas separate challenges as well as the parameters of one, so
// a line is read element by element: an element with an equals sign behind its first word goes on with the
// parameters of the challenge before, every other one begins a challenge.
func findChallenge(lines []string) (token []byte, found bool, err error) {
	for _, line := range lines {
		for line != "" {
			var element string
			element, line = cutElement(line)
			name, data, ok := cutScheme(element)
			if !ok || !strings.EqualFold(name, scheme) {
				continue
			}
			// Parameters, which Negotiate does not have, are ignored as those of every scheme are.
			if data == "" || isParameter(data) {
				return nil, true, nil
			}
			if token, err := decodeToken(data); err == nil {
				return token, true, nil
			}
			err = ErrChallenge
		}
	}
	return nil, false, err
}

// maxToken is more than any client sends: Windows, whose tickets list the groups of the user, ends at 65535 bytes
// (MaxTokenSize), and most servers at less.
const maxToken = 1 << 16

// requestToken returns the token of a request to a server. A request has one way to authenticate
// (RFC 9110 section 11.6.2): of two, the two ends of a proxy might believe one each.
func requestToken(h http.Header) ([]byte, error) {
	values := h[replyHeader]
	if len(values) == 0 {
		return nil, ErrNoToken
	}
	if len(values) > 1 {
		return nil, ErrChallenge
	}
	name, data, ok := cutScheme(strings.Trim(values[0], " \t"))
	if !ok || !strings.EqualFold(name, scheme) {
		return nil, ErrNoToken
	}
	if base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(data, "="))) > maxToken {
		return nil, errTooLong
	}
	return decodeToken(data)
}

// fieldValue is what carries a token in either direction.
func fieldValue(token []byte) string {
	var b strings.Builder
	var part [1024]byte // on the stack, so that there is one string and no copy of it
	b.Grow(len(scheme) + 1 + base64.StdEncoding.EncodedLen(len(token)))
	b.WriteString(scheme)
	b.WriteByte(' ')
	for len(token) > 0 {
		n := min(len(token), len(part)/4*3)
		b.Write(base64.StdEncoding.AppendEncode(part[:0], token[:n]))
		token = token[n:]
	}
	return b.String()
}

// cutElement cuts the first element off a comma-separated list. Commas in quoted strings do not count.
func cutElement(list string) (element, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == ',' && !quoted:
			return strings.Trim(list[:i], " \t"), list[i+1:]
		}
	}
	return strings.Trim(list, " \t"), ""
}

// cutScheme splits what begins a challenge into scheme and data. It is not ok for everything else, such
// as a parameter, also one that is written as name, blanks, equals sign.
func cutScheme(element string) (name, data string, ok bool) {
	name, data = cutName(element)
	if name == "" || data != "" && data[0] != ' ' && data[0] != '\t' {
		return "", "", false
	}
	data = strings.Trim(data, " \t")
	return name, data, data == "" || data[0] != '=' || !isParameter(element)
}

// isParameter reports whether s begins with a name, an equals sign and a value: an auth-param.
func isParameter(s string) bool {
	name, rest := cutName(s)
	rest = strings.TrimLeft(rest, " \t")
	if name == "" || rest == "" || rest[0] != '=' {
		return false
	}
	rest = strings.TrimLeft(rest[1:], " \t")
	return rest != "" && (rest[0] == '"' || isNameByte(rest[0]))
}

// cutName cuts a token in the sense of RFC 9110 section 5.6.2 off s.
func cutName(s string) (name, rest string) {
	i := 0
	for i < len(s) && isNameByte(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// decodeToken decodes base64 in the shape of a token68 (RFC 9110 section 11.2). Some peers leave out the
// padding, so it is not looked at.
func decodeToken(s string) ([]byte, error) {
	s = strings.TrimRight(s, "=")
	// Package base64 would skip line ends.
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return nil, ErrChallenge
	}
	token, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return nil, ErrChallenge
	}
	return token, nil
}

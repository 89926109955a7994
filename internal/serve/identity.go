package serve

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/nego-sso/nego/negotiate"
)

// What is added to UserHeader.
const (
	realmSuffix = "-Realm"
	localSuffix = "-Local"
)

// CheckUserHeader reports what is wrong with a name for UserHeader. It is one that everybody reads alike, and that means
// nothing else.
func CheckUserHeader(name string) error {
	for i := range len(name) {
		if c := name[i]; !isAlnum(c) && c != '-' {
			return fmt.Errorf("%q is not of a header's letters, digits and dashes", c)
		}
	}
	switch folded := fold(name); {
	case name == "":
		return errors.New("it is empty")
	case !strings.HasPrefix(folded, "x-") && folded != "remote-user":
		return errors.New("it is a name that begins with X-, or Remote-User: others mean something already")
	case strings.HasPrefix(folded, "x-forwarded-") && folded != "x-forwarded-user":
		return errors.New("it means something already")
	}
	return nil
}

// tell says who the user is.
func (s *Server) tell(h http.Header, id *negotiate.Identity) {
	user := id.Initiator.String()
	h.Set(s.UserHeader, fieldText(user))
	if _, realm, ok := splitPrincipal(user); ok {
		h.Set(s.UserHeader+realmSuffix, fieldText(realm))
	}
	if id.LocalName != "" {
		h.Set(s.UserHeader+localSuffix, fieldText(id.LocalName))
	}
}

// purge takes off what a client could use to pass for another, or for coming from elsewhere.
func (s *Server) purge(h http.Header) {
	user := fold(s.UserHeader)
	for name := range h {
		switch f := fold(name); {
		case f == user, strings.HasPrefix(f, user+"-"),
			strings.HasPrefix(f, "x-forwarded-"), // some tell users, too
			slices.Contains([]string{"authorization", "forwarded", "x-real-ip"}, f):
			delete(h, name)
		}
	}
}

// fold is what is left of a field's name where it becomes a variable: CGI and its kin have one for X-Remote-User,
// X_Remote_User and X.Remote.User.
func fold(name string) string {
	b := []byte(strings.ToLower(name))
	for i, c := range b {
		if !isAlnum(c) {
			b[i] = '-'
		}
	}
	return string(b)
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// fieldText percent-encodes what a header field has no safe way to hold: control characters, what is not ASCII, and
// spaces, which get lost at its ends. As the percent sign is encoded too, two names are never one.
func fieldText(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

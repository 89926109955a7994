package serve

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Rule says who is let in.
type Rule struct {
	principal string
	realm     string
	pattern   *regexp.Regexp
}

// ParseRule reads one of three. alice@REALM is that principal, as klist shows it. @REALM is everybody of a realm. And /…/
// is a regular expression that has to match the whole of a principal, with its realm. No principal is written like one of
// the other two, as it has a name and a realm.
func ParseRule(s string) (Rule, error) {
	if len(s) > 1 && s[0] == '/' && s[len(s)-1] == '/' {
		re, err := regexp.Compile(s[1 : len(s)-1])
		if err != nil {
			return Rule{}, err
		}
		if s == "//" {
			return Rule{}, errors.New("the expression is empty")
		}
		re.Longest() // or the first of several alternatives would hide one that matches more
		return Rule{pattern: re}, nil
	}
	name, realm, ok := splitPrincipal(s)
	switch {
	case strings.HasPrefix(s, "/"):
		return Rule{}, errors.New("a regular expression ends with / too")
	case !ok || realm == "":
		return Rule{}, errors.New("it is alice@REALM, @REALM or /regular expression/")
	case name == "":
		return Rule{realm: realm}, nil
	}
	return Rule{principal: s}, nil
}

// admits reports whether one of the rules, if there are any, is met.
func admits(rules []Rule, principal string) bool {
	for _, r := range rules {
		if r.match(principal) {
			return true
		}
	}
	return len(rules) == 0
}

func (r Rule) match(principal string) bool {
	switch {
	case r.pattern != nil:
		at := r.pattern.FindStringIndex(principal)
		return at != nil && at[0] == 0 && at[1] == len(principal)
	case r.realm != "":
		name, realm, ok := splitPrincipal(principal)
		return ok && name != "" && realm == r.realm
	}
	return r.principal != "" && principal == r.principal
}

// String is the rule as it was written.
func (r Rule) String() string {
	switch {
	case r.pattern != nil:
		return fmt.Sprintf("/%s/", r.pattern)
	case r.realm != "":
		return "@" + r.realm
	}
	return r.principal
}

// splitPrincipal parts a principal from its realm. An @ that belongs to a name has a backslash before it, as
// krb5_unparse_name writes it, so that a name cannot pass for one with another realm.
func splitPrincipal(s string) (name, realm string, ok bool) {
	at := -1
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '@':
			if at >= 0 {
				return "", "", false
			}
			at = i
		}
	}
	if at < 0 {
		return "", "", false
	}
	return s[:at], s[at+1:], true
}

package serve

import (
	"net/http"
	"strings"
	"testing"
)

func TestRules(t *testing.T) {
	for _, v := range []struct {
		rule string
		yes  string // separated by spaces
		no   string
	}{
		{`alice@A.TEST`, `alice@A.TEST`, `alice@B.TEST Alice@A.TEST alice@A.TEST.B xalice@A.TEST alice/admin@A.TEST alice alice@a.test`},
		{`alice/admin@A.TEST`, `alice/admin@A.TEST`, `alice@A.TEST alice\/admin@A.TEST`},
		{`al\@ice@A.TEST`, `al\@ice@A.TEST`, `al@ice@A.TEST alice@A.TEST`},
		{`a,b@A.TEST`, `a,b@A.TEST`, `a@A.TEST b@A.TEST`},
		{`@A.TEST`, `alice@A.TEST host/x@A.TEST a\@B.TEST@A.TEST`,
			`alice@B.TEST alice@B\@A.TEST alice\@A.TEST alice\@A.TEST@B.TEST alice@X@A.TEST @A.TEST alice alice@a.test alice@SUB.A.TEST alice@A.TEST.`},
		{`/alice@A\.TEST/`, `alice@A.TEST`, `alice@AxTEST xalice@A.TEST alice@A.TESTx`},
		{`/alice@A|bob@B/`, `alice@A bob@B`, `alice@AB bob@Bx xalice@A alice@A|bob@B`},
		{`/a|ab@A/`, `ab@A a`, `ab@AA`},
		{`/(?i)alice@A/`, `ALICE@a`, `alice@AA`},
		{`/a.*@A/`, `alice@A a@B@A`, `balice@A`},
		{`/\Qa.b@A/`, `a.b@A`, `axb@A`},
		{`/a@A$/`, `a@A`, "a@A\n"},
		{`/(?m)^a@A$/`, `a@A`, "a@A\nb b\na@A"},
	} {
		r := mustRule(t, v.rule)
		if r.String() != v.rule {
			t.Errorf("%s is shown as %s", v.rule, r)
		}
		for _, who := range strings.Split(v.yes, " ") {
			if !admits([]Rule{mustRule(t, "@OTHER"), r}, who) {
				t.Errorf("%s does not admit %q", v.rule, who)
			}
		}
		for _, who := range append(strings.Split(v.no, " "), "") {
			if admits([]Rule{r}, who) {
				t.Errorf("%s admits %q", v.rule, who)
			}
		}
	}
	for _, s := range []string{"", "@", "alice", "alice@", "a@b@C", `a\@B`, "/", "//", "/alice@A", "/(/", "/a)|(b/", `/a\/`} {
		if r, err := ParseRule(s); err == nil {
			t.Errorf("%q is the rule %+v", s, r)
		}
	}
	if !admits(nil, "anybody@ANYWHERE") || admits([]Rule{{}}, "") {
		t.Error("no rule, or one that says nothing")
	}
}

// Who is known and not on the list gets 403, once, and is in the log.
func TestRequire(t *testing.T) {
	s := start(t, &Server{Require: []Rule{mustRule(t, "alice@NEGO.TEST"), mustRule(t, "@OTHER.TEST")}})
	if resp, body := get(t, s.url+"/a?secret=1"); resp.StatusCode != http.StatusForbidden || resp.Header.Get("X-Remote-User") != "" || strings.Contains(body, "alice") {
		t.Errorf("%s %v %s", resp.Status, resp.Header, body)
	}
	if lines := s.lines(); len(lines) != 2 || !strings.Contains(lines[0], ` - - [`) || !strings.Contains(lines[0], `] "GET /a HTTP/1.1" 401 `) ||
		!strings.HasPrefix(lines[1], `127.0.0.1 - `+realUser+` [`) || !strings.Contains(lines[1], `] "GET /a HTTP/1.1" 403 `) {
		t.Errorf("%q", lines)
	}
	for _, rule := range []string{realUser, "@NEGO.TEST", "/us.*/"} {
		s := start(t, &Server{Require: []Rule{mustRule(t, "alice@NEGO.TEST"), mustRule(t, rule)}})
		if resp, _ := get(t, s.url); resp.StatusCode != http.StatusOK || resp.Header.Get("X-Remote-User") != realUser {
			t.Errorf("%s: %s", rule, resp.Status)
		}
	}
}

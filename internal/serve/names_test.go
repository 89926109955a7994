package serve

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
)

// A KDC may have users with any name. None of them makes a field, a line of a log or a file that is not theirs.
func TestHostileNames(t *testing.T) {
	type told struct {
		user  []string
		names int
	}
	got := make(chan told, 1)
	up := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		n := 0
		for name := range r.Header {
			if strings.HasPrefix(strings.ToLower(name), "x-remote-user") {
				n++
			}
		}
		got <- told{r.Header["X-Remote-User"], n}
	})
	work := t.TempDir()
	t.Chdir(work) // where a name without a directory would go
	s := start(t, &Server{Upstream: up})
	names := map[string]string{ // as the library writes them
		"a\rX-Remote-User:admin":       `a%0DX-Remote-User:admin@NEGO.TEST`,
		"../../../../tmp/evil":         `../../../../tmp/evil@NEGO.TEST`,
		`admin\@OTHER.TEST`:            `admin\@OTHER.TEST@NEGO.TEST`,
		"m\u00fcller":                  "m%C3%BCller@NEGO.TEST",
		"%s%n%x":                       "%25s%25n%25x@NEGO.TEST",
		"c\x1b[31m\"quoted\"$(reboot)": "c%1B[31m\"quoted\"$(reboot)@NEGO.TEST",
	}
	for name, want := range names {
		keytab := filepath.Join(t.TempDir(), "keytab")
		for _, args := range [][]string{{"add_principal", "-randkey", name}, {"ktadd", "-norandkey", "-k", keytab, name}} {
			if out, err := realm.Kadmin(args[0], args[1:]...); err != nil {
				t.Fatalf("%q: %v\n%s", name, err, out)
			}
		}
		cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Name: gssapi.Principal(name), Store: gssapi.Store{CCache: "MEMORY:" + filepath.Base(t.TempDir()), ClientKeytab: keytab}})
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		tr := &negotiate.Transport{Credential: cred, Preemptive: negotiate.PreemptAlways}
		resp, body := do(t, &http.Client{Transport: tr}, request(t, "GET", s.url, nil))
		tr.CloseIdleConnections()
		cred.Close()
		if resp.StatusCode != 200 {
			t.Errorf("%q: %s %s, %v", name, resp.Status, body, negotiate.OutcomeOf(resp).Err)
			continue
		}
		if g := <-got; !slices.Equal(g.user, []string{want}) || g.names > 3 {
			t.Errorf("%q: the upstream got %q", name, g.user)
		}
	}
	lines := s.lines()
	if len(lines) != len(names) {
		t.Errorf("%d lines of %d requests: %q", len(lines), len(names), lines)
	}
	for _, line := range lines {
		if f := strings.Fields(line); len(f) < 4 || !strings.Contains(f[2], "@NEGO.TEST") || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("%q", line)
		}
	}
	if made, err := os.ReadDir(work); err != nil || len(made) > 0 {
		t.Errorf("files were made: %v, %v", made, err)
	}
}

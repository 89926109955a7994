//go:build interop

package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/nego-sso/nego/internal/peers"
	"github.com/nego-sso/nego/krbtest"
)

// A server that takes NTLM alone is no success: the check says what it fell back to, and why Kerberos does not work.
func TestInteropCheckNTLM(t *testing.T) {
	realm := krbtest.Start(t, nil)
	env := append(append(os.Environ(), realm.Env()...), peers.NTLM(t, t.TempDir(), "DOM:alice:secret")...)
	env = append(env, "no_proxy=*")
	url := startProtect(t, env, "-ntlm")
	for what, v := range map[string]struct{ ccache, kerberos, hint string }{
		"without a ticket": {"FILE:/nonexistent/ccache", "not tried, as there is no ticket of yours: see cache", ""},
		"with one":         {realm.CCache, `localhost:\d+ answered 401 Unauthorized: it does not accept the token for HTTP@localhost`, "the server's log says why"},
	} {
		t.Run(what, func(t *testing.T) {
			check := exec.Command("nego", "check", url+"/page")
			check.Env = append(env, "KRB5CCNAME="+v.ccache)
			got, _ := check.Output() // whose exit status is that of the cache
			want := `(?m)^warning  sign-on    localhost:\d+ answers 200 OK, by NTLM and not Kerberos; Kerberos: ` + v.kerberos +
				`$\n +hint: SPNEGO falls back to NTLM where Kerberos does not work, `
			if !regexp.MustCompile(want).Match(got) || !strings.Contains(string(got), v.hint) {
				t.Errorf("got\n%s\nwant %s", got, want)
			}
		})
	}
}

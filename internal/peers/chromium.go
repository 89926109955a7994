//go:build interop

package peers

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// ChromiumPage is the page that a server gives Chromium for its first GET. It makes two requests more, a GET and a POST
// of the body, and shows the answers.
func ChromiumPage(answer, body string) string {
	text, _ := json.Marshal(body) // a text always has JSON, and it escapes what HTML would take for its own
	return fmt.Sprintf(`<!DOCTYPE html><link rel="icon" href="data:,"><pre>200 %s</pre><script>
for (const body of [null, %s]) {
	const r = new XMLHttpRequest(), pre = document.createElement("pre");
	r.open(body === null ? "GET" : "POST", "again", false);
	r.send(body);
	pre.textContent = r.status + " " + r.responseText;
	document.body.append(pre);
}
</script>`, html.EscapeString(answer), text)
}

var shown = regexp.MustCompile(`<pre>(\d+) (.*?)</pre>`)

// A Profile is where Chromium keeps what it knows between runs.
type Profile struct{ dir string }

// NewProfile makes a profile in which no server has ever asked for Negotiate: there Chromium does not answer the first
// challenge, and takes down that it is to load GSSAPI for the next ones.
func NewProfile(tb testing.TB) Profile { return Profile{tb.TempDir()} }

// UsedProfile makes a profile in which a server has asked for Negotiate.
func UsedProfile(tb testing.TB) Profile {
	p := NewProfile(tb)
	state := []byte(`{"net":{"received_http_auth_negotiate_headers":true}}`)
	if err := os.WriteFile(filepath.Join(p.dir, "Local State"), state, 0o600); err != nil {
		tb.Fatal(err)
	}
	return p
}

// Chromium has a browser without a window load a page, [ChromiumPage], and returns the answers that it shows, and all
// that it printed. It believes in the certificate, which may be nil, and knows no host but localhost. Which servers it
// logs in at is to be in the options, as --auth-server-allowlist.
func Chromium(tb testing.TB, env []string, p Profile, url string, cert *x509.Certificate, options ...string) (answers []Answer, printed string) {
	tb.Helper()
	need(tb, "chromium", "/usr/bin/chromium")
	args := []string{"/usr/bin/chromium", "--headless=new", "--dump-dom", "--user-data-dir=" + p.dir,
		"--no-sandbox", // which needs user namespaces, and somebody who is not root
		"--disable-gpu", "--disable-dev-shm-usage",
		"--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-default-apps", "--disable-extensions", "--disable-domain-reliability", "--no-pings",
	}
	if cert != nil {
		sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
		args = append(args, "--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(sum[:]))
	}
	args = append(append(args, options...), url)
	stdout, stderr, err := output(tb, append(env[:len(env):len(env)], "HOME="+p.dir), args...)
	if err != nil {
		tb.Fatalf("peers: chromium: %v\n%s%s", err, stdout, stderr)
	}
	for _, m := range shown.FindAllStringSubmatch(stdout, -1) {
		status, err := strconv.Atoi(m[1])
		if err != nil {
			tb.Fatalf("peers: chromium: %v in\n%s", err, stdout)
		}
		answers = append(answers, Answer{status, html.UnescapeString(m[2])})
	}
	return answers, stdout + stderr
}

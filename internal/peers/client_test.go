//go:build interop

package peers

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/nego-sso/nego/krbtest"
)

// Each client makes its three requests, over http and https, and those of a client without a ticket fail.
func TestInteropClients(t *testing.T) {
	realm := krbtest.Start(t, nil)
	cert, ca := Certificate(t)
	const body = "a <b> & c"
	sum := sha256.Sum256([]byte(body))
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		_, _ = io.Copy(hash, r.Body)
		answer := r.Header.Get("X-Remote-User") + " " + r.Method
		if r.Method == http.MethodPost {
			answer += " " + hex.EncodeToString(hash.Sum(nil))
		}
		if r.Header.Get("Sec-Fetch-Dest") == "document" {
			w.Header().Set("Content-Type", "text/html")
			answer = ChromiumPage(answer, body)
		}
		_, _ = io.WriteString(w, answer)
	})
	s := Apache(t, ApacheOptions{Env: realm.Env(), Certificate: cert, Config: Location("/krb5", AuthKrb5), Backend: backend})
	want := []Answer{{200, "user@NEGO.TEST GET"}, {200, "user@NEGO.TEST GET"}, {200, "user@NEGO.TEST POST " + hex.EncodeToString(sum[:])}}
	for name, run := range map[string]func(t *testing.T, env []string, url string) ([]Answer, string){
		"python": func(t *testing.T, env []string, url string) ([]Answer, string) {
			return Python(t, env, url, ca, body)
		},
		"java": func(t *testing.T, env []string, url string) ([]Answer, string) {
			return Java(t, env, url, ca, body)
		},
		"chromium": func(t *testing.T, env []string, url string) ([]Answer, string) {
			return Chromium(t, env, UsedProfile(t), url, cert.Leaf, "--auth-server-allowlist=localhost")
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, url := range []string{s.URL + "/krb5/", s.TLSURL + "/krb5/"} {
				if answers, printed := run(t, realm.Env(), url); !slices.Equal(answers, want) {
					t.Errorf("%s: %v, %s", url, answers, printed)
				}
			}
			answers, printed := run(t, append(realm.Env(), noTicket), s.URL+"/krb5/")
			for _, a := range answers {
				if a.Status != 401 || strings.Contains(a.Body, "user") {
					t.Errorf("without a ticket: %v, %s", answers, printed)
				}
			}
		})
	}
}

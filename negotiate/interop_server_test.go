//go:build interop

package negotiate

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// ntlmSite is a site that takes NTLM inside SPNEGO.
func ntlmSite(t *testing.T, a *Authenticator) *site {
	t.Helper()
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Usage: gssapi.Accept, Mechs: []gssapi.OID{gssapi.NTLMSSP, gssapi.KRB5}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cred.Close() })
	a.Credential = cred
	return keepUser(t, a, http.HandlerFunc(whoami))
}

// curl knows from Persistent-Auth whether a connection is its user's, and sends tokens as they are needed.
func TestInteropServerNTLM(t *testing.T) {
	if inNTLM(t) == nil {
		return
	}
	for bound, want := range map[bool]string{true: "token token none none", false: "token token token token token token"} {
		s := ntlmSite(t, &Authenticator{ConnectionBound: bound})
		out, err := exec.CommandContext(t.Context(), "curl", "-sS", "--negotiate", "-u", ":", "-w", " %{http_code}\n", s.URL, s.URL, s.URL).CombinedOutput()
		if want := strings.Repeat(alice+" 200\n", 3); err != nil || string(out) != want {
			t.Errorf("bound %v: %v, %q, want %q", bound, err, out, want)
		}
		var sent []string
		for _, r := range s.seen() {
			what := "none"
			if r.Header.Get("Authorization") != "" {
				what = "token"
			}
			sent = append(sent, what)
		}
		if got := strings.Join(sent, " "); got != want || s.opened.Load() != 1 {
			t.Errorf("bound %v: %s on %d connections, want %s", bound, got, s.opened.Load(), want)
		}
	}
}

// Of NTLM, nothing but both tokens in their order reaches the handler, and nobody without a name.
func TestInteropServerNTLMComplete(t *testing.T) {
	if inNTLM(t) == nil {
		return
	}
	one := []byte("NTLMSSP\x00\x01\x00\x00\x00\x97\x82\x08\xe2" + strings.Repeat("\x00", 16))
	three := func(flags string) []byte { // without any name or answer
		return []byte("NTLMSSP\x00\x03\x00\x00\x00" + strings.Repeat("\x00\x00\x00\x00\x40\x00\x00\x00", 6) + flags)
	}
	anonymous, null := three("\x15\x8a\x08\xa2"), three("\x15\x82\x08\xa2")
	inSPNEGO := func(token []byte) []byte { return negTokenInit(mechTypes(gssapi.NTLMSSP), token) }
	again := func(token []byte) []byte { return negTokenResp(nil, token, nil) }
	for _, bound := range []bool{false, true} {
		for name, tokens := range map[string][][]byte{
			"the second alone":    {anonymous},
			"in SPNEGO":           {inSPNEGO(anonymous)},
			"the first only":      {one, nil},
			"twice":               {one, one, nil},
			"in SPNEGO twice":     {inSPNEGO(one), inSPNEGO(one), nil},
			"no name":             {one, null, nil},
			"no name, in SPNEGO":  {inSPNEGO(one), again(null), nil},
			"anonymous":           {one, anonymous, nil},
			"anonymous in SPNEGO": {inSPNEGO(one), again(anonymous), nil},
			"noise":               {inSPNEGO(one), again([]byte("noise")), nil},
			"completed":           {inSPNEGO(one), negTokenResp([]byte{0}, nil, nil), nil},
		} {
			s := ntlmSite(t, &Authenticator{ConnectionBound: bound})
			c := &http.Client{Transport: &http.Transport{}}
			for i, token := range tokens {
				if resp, body := send(t, c, s.URL, token); resp.StatusCode != 401 {
					t.Errorf("%s, %d: %s, %q", name, i, resp.Status, body)
				}
			}
			c.CloseIdleConnections()
		}
	}
}

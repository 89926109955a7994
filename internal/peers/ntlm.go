//go:build interop

package peers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ntlmMech is how Debian tells GSSAPI about the plug-in. All programs read it, unless GSS_MECH_CONFIG names another
// file: then SPNEGO without a ticket succeeds with a token of NTLM.
const ntlmMech = "/etc/gss/mech.d/mech.ntlmssp.conf"

// NTLM turns on the NTLM of gss-ntlmssp for the programs that have the returned variables in their environment,
// after the realm's: the server, which finds the users' passwords there, and the client, whose default user is the
// first one. A user is DOMAIN:name:password. The files are in dir.
func NTLM(tb testing.TB, dir string, users ...string) []string {
	tb.Helper()
	need(tb, "gss-ntlmssp", ntlmMech)
	mech, err := os.ReadFile(ntlmMech)
	if err != nil {
		tb.Fatal(err)
	}
	config, file := filepath.Join(dir, "ntlm.mech"), filepath.Join(dir, "ntlm.users")
	if err := os.WriteFile(config, mech, 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Join(users, "\n")+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return []string{"GSS_MECH_CONFIG=" + config, "NTLM_USER_FILE=" + file}
}

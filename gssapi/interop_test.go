//go:build interop

package gssapi

import (
	"path/filepath"
	"testing"
)

// Where NTLM is installed, it has a credential for everybody. That must not stand for the one of Kerberos.
func TestInteropPlugInAlone(t *testing.T) {
	const config = "/etc/gss/mech.d/mech.ntlmssp.conf" // of Debian's gss-ntlmssp
	missing := filepath.Join(t.TempDir(), "keytab")
	out := child(t, "accept", "GSS_MECH_CONFIG="+config, "KRB5_KTNAME=FILE:"+missing)
	wantReports(t, out, 2, ErrNoCred, missing, "ktadd")
}

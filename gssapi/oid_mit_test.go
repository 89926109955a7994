//go:build cgo && unix && !heimdal

package gssapi

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The constants are what the library has under the names of C. cgo does not work in tests, so a C program prints that.
func TestOIDsOfLibrary(t *testing.T) {
	oids := map[string]OID{
		"gss_mech_krb5": KRB5, "gss_mech_iakerb": IAKERB, "gss_mech_krb5_wrong": KRB5MS, "gss_mech_krb5_old": KRB5Old,
		"GSS_C_NT_USER_NAME": NTUser, "GSS_C_NT_MACHINE_UID_NAME": NTMachineUID, "GSS_C_NT_STRING_UID_NAME": NTStringUID,
		"GSS_C_NT_HOSTBASED_SERVICE": NTHostBased, "GSS_C_NT_HOSTBASED_SERVICE_X": NTHostBasedX, "GSS_C_NT_ANONYMOUS": NTAnonymous,
		"GSS_C_NT_EXPORT_NAME": NTExported, "GSS_C_NT_COMPOSITE_EXPORT": NTCompositeExport,
		"GSS_KRB5_NT_PRINCIPAL_NAME": NTKRB5Principal, "GSS_KRB5_NT_ENTERPRISE_NAME": NTKRB5Enterprise, "GSS_KRB5_NT_X509_CERT": NTKRB5X509,
		"GSS_KRB5_GET_CRED_IMPERSONATOR": KRB5Impersonator,
		"GSS_C_MA_MECH_CONCRETE":         MAConcrete, "GSS_C_MA_MECH_PSEUDO": MAPseudo, "GSS_C_MA_MECH_COMPOSITE": MAComposite, "GSS_C_MA_MECH_NEGO": MANego,
		"GSS_C_MA_MECH_GLUE": MAGlue, "GSS_C_MA_NOT_MECH": MANotMech, "GSS_C_MA_DEPRECATED": MADeprecated, "GSS_C_MA_NOT_DFLT_MECH": MANotDefault,
		"GSS_C_MA_ITOK_FRAMED": MAFramed, "GSS_C_MA_AUTH_INIT": MAAuthInit, "GSS_C_MA_AUTH_TARG": MAAuthTarg, "GSS_C_MA_AUTH_INIT_INIT": MAAuthInitInit,
		"GSS_C_MA_AUTH_TARG_INIT": MAAuthTargInit, "GSS_C_MA_AUTH_INIT_ANON": MAAuthInitAnon, "GSS_C_MA_AUTH_TARG_ANON": MAAuthTargAnon,
		"GSS_C_MA_DELEG_CRED": MADelegation, "GSS_C_MA_INTEG_PROT": MAIntegrity, "GSS_C_MA_CONF_PROT": MAConfidentiality, "GSS_C_MA_MIC": MAMIC,
		"GSS_C_MA_WRAP": MAWrap, "GSS_C_MA_PROT_READY": MAProtReady, "GSS_C_MA_REPLAY_DET": MAReplay, "GSS_C_MA_OOS_DET": MASequence,
		"GSS_C_MA_CBINDINGS": MAChannelBinding, "GSS_C_MA_PFS": MAPFS, "GSS_C_MA_COMPRESS": MACompress, "GSS_C_MA_CTX_TRANS": MATransfer,
		"GSS_C_MA_NEGOEX_AND_SPNEGO": MANegoExAndSPNEGO,
	}
	var source, want strings.Builder
	source.WriteString("#include <stdio.h>\n#include <gssapi/gssapi.h>\n#include <gssapi/gssapi_ext.h>\n#include <gssapi/gssapi_krb5.h>\n" +
		"static void p(const char *name, gss_const_OID o)\n{\n\tprintf(\"%s \", name);\n" +
		"\tfor (OM_uint32 i = 0; i < o->length; i++)\n\t\tprintf(\"%02x\", ((unsigned char *)o->elements)[i]);\n\tputs(\"\");\n}\nint main(void)\n{\n")
	for _, name := range slices.Sorted(maps.Keys(oids)) {
		fmt.Fprintf(&source, "\tp(%q, %s);\n", name, name)
		fmt.Fprintf(&want, "%s %x\n", name, string(oids[name]))
	}
	source.WriteString("}\n")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(self), "oids") // where programs may be run, which they may not in every temporary directory
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file, program := filepath.Join(dir, "oids.c"), filepath.Join(dir, "oids")
	if err := os.WriteFile(file, []byte(source.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "mit-krb5-gssapi").Output()
	if err != nil {
		t.Fatal(err)
	}
	compiler, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		t.Fatal(err)
	}
	cc := strings.Fields(string(compiler))
	if out, err := exec.Command(cc[0], slices.Concat(cc[1:], []string{"-o", program, file}, strings.Fields(string(flags)))...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := exec.Command(program).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(want.String(), "\n")
	for n, line := range strings.Split(string(got), "\n") {
		if n >= len(lines) || line != lines[n] {
			t.Errorf("the library has %s", line)
		}
	}
}

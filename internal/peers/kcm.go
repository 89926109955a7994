//go:build interop

package peers

import (
	"context"
	"net"
	"os"
	"os/exec"
	"testing"
)

// kcmScript gives sssd_kcm, whose places are fixed when it is built, its own: a private mount of this directory over
// each. It needs no systemd, which only makes the socket elsewhere, and no other process of SSSD.
const kcmScript = `
set -e
for place in /var/lib/sss/db /var/lib/sss/secrets /var/log/sssd; do mount --bind "$1" "$place"; done
/usr/sbin/sssd --logger=stderr --genconf-section=kcm --config="$1/sssd.conf"
exec /usr/libexec/sssd/sssd_kcm --uid 0 --gid 0 --logger=stderr
`

// KCM starts the KCM daemon of SSSD, which keeps tickets in memory, and returns the text of krb5.conf, for
// krbtest.Options.ExtraConfig, with which the cache name "KCM:" means this daemon. It is stopped when the test has
// ended. It needs a mount namespace: root with CAP_SYS_ADMIN, or user namespaces for all.
func KCM(tb testing.TB) (config string) {
	tb.Helper()
	need(tb, "sssd-kcm", "/usr/libexec/sssd/sssd_kcm", "/usr/sbin/sssd")
	p := start(tb, spec{
		name:   "kcm",
		signal: "TERM",
		command: func(dir string) []string {
			unshare := []string{"unshare", "--mount"}
			if os.Getuid() != 0 || exec.Command("unshare", "--mount", "true").Run() != nil { // root of a container may not
				unshare = append(unshare, "--map-root-user")
			}
			return append(unshare, "/bin/sh", "-c", kcmScript, "kcm", dir)
		},
		files: func(p *process) (map[string][]byte, error) {
			text := "[sssd]\n[kcm]\nccache_storage = memory\nsocket_path = " + p.path("socket") + "\n"
			return map[string][]byte{"sssd.conf": []byte(text)}, nil
		},
		probe: func(ctx context.Context, p *process) error {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", p.path("socket"))
			if err != nil {
				return err
			}
			return conn.Close()
		},
	})
	return "[libdefaults]\n\tkcm_socket = " + p.path("socket") + "\n"
}

//go:build interop

package peers

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nego-sso/nego/krbtest"
)

// A Directory is a realm whose KDC keeps its database in LDAP. It does what the KDC of MIT krb5 refuses with any
// other database: constrained delegation.
type Directory struct {
	*krbtest.Realm
	server *process // slapd
}

const (
	ldapSchema = "/usr/share/doc/krb5-kdc-ldap/kerberos.schema.gz"
	ldapRoot   = "cn=root,o=realm"
)

// LDAPRealm starts a realm with its database in a slapd of its own, and stops both when the test has ended.
func LDAPRealm(tb testing.TB, o *krbtest.Options) *Directory {
	tb.Helper()
	need(tb, "slapd", "/usr/sbin/slapd")
	need(tb, "ldap-utils", "/usr/bin/ldapmodify")
	need(tb, "krb5-kdc-ldap", "/usr/sbin/kdb5_ldap_util", ldapSchema)
	d := &Directory{server: start(tb, spec{
		name:   "slapd",
		user:   "openldap",
		signal: "TERM",
		command: func(dir string) []string {
			return []string{"/bin/sh", "-c", `/usr/sbin/slapadd -q -f "$0/slapd.conf" -l "$0/base.ldif" && exec /usr/sbin/slapd -d 0 -h "$1" -f "$0/slapd.conf"`,
				dir, socketURL(dir)}
		},
		files: slapdFiles,
		probe: func(ctx context.Context, p *process) error {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", p.path("socket"))
			if err != nil {
				return err
			}
			return conn.Close()
		},
	})}
	// Made with the usual database, which then moves.
	d.Realm = krbtest.Start(tb, o)
	if err := d.move(tb.Context()); err != nil {
		tb.Fatalf("peers: move the database of %s into LDAP: %v", d.Name, err)
	}
	return d
}

// AllowDelegation allows a service to act for its clients towards the targets, and for everybody if it is trusted for
// protocol transition (krbtest.Realm.Kadmin with modify_principal +ok_to_auth_as_delegate).
func (d *Directory) AllowDelegation(tb testing.TB, service string, targets ...string) {
	tb.Helper()
	var ldif strings.Builder
	fmt.Fprintf(&ldif, "dn: krbPrincipalName=%s@%s,cn=%s,cn=krb,o=realm\nchangetype: modify\nadd: krbAllowedToDelegateTo\n", service, d.Name, d.Name)
	for _, target := range targets {
		fmt.Fprintf(&ldif, "krbAllowedToDelegateTo: %s@%s\n", target, d.Name)
	}
	err := d.run(tb.Context(), ldif.String(), "/usr/bin/ldapmodify", "-x", "-H", socketURL(d.server.dir), "-D", ldapRoot, "-y", d.server.path("password"))
	if err != nil {
		tb.Fatalf("peers: allow %s to delegate: %v", service, err)
	}
}

// move moves the database, with the master key and all passwords. What a profile says first counts, so that the lines in
// front of kdc.conf are stronger than those of krbtest.
func (d *Directory) move(ctx context.Context) error {
	if err := d.StopKDC(); err != nil {
		return err
	}
	dump := filepath.Join(d.Dir, "dump")
	if err := d.run(ctx, "", "kdb5_util", "-r", d.Name, "dump", dump); err != nil {
		return err
	}
	config := d.env("KRB5_KDC_PROFILE")
	old, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	password, err := os.ReadFile(d.server.path("password"))
	if err != nil {
		return err
	}
	stash := filepath.Join(d.Dir, "ldap.stash")
	if err := os.WriteFile(stash, fmt.Appendf(nil, "%s#{HEX}%x\n", ldapRoot, password), 0o600); err != nil {
		return err
	}
	text := strings.NewReplacer("{realm}", d.Name, "{url}", socketURL(d.server.dir), "{root}", ldapRoot, "{stash}", stash).Replace(`[realms]
	{realm} = {
		database_module = ldap
	}

[dbmodules]
	ldap = {
		db_library = kldap
		ldap_servers = {url}
		ldap_kerberos_container_dn = cn=krb,o=realm
		ldap_kdc_dn = {root}
		ldap_kadmind_dn = {root}
		ldap_service_password_file = {stash}
		disable_last_success = true
		disable_lockout = true
	}

`)
	if err := os.WriteFile(config, append([]byte(text), old...), 0o600); err != nil {
		return err
	}
	// The master key that comes with the new one goes to a file that nobody reads: load brings the old one.
	create := []string{"-D", ldapRoot, "-w", string(password), "-H", socketURL(d.server.dir),
		"create", "-r", d.Name, "-P", rand.Text(), "-sf", filepath.Join(d.Dir, "new.stash")}
	if err := d.run(ctx, "", "kdb5_ldap_util", create...); err != nil {
		return err
	}
	if err := d.run(ctx, "", "kdb5_util", "-r", d.Name, "load", "-update", dump); err != nil {
		return err
	}
	return d.StartKDC()
}

// run runs a program in the realm.
func (d *Directory) run(ctx context.Context, stdin, program string, args ...string) error {
	if !filepath.IsAbs(program) {
		program = "/usr/sbin/" + program
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = slices.Concat(os.Environ(), d.Env())
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(program), err, bytes.TrimSpace(out))
	}
	return nil
}

// env returns a variable of the realm.
func (d *Directory) env(name string) (value string) {
	for _, kv := range d.Env() {
		if n, v, _ := strings.Cut(kv, "="); n == name {
			value = v
		}
	}
	return value
}

// socketURL names the socket of the slapd in a directory.
func socketURL(dir string) string { return "ldapi://" + url.QueryEscape(dir+"/socket") }

func slapdFiles(p *process) (map[string][]byte, error) {
	f, err := os.Open(ldapSchema)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	schema, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	password := rand.Text()
	conf := strings.NewReplacer("{dir}", p.dir, "{root}", ldapRoot, "{password}", password).Replace(`include /etc/ldap/schema/core.schema
include {dir}/kerberos.schema
database ldif
suffix o=realm
rootdn {root}
rootpw {password}
directory {dir}
`)
	return map[string][]byte{
		"kerberos.schema": schema,
		"password":        []byte(password),
		"base.ldif":       []byte("dn: o=realm\nobjectClass: organization\no: realm\n"),
		"slapd.conf":      []byte(conf),
	}, nil
}

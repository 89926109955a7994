package krbtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// enctypes are the types of all keys of a realm.
const enctypes = "aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal"

func (r *Realm) kdcConfig() string    { return filepath.Join(r.Dir, "kdc.conf") }
func (r *Realm) logFile() string      { return filepath.Join(r.Dir, "kdc.log") }
func (r *Realm) clientKeytab() string { return filepath.Join(r.Dir, "client.keytab") }
func (r *Realm) replayCache() string  { return filepath.Join(r.Dir, "rcache") }
func (r *Realm) mechConfig() string   { return filepath.Join(r.Dir, "mech") }

// writeConfig writes krb5.conf, kdc.conf and the empty mechanism file.
func (r *Realm) writeConfig() error {
	for file, text := range map[string]string{
		r.Config:       r.extra + "\n" + r.krb5Conf(),
		r.kdcConfig():  r.kdcConf(),
		r.mechConfig(): "",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return fmt.Errorf("krbtest: write the configuration of realm %s: %w", r.Name, err)
		}
	}
	return nil
}

// krb5Conf returns the text for clients and services. Names are never looked
// up in DNS: a test must not depend on the resolver of the machine, and
// "localhost" must stay "localhost".
func (r *Realm) krb5Conf() string {
	return expand(`[libdefaults]
	default_realm = {realm}
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	dns_uri_lookup = false
	qualify_shortname = ""
	rdns = false
	forwardable = true
	default_ccache_name = {ccache}
	default_keytab_name = {keytab}
	default_client_keytab_name = {clientkeytab}
	default_rcache_name = file2:{rcache}

[realms]
	{realm} = {
		kdc = {addr}
	}

[domain_realm]
	localhost = {realm}
	{domain} = {realm}
	.{domain} = {realm}
`,
		"realm", r.Name,
		"domain", strings.ToLower(r.Name),
		"addr", r.Addr,
		"ccache", r.CCache,
		"keytab", r.KeytabFile,
		"clientkeytab", r.clientKeytab(),
		"rcache", r.replayCache())
}

// kdcConf returns the text for the KDC and the database tools. Lockout and
// last-success times are off: the KDC then only reads the database, and does
// not wait for a kadmin.local that writes it.
func (r *Realm) kdcConf() string {
	return expand(`[kdcdefaults]
	kdc_listen = {addr}
	kdc_tcp_listen = {addr}

[realms]
	{realm} = {
		database_module = krbtest
		key_stash_file = {dir}/stash
		acl_file = {dir}/kadm5.acl
		dict_file = {dir}/kadm5.dict
		master_key_type = aes256-cts-hmac-sha1-96
		supported_enctypes = {enctypes}
		default_principal_flags = +preauth
		max_life = 1d
		max_renewable_life = 7d
	}

[dbmodules]
	krbtest = {
		db_library = db2
		database_name = {dir}/principal
		disable_last_success = true
		disable_lockout = true
	}

[logging]
	default = FILE:{log}
	kdc = FILE:{log}
`,
		"realm", r.Name,
		"addr", r.Addr,
		"dir", r.Dir,
		"enctypes", enctypes,
		"log", r.logFile())
}

// expand replaces each {key} in text by its value.
func expand(text string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		pairs[i] = "{" + pairs[i] + "}"
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// commandEnv returns the environment of our own commands: the caller's, which
// may have an LD_LIBRARY_PATH that they need, then the realm's.
func commandEnv(environ, realm []string) []string {
	var env []string
	for _, kv := range environ {
		// A trace to stderr would be taken for errors of kadmin.local.
		if !strings.HasPrefix(kv, "KRB5_TRACE=") {
			env = append(env, kv)
		}
	}
	// kadmin.local reads its input with readline, where the user may have
	// given keys another meaning.
	env = append(env, "LC_ALL=C", "INPUTRC=/dev/null")
	return append(env, realm...)
}

package gssapi

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// Store says where a credential comes from, instead of from the environment: the cred_store of
// gss_acquire_cred_from, an extension of MIT krb5. The zero Store is the environment's own choice.
//
// It is also what to use instead of calls that choose for the whole thread or process, which makes no sense for goroutines:
// CCache for gss_krb5_ccache_name, Keytab for krb5_gss_register_acceptor_identity; and instead of those that take handles of
// libkrb5 (gss_krb5_import_cred) or add to a credential (gss_krb5_set_cred_rcache, which RCache does).
//
// Password is for Kerberos, which is asked for a ticket at once. For IAKERB alone it waits for the contexts of Mech IAKERB: each logs in
// anew then, as MIT krb5 1.20 has it, and two of one credential must not do so at the same time.
//
// A Store prints and logs without its Password.
type Store struct {
	CCache       string            // ticket cache, as in "FILE:/tmp/krb5cc_1000" or "KCM:"
	Keytab       string            // an acceptor's keys, as in "FILE:/etc/krb5.keytab"
	ClientKeytab string            // keys that an initiator gets tickets with, where the cache has none
	RCache       string            // an acceptor's replay cache, as in "none:" or "dfl:"; with Heimdal ErrUnavailable
	Password     string            `json:"-"` // an initiator's, with CredentialOptions.Name (gss_acquire_cred_with_password)
	Extra        map[string]string // further keys the library knows; Heimdal knows none
}

// parts lists the keys that are set, in a fixed order.
func (s Store) parts() [][2]string {
	var l [][2]string
	for _, kv := range [][2]string{{"ccache", s.CCache}, {"keytab", s.Keytab}, {"client_keytab", s.ClientKeytab},
		{"rcache", s.RCache}, {"password", s.Password}} {
		if kv[1] != "" {
			l = append(l, kv)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(s.Extra)) {
		l = append(l, [2]string{k, s.Extra[k]})
	}
	return l
}

// keytab is an acceptor's; "" is the default one.
func (s *Store) keytab() string { return cmp.Or(s.Keytab, s.Extra["keytab"]) }

// maxKeysInStore is what the C side has room for.
const maxKeysInStore = 32

// pack writes the keys for the C side: each key and each value ends in a NUL.
func (s Store) pack() ([]byte, error) {
	var b []byte
	parts := s.parts()
	if len(parts) > maxKeysInStore {
		return nil, fmt.Errorf("gssapi: the credential store has %d keys: %d are the most", len(parts), maxKeysInStore)
	}
	for _, kv := range parts {
		if strings.ContainsRune(kv[0]+kv[1], 0) {
			return nil, fmt.Errorf("gssapi: the value of %q in the credential store contains a NUL byte", kv[0])
		}
		b = append(append(b, kv[0]...), 0)
		b = append(append(b, kv[1]...), 0)
	}
	return b, nil
}

// String lists the keys that are set, the password as "***".
func (s Store) String() string {
	var l []string
	for _, kv := range s.parts() {
		if kv[0] == "password" {
			kv[1] = "***"
		}
		l = append(l, kv[0]+"="+kv[1])
	}
	return strings.Join(l, " ")
}

// Format makes every verb of package fmt print what String returns.
func (s Store) Format(f fmt.State, verb rune) { io.WriteString(f, s.String()) }

// LogValue logs what String returns.
func (s Store) LogValue() slog.Value { return slog.StringValue(s.String()) }

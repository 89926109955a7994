// Package peers starts the real programs of Debian's packages for tests: Apache with mod_auth_gssapi, nginx, Squid with
// negotiate_kerberos_auth, a KDC that keeps its database in LDAP, the KCM daemon of SSSD, the NTLM plug-in of GSSAPI; and
// the clients of others: curl, Python's requests-kerberos, Java, Chromium.
//
// All of it stands under the build tag interop, and so do the tests that use it, whose names start with TestInterop:
// make interop installs the packages and runs them. A program that is missing fails the test, by the name of its
// package; nothing is skipped.
//
// Each server listens on loopback only, has all of its files in one directory of its own, is ready in well under a
// second, and ends with its test, also when the test's process is killed. Root is not needed; started by root, a
// server runs as the user of its package.
//
// The environment of this process is never changed: Kerberos is configured by the Env of each server, which begins
// with that of a [github.com/nego-sso/nego/krbtest.Realm].
package peers

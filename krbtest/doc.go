// Package krbtest starts a throw-away MIT Kerberos realm for tests.
//
// A realm is a real KDC (krb5kdc) with its own database, listening on a
// loopback port, with all of its files in one temporary directory. It needs
// no root, changes nothing on the machine, reads no configuration of the
// machine, and is ready in about 100 ms, so that each test package, or each
// test, can have its own:
//
//	func TestLogin(t *testing.T) {
//		realm := krbtest.Start(t, nil)
//		cmd := exec.Command("curl", "--negotiate", "-u", ":", url)
//		cmd.Env = append(os.Environ(), realm.Env()...)
//		...
//	}
//
// With nil options the realm has a user "user", whose ticket is in
// [Realm.CCache], and a service "HTTP/localhost", whose key is in
// [Realm.KeytabFile].
//
// The programs krb5kdc, kdb5_util, kadmin.local and kinit of MIT krb5 1.18 or
// newer must be installed; if one is missing, the error names the package to
// install. They are looked for in PATH and in the usual sbin directories.
//
// The package never changes the environment of the process, as the C library may
// be reading it. Give [Realm.Env] to child processes. For tests that use Kerberos
// in their own process, set the variables in TestMain, before anything else:
//
//	func TestMain(m *testing.M) {
//		realm, err := krbtest.New(context.Background(), nil)
//		if err != nil {
//			log.Fatal(err)
//		}
//		for _, kv := range realm.Env() {
//			name, value, _ := strings.Cut(kv, "=")
//			os.Setenv(name, value)
//		}
//		code := m.Run()
//		realm.Close()
//		os.Exit(code)
//	}
package krbtest

package krbtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func TestAddUser(t *testing.T) {
	t.Parallel()
	r := Start(t, nil)
	for i, password := range []string{
		"x", `two "quoted" words`, `"`, `""`, `back\slash \" '$HOME' #`, "ünïcode €", "-pw", " spaces ", "a;b|c<d>e&f(g)!h~i*j?k",
	} {
		name := fmt.Sprintf("u%d", i)
		if err := r.AddUser(name, password); err != nil {
			t.Error(err)
			continue
		}
		cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
		if err := r.Kinit(t.Context(), name, cc); err != nil {
			t.Errorf("password %q: %v", password, err)
			continue
		}
		mustContain(t, output(t, r, "klist", "-c", cc), name+"@NEGO.TEST")
	}
	for _, password := range []string{"", "a\nquit", "a\tb", "a\x00"} {
		if err := r.AddUser("bad", password); err == nil {
			t.Errorf("password %q accepted", password)
		}
	}
	err := r.AddUser("user", "x")
	if err == nil {
		t.Fatal("existing user accepted")
	}
	mustContain(t, err.Error(), "krbtest: add user user", "already exists")
	if err := r.Kinit(t.Context(), "user", ""); err != nil {
		t.Error("old password forgotten: ", err)
	}
}

func TestAddServiceAndKeytab(t *testing.T) {
	t.Parallel()
	r := Start(t, nil)
	const spn = "HTTP/web.nego.test"
	if err := r.AddService(spn); err != nil {
		t.Fatal(err)
	}
	mustContain(t, output(t, r, "klist", "-k"), "HTTP/localhost@", spn+"@NEGO.TEST")

	file := filepath.Join(t.TempDir(), `other "keytab"`)
	if err := r.AddToKeytab(file, spn, "user"); err != nil {
		t.Fatal(err)
	}
	mustContain(t, output(t, r, "klist", "-k", file), spn+"@NEGO.TEST", "user@NEGO.TEST")
	// The keys are the same everywhere: a ticket is accepted by either keytab,
	// and the password is still good.
	for _, kt := range []string{r.KeytabFile, file} {
		mustContain(t, output(t, r, "kvno", "-k", kt, spn), "kvno = 1")
	}
	for _, principal := range []string{"user", spn} {
		if err := r.Kinit(t.Context(), principal, ""); err != nil {
			t.Error(err)
		}
		mustContain(t, output(t, r, "klist"), "Default principal: "+principal+"@NEGO.TEST")
	}
	output(t, r, "kinit", "-k", "-t", file, "user")

	for what, err := range map[string]error{
		"does not exist": r.AddToKeytab(file, "nobody"),
		"no principal":   r.AddToKeytab(file),
		"file name":      r.AddToKeytab("", "user"),
		"already exists": r.AddService(spn),
		"AddUser":        r.Kinit(t.Context(), "nobody", ""),
	} {
		if err == nil {
			t.Errorf("no error with %q", what)
			continue
		}
		mustContain(t, err.Error(), "krbtest: ", what)
	}
}

func TestKadmin(t *testing.T) {
	t.Parallel()
	r := Start(t, nil)
	if _, err := r.Kadmin("modify_principal", "+ok_to_auth_as_delegate", "HTTP/localhost"); err != nil {
		t.Error(err)
	}
	out, err := r.Kadmin("get_principal", "HTTP/localhost")
	if err != nil {
		t.Error(err)
	}
	mustContain(t, out, "Principal: HTTP/localhost@NEGO.TEST", "OK_TO_AUTH_AS_DELEGATE")
	if _, err := r.Kadmin("add_principal", "-clearpolicy", "-randkey", `a "quoted" name`); err != nil {
		t.Error(err)
	}
	out, err = r.Kadmin("get_principal", "-terse", `a "quoted" name`)
	if err != nil {
		t.Error(err)
	}
	mustContain(t, out, `quoted`)
	_, err = r.Kadmin("get_principal", "nobody")
	if err == nil {
		t.Fatal("no error")
	}
	mustContain(t, err.Error(), "krbtest: kadmin.local get_principal: ", "Principal does not exist")
	for _, command := range []string{"", "-q", "no_such_command"} {
		if out, err := r.Kadmin(command, "list_principals"); err == nil {
			t.Errorf("%q: %s", command, out)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Kadmin("list_principals"); !errors.Is(err, errClosed) {
		t.Error(err)
	}
}

func TestKinitCacheTypes(t *testing.T) {
	t.Parallel()
	r := Start(t, nil)
	dir := filepath.Join(t.TempDir(), "cc")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cc := "DIR:" + dir
	if err := r.AddUser("alice", "a"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"user", "alice"} {
		if err := r.Kinit(t.Context(), name, "DIR::"+filepath.Join(dir, "tkt"+name)); err != nil {
			t.Fatal(err)
		}
	}
	mustContain(t, output(t, r, "klist", "-l", "-c", cc), "user@", "alice@")
	err := r.Kinit(t.Context(), "user", "NOSUCHTYPE:x")
	if err == nil {
		t.Fatal("no error")
	}
	mustContain(t, err.Error(), "krbtest: kinit user", "NOSUCHTYPE")
}

func TestKinitCancelled(t *testing.T) {
	t.Parallel()
	r := Start(t, nil)
	if err := r.StopKDC(); err != nil {
		t.Fatal(err)
	}
	silent, err := net.ListenPacket("udp4", r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, _, _ = silent.ReadFrom(make([]byte, 4096)) // the request of kinit
		cancel()
	}()
	if err := r.Kinit(ctx, "user", ""); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Kinit(ctx, "user", ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	r := Start(t, nil)
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			user, service := fmt.Sprintf("u%d", i), fmt.Sprintf("HTTP/h%d", i)
			for _, err := range []error{
				r.AddUser(user, user),
				r.AddService(service),
				r.Kinit(t.Context(), user, "FILE:"+filepath.Join(dir, user)),
				r.Kinit(t.Context(), service, "FILE:"+filepath.Join(dir, user+"s")),
			} {
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

//go:build cgo && unix && !heimdal

package gssapi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func init() {
	// Each line is the default realm that the first call after a change has.
	children["parsed"] = func() {
		dir := env("TEST_DIR")
		write := func(name, text string) { must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)) }
		config := func(realm string) string { return "[libdefaults]\n default_realm = " + realm + "\n" }
		read := func() string {
			c, err := ReadConfig(ctx)
			must(err)
			return c.DefaultRealm
		}
		keep := func() {
			for parsed.watch == nil { // until the files have rested
				read()
				parsed.next = parsed.next.AddDate(-1, 0, 0)
			}
		}
		for i, change := range []func(){
			func() { write("included", config("B.TEST")) },
			func() { must(os.Remove(filepath.Join(dir, "included"))); write("included", config("C.TEST")) },
			func() { write("krb5.conf", "include "+filepath.Join(dir, "added")+"\n") },
			func() { os.Setenv("KRB5_CONFIG", filepath.Join(dir, "included")) },
		} {
			keep()
			kept := parsed.watch
			change()
			fmt.Println(i, read(), parsed.watch == kept)
		}
	}

	children["a krb5.conf that does not come"] = func() {
		limited, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		time.AfterFunc(20*time.Second, func() {
			fmt.Print("it waits")
			os.Exit(0)
		})
		_, err := ReadConfig(limited)
		fmt.Print(errors.Is(err, context.DeadlineExceeded))
	}
}

// krb5.conf stays in memory, and nobody notices.
func TestParsedConfig(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"krb5.conf": "include " + filepath.Join(dir, "included") + "\n",
		"included":  "[libdefaults]\n default_realm = A.TEST\n",
		"added":     "[libdefaults]\n default_realm = D.TEST\n",
	} {
		must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	out := child(t, "parsed", "TEST_DIR="+dir, "KRB5_CONFIG="+filepath.Join(dir, "krb5.conf"))
	if want := "0 B.TEST false\n1 C.TEST false\n2 D.TEST false\n3 C.TEST false\n"; out != want {
		t.Errorf("%swant\n%s", out, want)
	}
}

// A file that nobody supplies, as on a server that does not answer, keeps nobody longer than his context.
func TestParsedConfigBlocks(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	must(syscall.Mkfifo(conf, 0o600))
	if out := child(t, "a krb5.conf that does not come", "KRB5_CONFIG="+conf); out != "true" {
		t.Error(out)
	}
}

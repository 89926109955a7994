//go:build cgo && unix && !heimdal

package gssapi

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func init() {
	// Each way to the default credential of an initiator.
	children["default credentials"] = func() {
		keys, err := Acquire(ctx, &CredentialOptions{Usage: Accept})
		must(err)
		defer keys.Close()
		for what, call := range map[string]func() error{
			"SPNEGO": func() error { return asDefault(SPNEGO) },
			"krb5":   func() error { return asDefault(KRB5) },
			"acquire": func() error {
				c, err := Acquire(ctx, nil)
				if err == nil {
					_, err = c.Info()
					c.Close()
				}
				return err
			},
			"acquire both": func() error {
				c, err := Acquire(ctx, &CredentialOptions{Usage: Both})
				if err == nil {
					c.Close()
				}
				return err
			},
			"add": func() error {
				c, err := keys.Add(ctx, &CredentialOptions{Mechs: []OID{IAKERB}})
				if err == nil {
					c.Close()
				}
				return err
			},
		} {
			fmt.Printf("%s: %v\n", what, call())
		}
	}
}

func asDefault(mech OID) error {
	c := NewInitiator(www, &Options{Mech: mech})
	defer c.Close()
	_, err := c.Step(ctx, nil)
	return err
}

// A cache that cannot be read, which is where the default credential is looked for, is an error, however it is asked for. The
// library does not survive some of them, and which ones is chance: each has several processes.
func TestDefaultCacheDamaged(t *testing.T) {
	dir := t.TempDir()
	whole, keys := filepath.Join(dir, "whole"), filepath.Join(dir, "keys")
	if err := realm.Kinit(t.Context(), "alice", "FILE:"+whole); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	if err := realm.AddToKeytab(keys, "bob"); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string][]byte{"empty": nil, "a header alone": good[:16], "half a principal": good[:28]} {
		for _, name := range []string{"FILE:" + filepath.Join(dir, what), "DIR:" + filepath.Join(dir, what+" collection")} {
			file := strings.TrimPrefix(name, "FILE:")
			if c, ok := strings.CutPrefix(name, "DIR:"); ok {
				if err := os.Mkdir(c, 0o700); err != nil {
					t.Fatal(err)
				}
				file = filepath.Join(c, "tkt")
				write(t, filepath.Join(c, "primary"), []byte("tkt\n"))
			}
			write(t, file, text)
			for n := range 6 {
				env := []string{"KRB5CCNAME=" + name}
				if n == 0 {
					env = append(env, "KRB5_CLIENT_KTNAME="+keys)
				}
				lines := strings.Split(strings.TrimSpace(child(t, "default credentials", env...)), "\n")
				if len(lines) != 5 {
					t.Errorf("%s: %q", what, lines)
				}
				for _, line := range lines {
					if !strings.HasPrefix(line, "add:") { // the library takes it with the keys of a client, and Add does not explain
						wantTexts(t, line, file, "run kinit")
					} else if n > 0 {
						wantTexts(t, line, file)
					}
				}
			}
		}
	}
}

func write(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

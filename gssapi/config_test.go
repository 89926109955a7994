package gssapi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func init() {
	children["config"] = func() {
		c, err := ReadConfig(context.Background())
		fmt.Printf("%q %v\n%+v\n", c.Files, err, c)
	}
}

func TestReadConfig(t *testing.T) {
	c, err := ReadConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Files: []string{realm.Config}, DefaultRealm: realm.Name, CanonicalizeHost: "false",
		Realms: []Realm{{Name: realm.Name, KDCs: []string{realm.Addr}}}}
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("got %+v, want %+v", *c, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ReadConfig(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// An included file counts, a missing one of several does not, and what is not said has libkrb5's default.
func TestReadConfigFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	part := file("part", "[realms]\n A.TEST = {\n  kdc = one.a.test\n  kdc = tcp/two.a.test:750\n }\n B.TEST = {\n }\n")
	begin := "include " + part + "\n"
	if heimdal { // which does not take an include there
		begin = "[realms]\n A.TEST = {\n  kdc = one.a.test\n  kdc = tcp/two.a.test:750\n }\n B.TEST = {\n }\n"
	}
	whole := file("whole", begin+"[libdefaults]\n default_realm = B.TEST\n")
	missing := filepath.Join(dir, "missing")
	out := child(t, "config", "KRB5_CONFIG="+missing+":"+whole)
	want := fmt.Sprintf("[%q %q] <nil>\n&{Files:[%s %s] DefaultRealm:B.TEST CanonicalizeHost:true ReverseDNS:%t LookupKDC:true "+
		"Realms:[{Name:A.TEST KDCs:[one.a.test tcp/two.a.test:750]} {Name:B.TEST KDCs:[]}]}\n", missing, whole, missing, whole, !heimdal)
	if out != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
	broken := file("broken", "[libdefaults\n")
	out = child(t, "config", "KRB5_CONFIG="+broken)
	if heimdal { // which goes on without that file
		if !strings.HasPrefix(out, fmt.Sprintf("[%q] <nil>\n", broken)) || !strings.Contains(out, "Realms:[]") {
			t.Error(out)
		}
	} else if !strings.HasPrefix(out, fmt.Sprintf("[%q] gssapi: cannot read krb5.conf: ", broken)) || strings.Count(out, broken) < 2 || !strings.Contains(out, "correct that file") {
		t.Error(out)
	}
}

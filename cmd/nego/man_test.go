package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// readManPages returns, by its name, the words of each page, as mandoc shows them; what mandoc warns of is an error.
func readManPages(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	pages := make(map[string]string)
	for _, c := range manCommands(newRoot(newOutput(os.Stdout))) {
		file := filepath.Join(dir, manName(c)+".1")
		if err := os.WriteFile(file, manPage(c, time.Unix(1700000000, 0)), 0o600); err != nil {
			t.Fatal(err)
		}
		// SEE ALSO names pages that the machine may lack; that is no warning at this level.
		if out, err := exec.Command("mandoc", "-T", "lint", "-W", "warning", file).CombinedOutput(); err != nil {
			t.Errorf("mandoc (Debian's package mandoc) on the page of %s: %v\n%s", c.CommandPath(), err, out)
		}
		out, err := exec.Command("mandoc", "-T", "utf8", "-O", "width=200", file).Output()
		if err != nil {
			t.Fatalf("mandoc (Debian's package mandoc): %v", err)
		}
		pages[manName(c)] = words(overstrike.ReplaceAllString(string(out), ""))
	}
	return pages
}

var overstrike = regexp.MustCompile(".\b")

func words(s string) string { return strings.Join(strings.Fields(s), " ") }

// Whatever --help says is in a page, to the letter.
func TestManPages(t *testing.T) {
	pages := readManPages(t)
	var check func(c *cobra.Command, page string)
	check = func(c *cobra.Command, page string) {
		if own, ok := pages[manName(c)]; ok {
			page = own
		}
		has := func(text string) {
			t.Helper()
			if !strings.Contains(page, words(text)) {
				t.Errorf("the page of %q lacks %q", c.CommandPath(), words(text))
			}
		}
		c.InitDefaultHelpFlag()
		c.InitDefaultVersionFlag()
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			value, usage := pflag.UnquoteUsage(f)
			name := "--" + f.Name
			if f.Shorthand != "" {
				name = "-" + f.Shorthand + ", " + name
			}
			has(name + " " + value + " " + usage)
		})
		// A page has what is said of the exit status in a section of its own.
		long := regexp.MustCompile(`(The exit|Exit) status`).ReplaceAllString(strings.ReplaceAll(c.Long, "#### ", ""), "\n$0")
		for line := range strings.Lines(c.Short + "\n" + long + "\n" + c.Example) {
			has(line)
		}
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && sub.Name() != "help" {
				check(sub, page)
			}
		}
	}
	check(newRoot(newOutput(os.Stdout)), "")
	for name, page := range pages {
		for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"} {
			if strings.Count(page, " "+section+" ") == 0 {
				t.Errorf("%s(1) has no section %s", name, section)
			}
		}
	}
}

// Each variable that the command reads is in the first page, and so is what libkrb5 reads.
func TestManPagesEnvironment(t *testing.T) {
	_, environment, _ := strings.Cut(readManPages(t)["nego"], " ENVIRONMENT ")
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"KRB5_CONFIG", "KRB5CCNAME", "KRB5_CLIENT_KTNAME", "KRB5_TRACE", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(`os\.Getenv\("(\w+)"\)`).FindAllStringSubmatch(string(source), -1) {
			if m[1] != "SOURCE_DATE_EPOCH" && m[1] != "KRB5_KTNAME" { // of the hidden command; of serve
				names = append(names, m[1])
			}
		}
	}
	for _, name := range names {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(environment) {
			t.Errorf("nego(1) says nothing about %s", name)
		}
	}
}

func TestManPagesReproducible(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	dir := t.TempDir()
	if status := run([]string{"man", dir}); status != 0 {
		t.Fatalf("exit status %d", status)
	}
	text, err := os.ReadFile(filepath.Join(dir, "nego-fetch.1"))
	if err != nil {
		t.Fatal(err)
	}
	if first, _, _ := bytes.Cut(text, []byte("\n")); !bytes.Contains(first, []byte(" 1 2023-11-14 ")) {
		t.Errorf("%s", first)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "today")
	if _, err := manDate(); err == nil {
		t.Error("a date that is none is one")
	}
}

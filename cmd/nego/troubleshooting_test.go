package main

import (
	"net/http/httptest"
	"os"
	"regexp"
	"strings"

	"github.com/nego-sso/nego/negotiate"
	"github.com/rogpeppe/go-internal/testscript"
)

const troubleshooting = "../../docs/troubleshooting.md"

var (
	symptomRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	seenKey    = "seen" // map[string]bool: messages of the page
)

// symptoms are the messages of docs/troubleshooting.md.
func symptoms(ts *testscript.TestScript) (messages []string) {
	page, err := os.ReadFile(troubleshooting)
	ts.Check(err)
	for _, m := range symptomRow.FindAllStringSubmatch(string(page), -1) {
		messages = append(messages, m[1])
	}
	return messages
}

// says reports whether a text has a message of the page, in which … stands for anything in a line.
func says(text, message string) bool {
	return regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(message), "…", ".*")).MatchString(text)
}

// symptom FILE WORDS checks that a file, which may be stdout or stderr, has the one message of docs/troubleshooting.md with
// those words. symptom -rest checks that the others are what the packages say that no command comes to.
func symptom(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || len(args) != 2 && args[0] != "-rest" {
		ts.Fatalf("usage: symptom FILE WORDS, or symptom -rest")
	}
	seen := ts.Value(seenKey).(map[string]bool)
	if args[0] == "-rest" {
		said := saidByPackages(ts)
		for _, message := range symptoms(ts) {
			if !seen[message] && !says(said, message) {
				ts.Fatalf("%s has %q, and nothing says that", troubleshooting, message)
			}
		}
		return
	}
	text, found := ts.ReadFile(args[0]), 0
	for _, message := range symptoms(ts) {
		if !strings.Contains(message, args[1]) {
			continue
		}
		found++
		seen[message] = true
		if !says(text, message) {
			ts.Fatalf("%s has %q, and %s does not:\n%s", troubleshooting, message, args[0], text)
		}
	}
	if found != 1 {
		ts.Fatalf("%s has %d messages with %q", troubleshooting, found, args[1])
	}
}

// saidByPackages is what programs in Go may get to see, and what is in the source that this build leaves out.
func saidByPackages(ts *testscript.TestScript) string {
	nocgo, err := os.ReadFile("../../gssapi/nocgo.go")
	ts.Check(err)
	r := httptest.NewRequest("GET", "https://localhost/", nil)
	r.Header.Set("Authorization", "Negotiate AAAA")
	_, unbound := (&negotiate.Authenticator{ChannelBinding: negotiate.BindIfTLS}).Authenticate(httptest.NewRecorder(), r)
	all := []string{string(nocgo)}
	for _, err := range []error{negotiate.ErrRefused, negotiate.ErrBody, negotiate.ErrLegs, negotiate.ErrNotAllowed, negotiate.ErrNoToken, negotiate.ErrTries,
		(&negotiate.Authenticator{Sessions: &negotiate.Sessions{}}).Check(r.Context()), unbound} {
		all = append(all, err.Error())
	}
	return strings.Join(all, "\n")
}

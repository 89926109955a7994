package main

import (
	"strings"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// TestShowCache has what no fresh cache can show: the script creds.txtar has the rest.
func TestShowCache(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	at := func(d time.Duration) time.Time { return now.Add(d) }
	var text strings.Builder
	showCache(&output{w: &text}, &gssapi.Cache{Name: "KCM:0\x1b[2J", Principal: "alice@A.TEST", Tickets: []gssapi.Ticket{
		{Client: "alice@A.TEST", Server: "krbtgt/A.TEST@A.TEST", Encryption: "aes", Start: at(-10 * time.Hour), End: at(-90 * time.Minute),
			RenewUntil: at(72 * time.Hour), Flags: gssapi.TicketRenewable | gssapi.TicketOKDelegate | 1},
		{Client: "bob@A.TEST", Server: "HTTP/x@A.TEST", Encryption: "aes", Start: at(time.Minute), End: at(time.Hour)},
	}}, now)
	zone := now.Format("MST")
	want := strings.ReplaceAll(`cache      KCM:0�[2J
principal  alice@A.TEST

krbtgt/A.TEST@A.TEST
  valid  2026-03-01 02:00:00 Z to 2026-03-01 10:30:00 Z, EXPIRED 1h30m ago
  renew  until 2026-03-04 12:00:00 Z
  flags  renewable, ok-as-delegate
  key    aes

HTTP/x@A.TEST
  valid  2026-03-01 12:01:00 Z to 2026-03-01 13:00:00 Z, not valid for another 1m
  for    bob@A.TEST
  flags  none
  key    aes
`, " Z", " "+zone)
	if got := text.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}

	text.Reset()
	showCache(&output{w: &text}, &gssapi.Cache{Name: "FILE:/c", Principal: "alice@A.TEST"}, now)
	if got, want := text.String(), "cache      FILE:/c\nprincipal  alice@A.TEST\n\nno tickets\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

//go:build cgo && unix && !heimdal

package gssapi

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func init() {
	// How many seconds behind the end of the ticket each context says that it ends.
	children["ticket ends"] = func() {
		cache, err := ReadCache(ctx, "")
		must(err)
		end := cache.Tickets[0].End
		var contexts []*SecContext
		var answers [][]byte
		for range 3 {
			i, a := NewInitiator(www, &Options{Flags: FlagMutual}), NewAcceptor(nil)
			token, err := i.Step(ctx, nil)
			must(err)
			answer, err := a.Step(ctx, token)
			must(err)
			contexts, answers = append(contexts, i), append(answers, answer)
		}
		for n, i := range contexts {
			<-time.After(time.Until(end.Add(time.Duration(n)*time.Second + 50*time.Millisecond)))
			_, err := i.Step(ctx, answers[n])
			must(err)
			fmt.Println(i.Established(), int(i.Info().Expires.Sub(end).Seconds()))
		}
	}
}

func init() {
	// Whether tokens come of a snapshot while its ticket has more than a minute, and behind that.
	children["last minute"] = func() {
		must(warm(www, asked))
		cache, err := ReadCache(ctx, "")
		must(err)
		for _, at := range []time.Duration{-61 * time.Second, -60*time.Second + 50*time.Millisecond} {
			<-time.After(time.Until(cache.Tickets[0].End.Add(at)))
			dated, _, snapped, err := first(www, asked)
			must(err)
			fmt.Println(snapped, snapped && dated.by != nil == asked.AuthOnly)
		}
	}
}

// In a ticket's last minute the library decides what is to be done.
func TestSnapshotIsOverInTheLastMinute(t *testing.T) {
	keytab := filepath.Join(t.TempDir(), "keytab")
	if err := realm.AddToKeytab(keytab, "bob"); err != nil {
		t.Fatal(err)
	}
	wholeAndBare(t, func(t *testing.T, how string) {
		cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
		if out, err := exec.Command("kinit", "-l", "65s", "-k", "-t", keytab, "-c", cc, "bob").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if out := child(t, "last minute", how, "KRB5CCNAME="+cc); out != "true true\nfalse false\n" {
			t.Error(out)
		}
	})
}

// A context whose ticket ends between its legs is good for as long as clocks may differ, and says when that ticket ended.
func TestTicketEndsBetweenLegs(t *testing.T) {
	keytab, cc := filepath.Join(t.TempDir(), "keytab"), "FILE:"+filepath.Join(t.TempDir(), "cc")
	if err := realm.AddToKeytab(keytab, "bob"); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("kinit", "-l", "3s", "-k", "-t", keytab, "-c", cc, "bob").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out := child(t, "ticket ends", "KRB5CCNAME="+cc); out != strings.Repeat("true 0\n", 3) {
		t.Error(out)
	}
}

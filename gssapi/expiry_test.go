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

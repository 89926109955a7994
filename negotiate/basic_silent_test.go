package negotiate

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// Clients that go away while the KDC is silent leave calls into the library behind, and no more of them than those who
// stay: the rest of the program has calls to make.
func TestBasicLeavesRoomForOthers(t *testing.T) {
	a := &Authenticator{Basic: true}
	user, _ := newUser(t)
	byPassword(t, a, user, "wrong") // the keytab is looked up
	back := silenceKDC(t)
	defer func() {
		back()
		for range askingAtOnce { // so that no call is under way when the next test begins
			a.passwords.asking <- struct{}{}
		}
	}()
	var wg sync.WaitGroup
	for i := range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		wg.Go(func() {
			defer cancel()
			if _, who := visitWith(ctx, a, "https://localhost/", replyHeader, basicValue("stranger"+strconv.Itoa(i), "guess")); who != "" {
				t.Errorf("in as %q", who)
			}
		})
		if i%32 == 31 {
			wg.Wait()
		}
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := gssapi.User("anybody").Canonical(ctx, gssapi.KRB5); err != nil {
		t.Error(err)
	}
}

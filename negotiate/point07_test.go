package negotiate

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// A proof that lacks any of its bytes is none, and neither is one that was changed where it is encrypted.
func TestPoint7DamagedProof(t *testing.T) {
	for _, mech := range []gssapi.OID{gssapi.SPNEGO, gssapi.KRB5} {
		var mu sync.Mutex
		var forge func(right []byte) []byte
		length := 0
		s := answer(t, 200, func(_ *http.Request, right []byte) string {
			mu.Lock()
			defer mu.Unlock()
			length = len(right)
			if b := forge(right); len(b) > 0 {
				return fieldValue(b)
			}
			return "Negotiate"
		})
		tr := &Transport{Mutual: MutualRequired, Mech: mech, Preemptive: PreemptAlways}
		defer tr.CloseIdleConnections()
		send := func(f func([]byte) []byte) error {
			mu.Lock()
			forge = f
			mu.Unlock()
			resp, err := tr.RoundTrip(newRequest(t, "GET", s.URL, nil))
			if err == nil {
				resp.Body.Close()
			}
			return err
		}
		if err := send(func(right []byte) []byte { return right }); err != nil {
			t.Fatal(err)
		}
		n := length
		for i := range n {
			if err := send(func(right []byte) []byte { return right[:min(i, len(right)-1)] }); !errors.Is(err, ErrMutual) {
				t.Errorf("%v, the first %d bytes of %d: %v", mech, i, n, err)
			}
		}
		for i := range 40 { // the checksum, and the most part of what is encrypted
			if err := send(func(right []byte) []byte {
				b := bytes.Clone(right)
				b[len(b)-1-i] ^= 0x40
				return b
			}); !errors.Is(err, ErrMutual) {
				t.Errorf("%v, byte %d from the end: %v", mech, i, err)
			}
		}
	}
}

// A proof is for one token: one that somebody recorded is none, whether of the request before, on the same connection,
// or of another user's; nor is one for a token of the other mechanism.
func TestPoint7ReplayedProof(t *testing.T) {
	for _, mech := range []gssapi.OID{gssapi.SPNEGO, gssapi.KRB5} {
		for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
			for _, mutual := range []Mutual{MutualOptional, MutualRequired} {
				t.Run(fmt.Sprint(mech, preempt, mutual), func(t *testing.T) {
					var mu sync.Mutex
					var last []byte
					s := answer(t, 200, func(_ *http.Request, right []byte) string {
						mu.Lock()
						defer mu.Unlock()
						old := last
						last = right
						if old == nil {
							old = right
						}
						return fieldValue(old)
					})
					tr := &Transport{Mutual: mutual, Mech: mech, Preemptive: preempt}
					defer tr.CloseIdleConnections()
					for i := range 4 {
						var o Outcome
						resp, err := tr.RoundTrip(newRequest(t, "GET", s.URL, nil).WithContext(WithOutcome(t.Context(), &o)))
						if err == nil {
							resp.Body.Close()
						}
						if i == 0 && (err != nil || !o.Mutual) || i > 0 && (!errors.Is(err, ErrMutual) || o.Mutual) {
							t.Errorf("%d: %v, %+v", i, err, o)
						}
					}
				})
			}
		}
	}
}

// A server that authenticates connections proves itself once. What is to be done is in the error.
func TestPoint7MutualRequiredOnABoundConnection(t *testing.T) {
	k := newKeeper(t)
	tr := &Transport{Mutual: MutualRequired}
	if resp, body := get(t, &http.Client{Transport: tr}, k.URL); body != "user@NEGO.TEST" || !OutcomeOf(resp).Mutual {
		t.Fatalf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
	}
	var o Outcome
	_, err := tr.RoundTrip(newRequest(t, "GET", k.URL, nil).WithContext(WithOutcome(t.Context(), &o)))
	if !errors.Is(err, ErrMutual) || !strings.Contains(err.Error(), "PreemptAlways") || o.Err != err {
		t.Errorf("%v, %+v", err, o)
	}
	tr.CloseIdleConnections()

	// A page that never asked has nothing to do with that.
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request, _ int) { fmt.Fprint(w, "public") })
	if _, err := tr.RoundTrip(newRequest(t, "GET", s.URL, nil)); !errors.Is(err, ErrMutual) || strings.Contains(err.Error(), "PreemptAlways") {
		t.Error(err)
	}
	tr.CloseIdleConnections()

	before := k.opened.Load()
	tr = &Transport{Mutual: MutualRequired, Preemptive: PreemptAlways}
	for range 20 {
		if resp, body := get(t, &http.Client{Transport: tr}, k.URL); body != "user@NEGO.TEST" || !OutcomeOf(resp).Mutual || OutcomeOf(resp).Legs != 1 {
			t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
		}
	}
	if n := k.opened.Load() - before; n != 1 {
		t.Errorf("%d connections", n)
	}
	tr.CloseIdleConnections()
}

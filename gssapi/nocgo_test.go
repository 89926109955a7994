//go:build !cgo

package gssapi

import (
	"errors"
	"strings"
	"testing"
)

func TestUnavailableWithoutCgo(t *testing.T) {
	_, acquire := Acquire(t.Context(), nil)
	_, step := NewInitiator(www, nil).Step(t.Context(), nil)
	_, accept := NewAcceptor(nil).Step(t.Context(), nil)
	_, mechs := Mechs()
	_, cache := ReadCache(t.Context(), "")
	_, imported := ImportSecContext(nil)
	_, local := User("alice").Local(t.Context(), KRB5)
	for n, err := range []error{acquire, step, accept, mechs, cache, imported, local} {
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "CGO_ENABLED=1") || strings.Contains(err.Error(), "krb5.conf") {
			t.Errorf("%d: %v", n, err)
		}
	}
}

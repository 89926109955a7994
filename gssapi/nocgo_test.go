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
	_, token := ImportCredential(t.Context(), nil)
	_, described := DescribeMech(KRB5)
	_, chosen := MechsByAttrs(nil, nil, nil)
	_, _, _, attr := DescribeMechAttr(MAPFS)
	_, login := User("alice").MayLogInAs(t.Context(), KRB5, "alice")
	_, uid := User("alice").UID(t.Context(), KRB5)
	_, attributes := User("alice").Attributes(t.Context())
	_, without := User("alice").WithoutAttribute(t.Context(), "urn:x")
	for n, err := range []error{acquire, step, accept, mechs, cache, imported, local, token, described, chosen, attr, login, uid, attributes, without} {
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "CGO_ENABLED=1") || strings.Contains(err.Error(), "krb5.conf") {
			t.Errorf("%d: %v", n, err)
		}
	}
}

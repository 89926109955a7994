package negotiate

import (
	"errors"
	"net/http"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

func TestServerAttributes(t *testing.T) {
	const info, logon = "urn:mspac:client-info", "urn:mspac:logon-info" // a KDC without Active Directory has no logon-info
	for _, c := range []struct {
		ask, want []string
	}{
		{nil, nil},
		{[]string{info}, []string{info}},
		{[]string{logon, info}, []string{info}},
		{[]string{logon}, nil},
	} {
		var got map[string]gssapi.Attribute
		status := 200
		if onHeimdal && c.ask != nil { // which cannot tell them, so that nobody is let in
			c.want, status = nil, 401
		}
		s := protectWith(t, &Authenticator{Attributes: c.ask}, func(w http.ResponseWriter, r *http.Request) {
			id, _ := FromContext(r.Context())
			got = id.Attributes
		})
		if resp, _ := get(t, &http.Client{Transport: &Transport{}}, s.URL); resp.StatusCode != status {
			t.Errorf("%q: %s", c.ask, resp.Status)
		}
		if len(got) != len(c.want) || (c.ask == nil || status == 401) != (got == nil) {
			t.Errorf("%q: %v", c.ask, got)
		}
		for _, name := range c.want {
			if a := got[name]; len(a.Value) == 0 || !a.Authenticated {
				t.Errorf("%s: %+v", name, a)
			}
		}
	}
}

// Who cannot be read is not let in.
func TestServerAttributesFail(t *testing.T) {
	var why error
	a := &Authenticator{Attributes: []string{"urn:mspac:\x00"}, Deny: func(w http.ResponseWriter, _ *http.Request, err error) {
		why = err
		w.WriteHeader(http.StatusUnauthorized)
	}}
	_, token := initiate(t, web, &gssapi.Options{Flags: gssapi.FlagMutual})
	resp, who := serve(t, a, fieldValue(token))
	if who != "" || resp.StatusCode != 401 || !errors.Is(why, gssapi.ErrBadName) {
		t.Errorf("%s, %q, %v", resp.Status, who, why)
	}
	if got := resp.Header[askHeader]; len(got) != 1 || got[0] != scheme { // no proof for a client that is refused
		t.Errorf("%q", got)
	}
}

package gssapi

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const wwwPrincipal = "HTTP/www.nego.test@NEGO.TEST"

// newServiceCredential is that of a service: its keys, and tickets that it gets with them.
func newServiceCredential(t *testing.T, usage Usage) *Credential {
	t.Helper()
	c, err := Acquire(t.Context(), &CredentialOptions{Name: www, Usage: usage,
		Store: Store{ClientKeytab: realm.KeytabFile, CCache: "MEMORY:" + unique("service")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// alone reports whether services act for nobody, which Heimdal has to say.
func alone(t *testing.T) bool {
	t.Helper()
	if !heimdal {
		return false
	}
	c, err := newServiceCredential(t, Initiate).Impersonate(t.Context(), User("bob"))
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "Heimdal") {
		c.Close()
		t.Error(err)
	}
	c, err = Acquire(t.Context(), &CredentialOptions{Name: www, Usage: Both, Store: Store{ClientKeytab: realm.KeytabFile, CCache: "MEMORY:" + unique("service")}})
	if !errors.Is(err, ErrUnavailable) {
		c.Close()
		t.Error(err)
	}
	return true
}

func info(t *testing.T, c *Credential) CredentialInfo {
	t.Helper()
	i, err := c.Info()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// wantRefused checks that a service that acts for bob gets no ticket for another, and that the error says what to do.
func wantRefused(t *testing.T, c *Credential, target Name) {
	t.Helper()
	i := NewInitiator(target, &Options{Credential: c})
	defer i.Close()
	_, err := i.Step(t.Context(), nil)
	if err == nil {
		t.Error("the KDC lets the service act for others everywhere")
		return
	}
	for _, want := range []string{wwwPrincipal + " acts for bob@NEGO.TEST", "allow " + wwwPrincipal + " to delegate to " + target.String()} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Without rights at the KDC a service may act for everybody, towards itself. Mirrors t_s4u.c, and python-gssapi's
// test_acquire_cred_impersonate_name and test_add_cred_impersonate_name.
func TestImpersonate(t *testing.T) {
	if alone(t) {
		return
	}
	for _, usage := range []Usage{Initiate, Both} {
		t.Run(usage.String(), func(t *testing.T) {
			service := newServiceCredential(t, usage)
			bob, err := service.Impersonate(t.Context(), User("bob"))
			if err != nil {
				t.Fatal(err)
			}
			defer bob.Close()
			check := func(i CredentialInfo) {
				t.Helper()
				if i.Name != Principal("bob@NEGO.TEST") || i.Impersonator != Principal(wwwPrincipal) || i.Usage != Initiate ||
					!slices.Contains(i.Mechs, KRB5) || time.Until(i.Expires) < time.Hour {
					t.Errorf("%+v", i)
				}
			}
			check(info(t, bob))
			for _, mech := range []OID{SPNEGO, KRB5} {
				_, a := pair(t, &Options{Credential: bob, Mech: mech, Flags: FlagMutual}, nil)
				if got := a.Info().Initiator.String(); got != "bob@NEGO.TEST" {
					t.Errorf("the acceptor saw %s through %v", got, mech)
				}
			}
			check(info(t, bob)) // of a copy
			wantRefused(t, bob, Service("HTTP", "localhost"))
			if i := info(t, service); !i.Impersonator.IsZero() || i.Name != Principal(wwwPrincipal) {
				t.Errorf("the service's own: %+v", i)
			}
		})
	}
}

func TestImpersonateRefused(t *testing.T) {
	if alone(t) {
		return
	}
	service := newServiceCredential(t, Initiate)
	keys := newServiceCredential(t, Accept)
	closed := newServiceCredential(t, Initiate)
	closed.Close()
	bob, err := service.Impersonate(t.Context(), User("bob"))
	if err != nil {
		t.Fatal(err)
	}
	defer bob.Close()
	for _, tc := range []struct {
		name string
		c    *Credential
		user Name
		code Code
		want string
	}{
		{"unknown user", service, User("nobody"), ErrFailure, "impersonate nobody: Client not found"},
		{"unknown user, hint", service, User("nobody"), ErrFailure, "check the name of the user"},
		{"no user", service, Name{}, ErrBadName, "no user is named"},
		{"empty user", service, User(""), ErrBadName, "the name is empty"},
		{"keys alone", keys, User("bob"), ErrNoCred, "acquire it with usage Both"},
		{"impersonated itself", bob, User("alice"), ErrFailure, "with the credential of the service itself"},
		{"nil", nil, User("bob"), ErrNoCred, "not made by Acquire"},
		{"zero", new(Credential), User("bob"), ErrNoCred, "not made by Acquire"},
		{"closed", closed, User("bob"), ErrClosed, "impersonate bob: used after Close"},
	} {
		c, err := tc.c.Impersonate(t.Context(), tc.user)
		if err == nil {
			c.Close()
			t.Errorf("%s: no error", tc.name)
			continue
		}
		if !errors.Is(err, tc.code) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// The library has a text of its own for neither call, and would give that of the last failure on the same thread.
func TestDelegationErrorsAreTheirOwn(t *testing.T) {
	if alone(t) {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx := context.Background() // which cannot end, so that the calls are made on this thread
	service := newServiceCredential(t, Initiate)
	file := filepath.Join(t.TempDir(), "cc")
	for _, before := range []CredentialOptions{
		{Name: User("stranger"), Store: Store{Password: "guess"}},
		{Store: Store{CCache: "FILE:" + file}},
	} {
		if _, err := Acquire(ctx, &before); err == nil || !strings.Contains(err.Error(), "stranger@") && !strings.Contains(err.Error(), file) {
			t.Fatal(err)
		}
	}
	_, err := service.Impersonate(ctx, User("nobody"))
	if err == nil || strings.Contains(err.Error(), "stranger") || !strings.Contains(err.Error(), "impersonate nobody: Client not found") {
		t.Error(err)
	}
	err = service.StoreInto(ctx, Store{CCache: "FILE:" + filepath.Join(file, "no", "such")}, false)
	if err == nil || strings.Contains(err.Error(), file+")") || !strings.Contains(err.Error(), "such: No credentials cache found; ") {
		t.Error(err)
	}
}

// An acceptor with tickets of its own may act for its clients, who delegate nothing. One that was delegated is better,
// and comes first. Mirrors t_s4u.c and t_s4u2proxy_krb5.c.
func TestConstrainedDelegation(t *testing.T) {
	if alone(t) {
		return
	}
	keys, both := newServiceCredential(t, Accept), newServiceCredential(t, Both)
	client := newTicket(t, "bob")
	defer client.Close()
	for _, tc := range []struct {
		name     string
		acceptor *Credential
		flags    Flags
		by       Name
	}{
		{"keys alone", keys, 0, Name{}},
		{"both", both, 0, Principal(wwwPrincipal)},
		{"both, and delegated", both, FlagDelegate, Name{}},
	} {
		for _, mech := range []OID{SPNEGO, KRB5} {
			_, a := pair(t, &Options{Credential: client, Mech: mech, Flags: tc.flags}, &Options{Credential: tc.acceptor})
			d := a.Delegated()
			if got := a.Info().Flags&FlagDelegate != 0; got != (tc.acceptor == both) || got != (d != nil) {
				t.Errorf("%s: flags %v, credential %v", tc.name, a.Info().Flags, d != nil)
			}
			if d == nil {
				continue
			}
			if i := info(t, d); i.Name != Principal("bob@NEGO.TEST") || i.Impersonator != tc.by {
				t.Errorf("%s: %+v", tc.name, i)
			}
			_, onward := pair(t, &Options{Credential: d, Flags: FlagMutual}, nil)
			if got := onward.Info().Initiator.String(); got != "bob@NEGO.TEST" {
				t.Errorf("%s: onward as %s", tc.name, got)
			}
			if tc.by.IsZero() {
				i := NewInitiator(Service("HTTP", "localhost"), &Options{Credential: d})
				if _, err := i.Step(t.Context(), nil); err != nil {
					t.Errorf("%s: %v", tc.name, err)
				}
				i.Close()
			} else {
				wantRefused(t, d, Service("HTTP", "localhost"))
			}
			d.Close()
		}
	}
}

// Mirrors t_store_cred.c with -i, python-gssapi's test_store_cred_into_acquire_cred_from and …_store_cred_acquire_cred.
func TestStoreInto(t *testing.T) {
	ctx := t.Context()
	alice := newTicket(t, "alice")
	defer alice.Close()
	bob, by := newTicket(t, "bob"), ""
	if !alone(t) {
		var err error
		if bob, err = newServiceCredential(t, Initiate).Impersonate(ctx, User("bob")); err != nil {
			t.Fatal(err)
		}
		by = wwwPrincipal
	}
	defer bob.Close()
	for _, typ := range []string{"FILE:", "DIR:", "MEMORY:"} {
		t.Run(typ, func(t *testing.T) {
			s := Store{CCache: typ + t.TempDir()}
			if typ == "FILE:" {
				s.CCache += "/cc"
			}
			read := func() *Credential {
				t.Helper()
				c, err := Acquire(ctx, &CredentialOptions{Store: s})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				return c
			}
			if err := alice.StoreInto(ctx, s, false); err != nil {
				t.Fatal(err)
			}
			c := read()
			if i := info(t, c); i.Name.String() != "alice@NEGO.TEST" {
				t.Errorf("%+v", i)
			}
			pair(t, &Options{Credential: c}, nil)
			err := alice.StoreInto(ctx, s, false)
			if !errors.Is(err, ErrDuplicateElement) || !strings.Contains(err.Error(), s.CCache) || !strings.Contains(err.Error(), "overwrite") {
				t.Error(err)
			}
			// The one of another user, who may not have a ticket-granting ticket of their own.
			if err := bob.StoreInto(ctx, s, true); err != nil {
				t.Fatal(err)
			}
			b := read()
			if i := info(t, b); i.Name.String() != "bob@NEGO.TEST" || i.Impersonator.String() != by {
				t.Errorf("%+v", i)
			}
			_, a := pair(t, &Options{Credential: b}, nil)
			if got := a.Info().Initiator.String(); got != "bob@NEGO.TEST" {
				t.Error(got)
			}
			if by != "" {
				wantRefused(t, b, Service("HTTP", "localhost"))
			}
		})
	}
}

func TestStoreIntoRefused(t *testing.T) {
	ctx := t.Context()
	alice := newTicket(t, "alice")
	missing := filepath.Join(t.TempDir(), "no", "such")
	for _, tc := range []struct {
		name string
		c    *Credential
		s    Store
		want []string
	}{
		{"no directory", alice, Store{CCache: "FILE:" + missing}, []string{"FILE:" + missing, "check that its directory is there"}},
		{"unknown type", alice, Store{CCache: "XX:x"}, []string{"XX:x", "type"}},
		{"the environment's", alice, Store{}, []string{"the default ticket cache", realm.CCache, "overwrite it"}},
		{"further key", alice, Store{Extra: map[string]string{"ccache": realm.CCache}}, []string{realm.CCache, "overwrite it"}},
		{"NUL byte", alice, Store{CCache: "FILE:x\x00"}, []string{"NUL"}},
		{"keys alone", newServiceCredential(t, Accept), Store{CCache: "MEMORY:none"}, []string{"MEMORY:none", "no tickets"}},
		{"nil", nil, Store{CCache: "MEMORY:none"}, []string{"MEMORY:none", "not made by Acquire"}},
	} {
		err := tc.c.StoreInto(ctx, tc.s, false)
		if err == nil {
			t.Errorf("%s: no error", tc.name)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", tc.name, err, want)
			}
		}
	}
	alice.Close()
	if err := alice.StoreInto(ctx, Store{CCache: "MEMORY:none"}, true); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if c, err := ReadCache(ctx, ""); err != nil || c.Principal != "user@NEGO.TEST" {
		t.Errorf("the environment's cache now: %+v, %v", c, err)
	}
}

// Tickets of a password, which are nowhere else, can be stored as well.
func TestStoreIntoFromPassword(t *testing.T) {
	carol := unique("carol")
	if err := realm.AddUser(carol, "carol's"); err != nil {
		t.Fatal(err)
	}
	c, err := Acquire(t.Context(), &CredentialOptions{Name: User(carol), Store: Store{Password: "carol's"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
	if err := c.StoreInto(t.Context(), Store{CCache: cc, Password: "unused"}, false); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadCache(t.Context(), cc); err != nil || got.Principal != carol+"@NEGO.TEST" || got.tgt() == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// An impersonated credential serves many at once, as the others do, and is gone without a trace afterwards; so is what an
// abandoned call gets.
func TestImpersonateConcurrently(t *testing.T) {
	if alone(t) {
		return
	}
	service := newServiceCredential(t, Both)
	var wg sync.WaitGroup
	for _, user := range []string{"alice", "bob", "alice", "bob"} {
		wg.Go(func() {
			c, err := service.Impersonate(t.Context(), User(user))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			var users sync.WaitGroup
			for range 4 {
				users.Go(func() {
					i, a := NewInitiator(www, &Options{Credential: c, Flags: FlagMutual}), NewAcceptor(&Options{Credential: service})
					defer i.Close()
					defer a.Close()
					if err := handshake(i, a); err != nil {
						t.Error(err)
					} else if got := a.Info().Initiator.String(); got != user+"@NEGO.TEST" {
						t.Errorf("%s, want %s", got, user)
					}
				})
			}
			users.Wait()
		})
	}
	wg.Wait()
	service.Close()
	settle(t)
}

func TestImpersonateIsCancelled(t *testing.T) {
	if alone(t) {
		return
	}
	service := newServiceCredential(t, Initiate)
	if c, err := service.Impersonate(t.Context(), User("bob")); err != nil { // so that a copy is there
		t.Fatal(err)
	} else {
		c.Close()
	}
	requests, end := silence(t)
	cause := errors.New("the user went home")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-requests; cancel(cause) }()
	if _, err := service.Impersonate(ctx, User("bob")); !errors.Is(err, cause) || !strings.Contains(err.Error(), "impersonate bob") {
		t.Error(err)
	}
	service.Close() // while the call is inside the library
	end()
	settle(t)
}

// A call that nobody waits for any more gives its credential back.
func TestImpersonateIsAbandoned(t *testing.T) {
	if alone(t) {
		return
	}
	service := newServiceCredential(t, Initiate)
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if c, err := service.Impersonate(ctx, User("bob")); err == nil {
			c.Close()
		}
	}
	service.Close()
	settle(t)
}

//go:build cgo && unix && !heimdal

package gssapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// bare makes a token without a context.
func bare(t testing.TB, target Name, o Options) (*SecContext, []byte) {
	t.Helper()
	o.AuthOnly = true
	mustWarm(t, target, &o)
	c, token, _, err := first(target, &o)
	t.Cleanup(func() { c.Close() })
	if c.by == nil || err != nil {
		t.Fatal(c.by, err)
	}
	return c, token
}

// A token without a context is like one with it, for who makes it and for who takes it.
func TestBareTokenIsLikeNative(t *testing.T) {
	bindings := &ChannelBinding{Data: []byte("some data")}
	for _, tc := range []struct {
		name     string
		target   Name
		o        Options
		acceptor *ChannelBinding
	}{
		{"SPNEGO", www, Options{}, nil},
		{"krb5", www, Options{Mech: KRB5}, nil},
		{"flags", www, Options{Flags: FlagIdentify | FlagExtendedError | FlagConfidential | FlagSequence | FlagReplay}, nil},
		{"flags, krb5", www, Options{Mech: KRB5, Flags: FlagIdentify | FlagReplay}, nil},
		{"bindings", www, Options{ChannelBinding: bindings}, bindings},
		{"addresses", www, Options{ChannelBinding: &ChannelBinding{2, 2, []byte{127, 0, 0, 1}, []byte{127, 0, 0, 2}, nil}}, &ChannelBinding{2, 2, []byte{127, 0, 0, 1}, []byte{127, 0, 0, 2}, nil}},
		{"principal", Principal("HTTP/www.nego.test@NEGO.TEST"), Options{}, nil},
		{"principal of the default realm, krb5", Principal("HTTP/www.nego.test"), Options{Mech: KRB5}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			type end struct {
				initiator, acceptor Info
				established         bool
				key                 int32
			}
			finish := func(c *SecContext, token []byte) (e end) {
				a := NewAcceptor(&Options{ChannelBinding: tc.acceptor})
				defer a.Close()
				answer, err := a.Step(ctx, token)
				if err != nil {
					t.Fatal(err)
				}
				if _, e.key, err = a.SessionKey(); err != nil {
					t.Fatal(err)
				}
				if tc.o.Mech != KRB5 {
					if who := c.Info().Initiator.String(); who != "user@NEGO.TEST" {
						t.Errorf("of %q before the answer", who)
					}
					if _, err := c.Step(ctx, answer); err != nil {
						t.Fatal(err)
					}
				}
				e.initiator, e.acceptor, e.established = c.Info(), a.Info(), c.Established() && a.Established()
				return e
			}
			c, token := native(t, tc.target, &tc.o)
			b, bareToken := bare(t, tc.target, tc.o)
			if d := len(token) - len(bareToken); d < -20 || d > 20 {
				t.Errorf("%d bytes, and the library's own has %d", len(bareToken), len(token))
			}
			if !bytes.Equal(head(token), head(bareToken)) || !bytes.Equal(ticketIn(token), ticketIn(bareToken)) {
				t.Errorf("%x\nthe library's own:\n%x", bareToken, token)
			}
			want, got := finish(c, token), finish(b, bareToken)
			for _, i := range []struct{ want, got *Info }{{&want.initiator, &got.initiator}, {&want.acceptor, &got.acceptor}} {
				if d := i.want.Expires.Sub(i.got.Expires).Abs(); d > 2*time.Second { // asked for at another second
					t.Errorf("expires %v apart", d)
				}
				i.want.Expires = i.got.Expires
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%+v\nthe library's own:\n%+v", got, want)
			}
		})
	}
}

// A replay cache, which knows what it has seen, takes each of many, and none twice.
func TestBareTokensAreOnesOfTheirOwn(t *testing.T) {
	keys, err := Acquire(ctx, &CredentialOptions{Usage: Accept, Store: Store{Keytab: realm.KeytabFile, RCache: "file2:" + filepath.Join(t.TempDir(), "rcache")}})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	accept := func(token []byte) error {
		a := NewAcceptor(&Options{Credential: keys})
		defer a.Close()
		_, err := a.Step(ctx, token)
		return err
	}
	for range 500 {
		c, token := bare(t, www, Options{})
		c.Close()
		if err := accept(token); err != nil {
			t.Fatal(err)
		}
		if err := accept(token); !errors.Is(err, ErrFailure) && !errors.Is(err, ErrDuplicateElement) {
			t.Fatal(err)
		}
	}
}

// Tokens are the caller's, who may write over them: also the one that the stencil was cut from.
func TestBareTokenIsNotTheCallersMemory(t *testing.T) {
	dropSnapshots()
	mustWarm(t, www, &Options{})
	made := false
	for end := time.Now().Add(20 * time.Second); !made && time.Now().Before(end); {
		c, token, _, err := first(www, &Options{AuthOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if made = c.by != nil; made {
			a := NewAcceptor(nil)
			if _, err := a.Step(ctx, token); err != nil {
				t.Error(err)
			}
			a.Close()
		}
		clear(token)
		c.Close()
	}
	if !made {
		t.Error("each token has a context")
	}
}

// Bindings are of each token, and not of the first; they are any number, and not all are worth a stencil.
func TestBareTokensHaveTheirOwnBindings(t *testing.T) {
	dropSnapshots()
	for n := range 2 * (maxStencils - 2) {
		given, wanted := &ChannelBinding{Data: fmt.Append(nil, n/2)}, &ChannelBinding{Data: fmt.Append(nil, n/2)}
		if n%4 == 3 {
			wanted.Data = []byte("other")
		}
		_, token := bare(t, www, Options{ChannelBinding: given})
		a := NewAcceptor(&Options{ChannelBinding: wanted})
		defer a.Close()
		switch _, err := a.Step(ctx, token); {
		case n%4 == 3 && !errors.Is(err, ErrBadBindings), n%4 < 3 && (err != nil || a.Info().Flags&FlagChannelBound == 0):
			t.Error(n, err)
		}
	}
	token := func(n int) bool {
		c, token, snapped, err := first(www, &Options{AuthOnly: true, ChannelBinding: &ChannelBinding{Data: fmt.Append(nil, n)}})
		if err != nil || !snapped {
			t.Fatal(snapped, err)
		}
		defer c.Close()
		a := NewAcceptor(&Options{ChannelBinding: &ChannelBinding{Data: fmt.Append(nil, n)}})
		defer a.Close()
		if _, err := a.Step(ctx, token); err != nil || a.Info().Flags&FlagChannelBound == 0 {
			t.Error(n, err)
		}
		return c.by != nil
	}
	mustWarm(t, www, nil)
	n := 0
	for range 3 {
		n = 0
		for i := range 2 * maxStencils {
			if token(i) {
				n++
			}
		}
	}
	if n == 0 || n > maxStencils {
		t.Errorf("%d stencils", n)
	}
}

// What has no context cannot go on without one, and what it goes on with is nobody else's.
func TestBareTokenIsAnswered(t *testing.T) {
	answer := func(token []byte) []byte {
		a := NewAcceptor(nil)
		defer a.Close()
		out, err := a.Step(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	state := func(n byte) []byte { return der(0xa0, der(0x0a, []byte{n})) }
	mech := func(o OID) []byte { return der(0xa1, der(0x06, []byte(o))) }
	none := der(0xa2, der(0x04))
	resp := func(fields ...[]byte) []byte { return der(0xa1, der(0x30, fields...)) }
	for _, tc := range []struct {
		name   string
		answer []byte
		fails  bool
	}{
		{"empty", nil, true},
		{"no token", []byte("no token"), true},
		{"accepted", resp(state(0), mech(KRB5)), false},
		{"accepted, and something behind", append(resp(state(0), mech(KRB5)), 0), false},
		{"accepted, nothing about the mechanism", resp(state(0)), false},
		{"accepted by another mechanism", resp(state(0), mech(NTLMSSP)), true},
		{"accepted by Kerberos of Windows 2000", resp(state(0), mech(KRB5MS)), false},
		{"accepted, with an empty token", resp(state(0), mech(KRB5), none), false},
		{"accepted, with a token", resp(state(0), mech(KRB5), []byte{0xa2, 3, 4, 1, 1}), true},
		{"half", resp(state(1), mech(KRB5)), false},
		{"rejected", resp(state(2)), true},
		{"rejected, with the mechanism", resp(state(2), mech(KRB5)), true},
		{"a sum is wanted", resp(state(3), mech(KRB5)), false},
		{"no state", resp(mech(KRB5)), false},
	} {
		c, token := native(t, www, nil)
		answer(token)
		_, want := c.Step(ctx, tc.answer)
		b, token := bare(t, www, Options{})
		good := answer(token)
		_, got := b.Step(ctx, tc.answer)
		if (want != nil) != tc.fails || fmt.Sprint(got) != fmt.Sprint(want) || c.Established() != b.Established() {
			t.Errorf("%s: %v, %t\nthe library's own:\n%v, %t", tc.name, got, b.Established(), want, c.Established())
		}
		if _, err := b.Step(ctx, good); err == nil || b.Established() == tc.fails {
			t.Errorf("%s: it goes on, %v", tc.name, err)
		}
		c.Close()
		b.Close()
		dropSnapshots() // the stencil of a service that wants more is bad
	}
	c, token := bare(t, www, Options{})
	c.Close()
	if _, err := c.Step(ctx, answer(token)); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	c, token = bare(t, www, Options{})
	ended, end := context.WithCancelCause(ctx)
	end(errors.New("enough"))
	if _, err := c.Step(ended, answer(token)); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Error(err)
	}
	c, _ = bare(t, www, Options{Mech: KRB5})
	if _, err := c.Step(ctx, nil); err == nil || !strings.Contains(err.Error(), "established already") {
		t.Error(err)
	}
	settle(t)
}

// An acceptor may add a checksum of the list of mechanisms to the news that the first one will do (RFC 4178 section 5). It is made
// with the key of the token that was sent, which is gone.
func TestBareTokenIsAnsweredWithAChecksum(t *testing.T) {
	answer := func(token []byte, mech []byte) []byte {
		a := NewAcceptor(nil)
		defer a.Close()
		if _, err := a.Step(ctx, token); err != nil {
			t.Fatal(err)
		}
		b, _, _ := cutDER(token, 0x60)
		_, b, _ = cutDER(b, 0x06)
		for _, tag := range []byte{0xa0, 0x30, 0xa0} {
			b, _, _ = cutDER(b, tag)
		}
		mic, err := a.MIC(b)
		if err != nil {
			t.Fatal(err)
		}
		return der(0xa1, der(0x30, der(0xa0, der(0x0a, []byte{0})), mech, der(0xa3, der(0x04, mic))))
	}
	for _, mech := range [][]byte{der(0xa1, der(0x06, []byte(KRB5))), der(0xa1, der(0x06, []byte(KRB5MS))), nil} {
		c, token := native(t, www, nil)
		if _, err := c.Step(ctx, answer(token, mech)); err != nil || !c.Established() {
			t.Fatal(err)
		}
		b, token := bare(t, www, Options{})
		if _, err := b.Step(ctx, answer(token, mech)); err != nil || !b.Established() {
			t.Error(err)
		}
		if b.Info().Initiator != c.Info().Initiator || b.Info().Mech != c.Info().Mech {
			t.Errorf("%+v", b.Info())
		}
	}
}

func init() {
	children["answered late"] = func() {
		p := place{dir: env("TEST_DIR")}
		os.Setenv("KRB5CCNAME", "FILE:"+p.path("cc"))
		p.copy("0", "cc")
		must(warm(www, asked))
		c, token, _, err := first(www, asked)
		must(err)
		a := NewAcceptor(nil)
		answer, err := a.Step(ctx, token)
		must(err)
		if to := env("TEST_TO"); to != "" {
			p.copy(to, "cc")
		} else {
			must(os.Remove(p.path("cc")))
		}
		if env("TEST_MORE") != "" {
			answer = answer[:len(answer)-1]
		}
		_, err = c.Step(ctx, answer)
		fmt.Println(c.Established(), c.Info().Initiator, err)
	}
}

// Who has become somebody else by the answer is still the one if it says no more than that the token is accepted, and does not go on
// as the one if it does.
func TestBareTokenIsAnsweredLate(t *testing.T) {
	dir := t.TempDir()
	users := twoUsers(t, dir)
	who := users[0] + "@NEGO.TEST"
	for _, tc := range []struct{ to, more, want string }{
		{"1", "", "true " + who + " <nil>"},
		{"", "", "true " + who + " <nil>"},
		{"1", "1", "false " + who + " gssapi: cannot initiate a context with HTTP@www.nego.test: the default credential is somebody else's by now: " + who + " has sent the first token"},
		{"", "1", "false " + who + " gssapi: cannot initiate a context with HTTP@www.nego.test: there are no credentials"},
	} {
		out := child(t, "answered late", "TEST_AUTH_ONLY=1", "TEST_DIR="+dir, "TEST_TO="+tc.to, "TEST_MORE="+tc.more)
		if !strings.HasPrefix(out, tc.want) {
			t.Errorf("%swant %s", out, tc.want)
		}
	}
}

// Settings that reach into the authenticator do so without a context too.
func TestBareTokenHasSettings(t *testing.T) {
	conf, err := os.ReadFile(realm.Config)
	must(err)
	file := filepath.Join(t.TempDir(), "krb5.conf")
	must(os.WriteFile(file, []byte("[libdefaults]\n client_aware_channel_bindings = true\n"+string(conf)), 0o600))
	for _, aware := range []string{realm.Config, file} {
		out := child(t, "authenticator", "KRB5_CONFIG="+aware, "TEST_AUTH_ONLY=1")
		// AD-IF-RELEVANT with AP options, [MS-KILE] section 3.2.5.8, or nothing.
		if want := fmt.Sprintf("%t\n%t\n", aware == file, aware == file); out != want {
			t.Errorf("%s, %swant %s", aware, out, want)
		}
	}
}

func init() {
	children["authenticator"] = func() {
		must(warm(www, asked))
		for _, o := range []*Options{asked, {}} {
			c, token, snapped, err := first(www, o)
			must(err)
			if !snapped || (c.by != nil) != o.AuthOnly {
				panic("it came another way")
			}
			_, request := split(token, tokenTags(SPNEGO)...)
			g, st, sn := kept.lend(service{www, SPNEGO})
			fields, ok := authenticator(open(sn, request))
			kept.put(g, st, sn, true)
			fmt.Println(ok && bytes.Contains(fields[8], []byte{0, 0x40, 0, 0}))
		}
	}
}

// All kinds of keys that sessions have.
func TestBareTokenHasEachEnctype(t *testing.T) {
	types := map[string]string{"aes256": "aes256-cts", "aes128": "aes128-cts", "sha256": "aes128-sha2", "sha384": "aes256-sha2",
		"camellia128": "camellia128-cts-cmac", "camellia256": "camellia256-cts-cmac", "des3": "des3-cbc-sha1", "rc4": "arcfour-hmac"}
	r := sessionRealm(t, types)
	for host, name := range types {
		conf := filepath.Join(t.TempDir(), "krb5.conf")
		own, err := os.ReadFile(r.Config)
		must(err)
		must(os.WriteFile(conf, []byte("[libdefaults]\n permitted_enctypes = "+name+" aes256-cts\n"+string(own)), 0o600))
		out := child(t, "each enctype", append(r.Env(), "KRB5_CONFIG="+conf, "TEST_HOST="+host, "TEST_AUTH_ONLY=1")...)
		if want := fmt.Sprintf("true %d <nil>\n", enctypeNumbers[host]); out != want {
			t.Errorf("%s: %swant %s", host, out, want)
		}
	}
}

var enctypeNumbers = map[string]int{"aes256": 18, "aes128": 17, "sha256": 19, "sha384": 20, "camellia128": 25, "camellia256": 26, "des3": 16, "rc4": 23}

func init() {
	children["each enctype"] = func() {
		target := Service("HTTP", env("TEST_HOST")+".nego.test")
		must(warm(target, asked))
		c, token, _, err := first(target, asked)
		must(err)
		a := NewAcceptor(nil)
		_, err = a.Step(ctx, token)
		g, st, sn := kept.lend(service{target, SPNEGO})
		_, request := split(token, tokenTags(SPNEGO)...)
		fields, _ := authenticator(open(sn, request))
		kept.put(g, st, sn, true)
		var s strict
		key := s.only(fields[fieldSubkey], 0x30)
		number := s.only(s.cut(&key, 0xa0), 0x02)
		fmt.Println(c.by != nil, number[len(number)-1], err)
	}
}

func init() {
	children["a service of another realm"] = func() {
		target := Principal("HTTP/b@B.X")
		must(warm(target, asked))
		c, token, snapped, err := first(target, asked)
		must(err)
		a := NewAcceptor(nil)
		answer, err := a.Step(ctx, token)
		must(err)
		_, err = c.Step(ctx, answer)
		fmt.Println(snapped, c.Info().Initiator, c.Info().Acceptor, a.Info().Initiator, a.Info().Acceptor, err)
	}
}

// A ticket that other realms have led to is as good as any.
func TestBareTokenForAnotherRealm(t *testing.T) {
	env := transitedRealms(t)
	wholeAndBare(t, func(t *testing.T, how string) {
		if out := child(t, "a service of another realm", append(env, how)...); out != "true user@A.X HTTP/b@B.X user@A.X HTTP/b@B.X <nil>\n" {
			t.Error(out)
		}
	})
}

// A context is made wherever more than a token is wanted of it.
func TestBareTokenIsNotMade(t *testing.T) {
	for name, o := range map[string]Options{
		"not asked for": {},
		"mutual":        {AuthOnly: true, Flags: FlagMutual},
		"three legs":    {AuthOnly: true, Flags: FlagDCEStyle, Mech: KRB5},
		"a lifetime":    {AuthOnly: true, Lifetime: time.Minute},
		"delegation":    {AuthOnly: true, Flags: FlagDelegate},
		"anonymous":     {AuthOnly: true, Flags: FlagAnonymous},
		"a credential":  {AuthOnly: true, Credential: newTicket(t, "alice")},
	} {
		bare(t, www, Options{})
		for range 3 {
			c, _, _, _ := first(www, &o)
			if c.by != nil {
				t.Errorf("%s: there is none", name)
			}
			c.Close()
		}
	}
}

// Where the library's token is another one than what would be made, the library makes each.
func TestStencilIsBad(t *testing.T) {
	_, token := bare(t, www, Options{})
	_, other := native(t, Service("HTTP", "localhost"), nil)
	_, delegating := native(t, www, &Options{Flags: FlagDelegate})
	_, mutual := native(t, www, &Options{Flags: FlagMutual})
	_, raw := native(t, www, &Options{Mech: KRB5})
	whole, _ := native(t, www, nil)
	conf, err := os.ReadFile(realm.Config)
	must(err)
	file := filepath.Join(t.TempDir(), "krb5.conf")
	must(os.WriteFile(file, []byte("[libdefaults]\n client_aware_channel_bindings = true\n"+string(conf)), 0o600))
	aware, err := hex.DecodeString(child(t, "token", "KRB5_CONFIG="+file))
	must(err)
	mustWarm(t, www, &Options{})
	g, st, sn := kept.lend(service{www, SPNEGO})
	if g == nil {
		t.Fatal("there is no snapshot")
	}
	defer kept.put(g, st, sn, true)
	l := &leg{opts: Options{AuthOnly: true, Mech: SPNEGO}, handle: whole.handle}
	for _, tc := range []struct {
		name  string
		token []byte
		bad   bool
	}{
		{"its own", token, false},
		{"of another service", other, true},
		{"with delegation", delegating, true},
		{"mutual", mutual, true},
		{"of another mechanism", raw, true},
		{"with more in its authenticator alone", aware, true},
		{"cut", token[:len(token)-1], true},
		{"longer", append(bytes.Clone(token), 0), true},
		{"none", nil, true},
	} {
		if s := cut(g.watch, sn, l, result{out: tc.token, major: statusContinue}); s == nil || s.bad.Load() != tc.bad {
			t.Errorf("%s: not %t", tc.name, tc.bad)
		}
	}
}

func init() {
	children["token"] = func() {
		c, token, _, err := first(www, nil)
		must(err)
		defer c.Close()
		fmt.Printf("%x", token)
	}
}

// Tokens for the same service that want different flags or bindings are by different stencils, while all of them are there, and
// those that no stencil serves are no try for one.
func TestStencilIsForFlagsAndBindings(t *testing.T) {
	dropSnapshots()
	bindings := []*ChannelBinding{nil, {Data: []byte("one")}, {Data: []byte("two")}}
	flags := []Flags{0, FlagReplay | FlagSequence}
	for range 2 { // cut, and then used among the others
		for _, b := range bindings {
			for _, f := range flags {
				c, token := bare(t, www, Options{Flags: f, ChannelBinding: b})
				a := NewAcceptor(&Options{ChannelBinding: b})
				_, err := a.Step(ctx, token)
				const asked = FlagReplay | FlagSequence
				if got := a.Info().Flags; err != nil || got&asked != f || got&FlagChannelBound != 0 != (b != nil) {
					t.Errorf("%s, %v: %s, %v", f, b, got, err)
				}
				a.Close()
				c.Close()
			}
		}
	}
	for _, o := range []Options{{AuthOnly: true, Flags: FlagMutual}, {AuthOnly: true, Flags: FlagDCEStyle}, {AuthOnly: true, Lifetime: time.Minute}, {Flags: FlagIdentify}} {
		c, _, _, _ := first(www, &o)
		c.Close()
	}
	g, st, sn := kept.lend(service{www, SPNEGO})
	if g == nil {
		t.Fatal("there is no snapshot")
	}
	defer kept.put(g, st, sn, true)
	if all := *st.stencils.Load(); len(all) != len(bindings)*len(flags) {
		t.Errorf("%d stencils", len(all))
	}
}

// What another call has cut meanwhile is not kept twice, and what is no stencil is not kept.
func TestStencilIsKeptOnce(t *testing.T) {
	var s snapshots
	var st stock
	for n, tc := range []struct {
		more *stencil
		want int
	}{
		{nil, 0}, {&stencil{}, 1}, {&stencil{}, 1}, {&stencil{flags: FlagReplay}, 2}, {&stencil{bindings: "b"}, 3},
		{&stencil{flags: FlagReplay, bindings: "b"}, 4}, {&stencil{bindings: "b"}, 4}, {nil, 4},
	} {
		before := st.stencils.Load()
		var was []*stencil
		if before != nil {
			was = slices.Clone(*before)
		}
		s.keep(&st, tc.more)
		got := 0
		if all := st.stencils.Load(); all != nil {
			got = len(*all)
		}
		if got != tc.want || before != nil && !slices.Equal(*before, was) {
			t.Errorf("%d: %d are kept", n, got)
		}
	}
	for n := range 2 * maxStencils {
		s.keep(&st, &stencil{bindings: fmt.Sprint(n)})
	}
	if n := len(*st.stencils.Load()); n != maxStencils {
		t.Errorf("%d are kept", n)
	}
}

func TestBadStencilIsNotUsed(t *testing.T) {
	c, _ := bare(t, www, Options{})
	c.Close()
	g, st, sn := kept.lend(service{www, SPNEGO})
	(*st.stencils.Load())[0].bad.Store(true)
	kept.put(g, st, sn, true)
	for range 3 {
		c, _, snapped, err := first(www, &Options{AuthOnly: true})
		if c.by != nil || !snapped || err != nil {
			t.Error(c.by, snapped, err)
		}
		c.Close()
	}
}

// Authenticators differ where they may, and nowhere else.
func TestSameAuthenticator(t *testing.T) {
	key := func(typ byte, n int) []byte {
		return der(0x30, der(0xa0, der(0x02, []byte{typ})), der(0xa1, der(0x04, bytes.Repeat([]byte{typ}, n))))
	}
	sum := der(0x30, der(0xa0, der(0x02, []byte{0, 0x80, 3})), der(0xa1, der(0x04, make([]byte, 24))))
	fields := [][]byte{{0x02, 1, 5}, {0x1b, 1, 'R'}, {0x30, 0}, sum, {0x02, 1, 7}, {0x18, 1, 'Z'}, key(18, 32), {0x02, 1, 9}, {0x30, 0}}
	encode := func(fields [][]byte) []byte {
		var b [][]byte
		for n, f := range fields {
			if f != nil {
				b = append(b, der(0xa0+byte(n), f))
			}
		}
		return der(0x62, der(0x30, b...))
	}
	whole := encode(fields)
	if !sameAuthenticator(whole, whole) || checksum(whole) == nil || !sameAuthenticator(whole, append(bytes.Clone(whole), 0, 0, 0)) {
		t.Fatal("one is not like itself")
	}
	for _, tc := range []struct {
		field int
		to    []byte
		same  bool
	}{
		{0, []byte{0x02, 1, 4}, false}, {1, []byte{0x1b, 1, 'S'}, false}, {2, []byte{0x30, 1}, false}, {3, nil, false},
		{3, bytes.Replace(sum, make([]byte, 24), bytes.Repeat([]byte{1}, 24), 1), false},
		{4, []byte{0x02, 2, 1, 1}, true}, {4, nil, false}, {5, []byte{0x18, 1, 'Y'}, true}, {5, nil, false},
		{6, key(17, 32), false}, {6, key(18, 16), false}, {6, nil, false}, {6, []byte{0x30, 0}, false},
		{6, bytes.Replace(key(18, 32), []byte{18, 18}, []byte{1, 1}, 1), true},
		{7, []byte{0x02, 4, 1, 1, 1, 1}, true}, {7, nil, false}, {8, nil, false}, {8, []byte{0x30, 1, 1}, false},
	} {
		changed := slices.Clone(fields)
		changed[tc.field] = tc.to
		other := encode(changed)
		if sameAuthenticator(whole, other) != tc.same || sameAuthenticator(other, whole) != tc.same {
			t.Errorf("field %d, %x: not %t", tc.field, tc.to, tc.same)
		}
		if (checksum(other) != nil) != (tc.field != 3 || tc.to != nil) {
			t.Errorf("field %d, %x: checksum", tc.field, tc.to)
		}
	}
	// What neither has is not taken for what is behind it.
	lacking := slices.Clone(fields)
	lacking[fieldChecksum], lacking[8] = nil, nil
	if !sameAuthenticator(encode(lacking), encode(lacking)) || checksum(encode(lacking)) != nil {
		t.Error("without a checksum")
	}
	for _, bad := range [][]byte{{0x30, 0}, {5, 0}, der(0x30, key(18, 32)[2:], []byte{5, 0}), append(key(18, 32), 5, 0)} {
		changed := slices.Clone(fields)
		changed[fieldSubkey] = bad
		if sameAuthenticator(encode(changed), encode(changed)) || sameAuthenticator(whole, encode(changed)) {
			t.Errorf("%x is a key", bad)
		}
	}
	turned := der(0x62, der(0x30, der(0xa1, fields[1]), der(0xa0, fields[0])))
	for _, bad := range [][]byte{nil, {0x62}, turned, whole[:len(whole)-1], der(0x62, der(0x30), []byte{5, 0}), der(0x61, whole[2:]), encode(append(slices.Clone(fields), []byte{5, 0}))} {
		if _, ok := authenticator(bad); ok || sameAuthenticator(bad, bad) || checksum(bad) != nil {
			t.Errorf("%x is one", bad)
		}
	}
	for _, sum := range [][]byte{
		der(0x30, der(0xa0, der(0x02, []byte{0, 0x80, 3})), der(0xa1, der(0x04, make([]byte, 28)))), // with a ticket, or IAKERB's
		der(0x30, der(0xa0, der(0x02, []byte{0, 0x80, 3})), der(0xa1, der(0x04, make([]byte, 20)))),
		der(0x30, der(0xa0, der(0x02, []byte{15})), der(0xa1, der(0x04, make([]byte, 24)))),
		append(bytes.Clone(sum), 5, 0),
		der(0x30, sum[2:], []byte{5, 0}),
	} {
		changed := slices.Clone(fields)
		changed[3] = sum
		if checksum(encode(changed)) != nil {
			t.Errorf("%x is a checksum of GSSAPI's", sum)
		}
	}
}

// What is taken apart and put together is the same, at all lengths that headers have.
func TestStencilPutsTogether(t *testing.T) {
	wrap := func(n int) []byte {
		inner := append(appendHeader(nil, 0x6e, n), bytes.Repeat([]byte{0x55}, n)...)
		s := &stencil{around: []frame{{0x60, []byte{6, 1, 9}, nil}, {0xa0, nil, nil}, {0x30, []byte{0xa0, 0}, []byte{0xa3, 0}}, {0xa2, nil, nil}, {0x04, nil, nil}, {0x60, []byte{6, 1, 9, 1, 0}, nil}}}
		return s.token(inner)
	}
	for _, n := range []int{0, 1, 100, 105, 110, 115, 120, 127, 128, 200, 240, 250, 255, 256, 1000, 65500, 65520, 65535, 65536, 70000, 1 << 20} {
		token := wrap(n)
		around, inner := split(token, tokenTags(SPNEGO)...)
		if len(around) != 6 || len(inner) < n || !bytes.Equal((&stencil{around: around}).token(inner), token) {
			t.Errorf("%d bytes", n)
		}
		if len(token) != cap(token) {
			t.Errorf("%d bytes, and %d were expected", len(token), cap(token))
		}
	}
	_, token := native(t, www, nil)
	around, inner := split(token, tokenTags(SPNEGO)...)
	if !bytes.Equal((&stencil{around: around}).token(inner), token) {
		t.Errorf("%x", token)
	}
}

// What is not as the tags say is not taken apart, and ends.
func TestStencilTakesNothingElseApart(t *testing.T) {
	for _, b := range [][]byte{
		nil, {0x60}, {0x60, 0}, {0x60, 1}, {0x61, 2, 0x6e, 0}, {0x60, 2, 0x6f, 0}, {0x60, 2, 0x6e, 1}, {0x60, 2, 0x6e, 0, 0},
		{0x60, 4, 6, 3, 0x6e, 0}, {0x60, 5, 6, 1, 9, 0x6e, 1}, {0x60, 3, 6, 0x81, 0}, {0x60, 0x81, 2, 0x6e, 0},
	} {
		if around, inner := split(b, 0x60, 0x6e); around != nil || inner != nil {
			t.Errorf("%x: %v, %x", b, around, inner)
		}
	}
}

// Requests differ in their authenticators, and nowhere else.
func TestRequestsAreAlike(t *testing.T) {
	request := func(before, cipher, after, behind string) []byte {
		return der(0x6e, der(0x30, []byte(before), der(0xa4, der(0x30, der(0xa2, der(0x04, []byte(cipher)), []byte(after)))), []byte(behind)))
	}
	const one, two = "\xa0\x01a", "\xa0\x01b"
	whole := request(one, "cipher", one, one)
	for n, tc := range []struct {
		b    []byte
		like bool
	}{
		{whole, true}, {request(one, "another", one, one), true}, {request(two, "cipher", one, one), false},
		{request(one, "cipher", two, one), false}, {request(one, "cipher", one, two), false}, {request(one, "cipher", one, ""), false}, {nil, false}, {whole[1:], false},
	} {
		if alike(whole, tc.b) != tc.like || alike(tc.b, whole) != tc.like {
			t.Errorf("%d: not %t", n, tc.like)
		}
	}
}

// Many at once, each one's own.
func TestBareTokensAtOnce(t *testing.T) {
	settle(t)
	c, _ := bare(t, www, Options{})
	c.Close()
	alive := liveObjects()
	const callers, each = 16, 200
	tokens := make(chan []byte, callers*each)
	errs := make(chan error, callers)
	for range callers {
		go func() {
			var err error
			for n := range each {
				o := &Options{AuthOnly: true}
				if n%10 == 0 {
					o.ChannelBinding = &ChannelBinding{Data: binary.BigEndian.AppendUint32(nil, uint32(n/50))}
				}
				c := NewInitiator(www, o)
				token, e := c.Step(ctx, nil)
				c.Close()
				err = cmp.Or(err, e)
				tokens <- token
			}
			errs <- err
		}()
	}
	seen := map[string]bool{}
	for range callers * each {
		token := <-tokens
		_, request := split(token, tokenTags(SPNEGO)...)
		if request == nil || seen[string(token)] {
			t.Fatalf("%x, made before: %t", token, seen[string(token)])
		}
		seen[string(token)] = true
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if more := liveObjects() - alive; more > int64(2*enough()) { // snapshots that the callers had use for
		t.Errorf("%d C objects more than before", more)
	}
	settle(t)
}

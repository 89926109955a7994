package gssapi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func init() {
	children["initiate"] = func() {
		for _, mech := range []OID{SPNEGO, KRB5} {
			c := NewInitiator(Service("HTTP", "localhost"), &Options{Mech: mech})
			_, err := c.Step(context.Background(), nil)
			c.Close()
			report(err)
		}
		_, err := Acquire(context.Background(), nil)
		report(err)
	}
	for _, name := range []string{"initiate", "accept"} {
		children[name+" as nobody"] = func() {
			becomeNobody()
			children[name]()
		}
	}
	children["accept"] = func() {
		c := NewAcceptor(nil)
		defer c.Close()
		_, err := c.Step(context.Background(), []byte("a token"))
		report(err)
		_, err = Acquire(context.Background(), &CredentialOptions{Usage: Accept, Name: Service("HTTP", "")})
		report(err)
	}
}

// report prints an error as code, tab, text.
func report(err error) {
	if e := (*Error)(nil); errors.As(err, &e) {
		fmt.Printf("%v\t%v expired: %v\n", e.Code, err, errors.Is(err, ErrCredentialsExpired))
	} else {
		fmt.Printf("%T\t%v\n", err, err)
	}
}

// wantReports checks that each reported error has the code and holds every text.
func wantReports(t *testing.T, out string, n int, code Code, texts ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != n {
		t.Fatalf("%d errors, want %d:\n%s", len(lines), n, out)
	}
	for _, line := range lines {
		got, text, _ := strings.Cut(line, "\t")
		if got != code.Error() {
			t.Errorf("code %q, want %q: %s", got, code.Error(), text)
		}
		for _, want := range texts {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in %q", want, text)
			}
		}
	}
}

func TestErrorNoTicket(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "cc")
	out := child(t, "initiate", "KRB5CCNAME=FILE:"+missing)
	wantReports(t, out, 3, ErrNoCred, "FILE:"+missing, "run kinit", "KRB5CCNAME")
}

func TestErrorExpiredTicket(t *testing.T) {
	cc := filepath.Join(t.TempDir(), "cc")
	if err := realm.Kinit(t.Context(), "alice", "FILE:"+cc); err != nil {
		t.Fatal(err)
	}
	end := expire(t, cc)
	out := child(t, "initiate", "KRB5CCNAME=FILE:"+cc)
	steps, acquire, _ := cutLast(strings.TrimSpace(out), "\n")
	texts := []string{"FILE:" + cc, "expired at " + end.Format(time.RFC3339), "run kinit alice@NEGO.TEST", "expired: true"}
	wantReports(t, steps, 2, ErrFailure, append(texts, either("Ticket expired", "credential not found"))...) // the library's own status
	wantReports(t, acquire, 1, either(ErrCredentialsExpired, ErrNoCred), texts...)
	if strings.Contains(out, "Success") {
		t.Error(out)
	}
}

func TestErrorBrokenConfig(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(conf, []byte("[libdefaults\n default_realm = NEGO.TEST\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := child(t, "initiate", "KRB5_CONFIG="+realm.Config+":"+conf)
	if heimdal { // which goes on without that file
		if out != strings.Repeat("<nil>\t<nil>\n", 3) {
			t.Error(out)
		}
		return
	}
	if strings.Count(out, conf) != 3 || strings.Count(out, "KRB5_CONFIG") != 3 || strings.Contains(out, realm.Config) {
		t.Errorf("not each error names %s alone:\n%s", conf, out)
	}
}

func TestErrorMissingKeytab(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "keytab")
	out := child(t, "accept", "KRB5_KTNAME=FILE:"+missing)
	wantReports(t, out, 2, ErrNoCred, "FILE:"+missing, "ktadd", "KRB5_KTNAME")
}

func TestErrorWrongKeytab(t *testing.T) {
	_, err := Acquire(t.Context(), &CredentialOptions{Usage: Accept, Name: Service("imap", "www.nego.test"), Store: Store{Keytab: realm.KeytabFile}})
	if !errors.Is(err, ErrNoCred) {
		t.Fatal(err)
	}
	for _, want := range []string{"imap@www.nego.test", realm.KeytabFile, "HTTP/localhost@NEGO.TEST (kvno "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
}

// Each place that cannot be read is named, with what can be done about it there.
func TestErrorUnreadable(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 { // then it is the owner who may not
		if err := os.Chmod(secret, 0); err != nil {
			t.Fatal(err)
		}
	}
	cc := filepath.Join(dir, "cc")
	for _, tc := range []struct {
		child string
		n     int
		env   []string
		texts []string
	}{
		{"initiate as nobody", 3, []string{"KRB5_CONFIG=/dev/null", "KRB5CCNAME=FILE:" + secret}, []string{secret, "make it readable"}},
		{"accept as nobody", 2, []string{"KRB5_CONFIG=/dev/null", "KRB5_KTNAME=FILE:" + secret}, []string{secret, "make it readable"}},
		{"initiate as nobody", 3, []string{"KRB5_CONFIG=" + secret}, either([]string{secret, "make that file readable"}, []string{realm.CCache})},
		{"initiate", 3, []string{"KRB5CCNAME=FOO:bar"}, []string{"FOO:bar", "default_ccache_name"}},
		{"initiate", 3, []string{"KRB5CCNAME=FILE:" + cc}, []string{cc, "run kinit, or set KRB5CCNAME"}},
	} {
		out := strings.TrimSpace(child(t, tc.child, tc.env...))
		lines := strings.Split(out, "\n")
		if len(lines) != tc.n {
			t.Errorf("%s %v: %d errors, want %d:\n%s", tc.child, tc.env, len(lines), tc.n, out)
		}
		for _, line := range lines {
			for _, want := range tc.texts {
				if !strings.Contains(line, want) {
					t.Errorf("%q is not in %q", want, line)
				}
			}
		}
	}
}

func TestErrorUnknownService(t *testing.T) {
	for _, mech := range []OID{SPNEGO, KRB5} {
		c := NewInitiator(Service("HTTP", "unknown.nego.test"), &Options{Mech: mech})
		defer c.Close()
		_, err := c.Step(t.Context(), nil)
		var e *Error
		if !errors.As(err, &e) || e.Code != ErrFailure {
			t.Fatal(err)
		}
		for _, want := range []string{either("HTTP/unknown.nego.test@NEGO.TEST not found", "SERVER (HTTP/unknown.nego.test@NEGO.TEST)"), "HTTP@unknown.nego.test", "user@NEGO.TEST", realm.CCache} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in %q", want, err)
			}
		}
		if _, again := c.Step(t.Context(), nil); again != err {
			t.Errorf("the next step says %v", again)
		}
	}
}

func TestErrorIPAddress(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		c := NewInitiator(Service("HTTP", host), nil)
		defer c.Close()
		_, err := c.Step(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), "IP address") {
			t.Error(err)
		}
		if heimdal && host == "::1" && !errors.Is(err, ErrBadName) { // which reads beyond the end of it
			t.Error(err)
		}
	}
}

func TestErrorKDCDown(t *testing.T) {
	c := NewInitiator(Service("HTTP", "www.nego.test"), &Options{Credential: newTicket(t, "alice")})
	defer c.Close()
	stopKDC(t)
	_, err := c.Step(t.Context(), nil)
	if !errors.Is(err, ErrFailure) {
		t.Fatal(err)
	}
	for _, want := range []string{either("KDC for realm 'NEGO.TEST'", "any KDC in realm NEGO.TEST"), "HTTP@www.nego.test", "alice@NEGO.TEST", "if no KDC is found or answers"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
}

func TestErrorCacheUnreadable(t *testing.T) {
	garbage := filepath.Join(t.TempDir(), "cc")
	if err := os.WriteFile(garbage, []byte("this is no ticket cache"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ReadCache(t.Context(), "FILE:"+garbage)
	if err == nil || !strings.Contains(err.Error(), garbage) {
		t.Error(err)
	}
}

// stopKDC stops the realm's KDC until the test ends.
func stopKDC(t *testing.T) {
	t.Helper()
	if err := realm.StopKDC(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := realm.StartKDC(); err != nil {
			t.Error(err)
		}
	})
}

// newTicket gets a ticket into a cache of the test's own.
func newTicket(t *testing.T, user string) *Credential {
	t.Helper()
	cc := "FILE:" + filepath.Join(t.TempDir(), "cc")
	if err := realm.Kinit(t.Context(), user, cc); err != nil {
		t.Fatal(err)
	}
	c, err := Acquire(t.Context(), &CredentialOptions{Store: Store{CCache: cc}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// expire moves the times of every ticket in a cache file a day into the past, and returns when the
// last one ended. The file's layout is that of version 4, where numbers have the network's order.
func expire(t *testing.T, file string) time.Time {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := 2
	u16 := func() int { at += 2; return int(binary.BigEndian.Uint16(b[at-2:])) }
	u32 := func() int { at += 4; return int(binary.BigEndian.Uint32(b[at-4:])) }
	data := func() { at += u32() }
	principal := func() {
		u32()
		for n := u32() + 1; n > 0; n-- {
			data()
		}
	}
	at += u16()
	principal()
	var end time.Time
	for at < len(b) {
		principal()
		principal()
		u16()
		data()
		for i := range 4 {
			if v := u32(); v != 0 {
				v -= 2 * 86400
				binary.BigEndian.PutUint32(b[at-4:], uint32(v))
				if i == 2 {
					end = time.Unix(int64(v), 0)
				}
			}
		}
		at += 1 + 4
		for range 2 { // addresses, authorisation data
			for n := u32(); n > 0; n-- {
				u16()
				data()
			}
		}
		data()
		data()
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return end
}

// Who has named a cache is not sent to the environment for its name.
func TestErrorCacheNamed(t *testing.T) {
	_, err := Acquire(t.Context(), &CredentialOptions{Store: Store{CCache: "BOGUS:cc"}})
	if err == nil || strings.Contains(err.Error(), "KRB5CCNAME") || !strings.Contains(err.Error(), "BOGUS:cc") || !strings.Contains(err.Error(), "correct the name") {
		t.Error(err)
	}
}

// A cache whose file is damaged is of no use until kinit writes it anew, and the error says so: also where the damage is behind a
// good ticket, as a disk leaves it that was full for a while.
func TestErrorCacheDamaged(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	if err := realm.Kinit(t.Context(), "alice", "FILE:"+whole); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	torn := append(append(append([]byte{}, b...), b[len(b)-100:]...), "\x00\x00\x00\x01 something else"...)
	for what, text := range map[string][]byte{"noise": []byte("no tickets"), "empty": nil, "torn": torn} {
		cc := filepath.Join(dir, what)
		if err := os.WriteFile(cc, text, 0o600); err != nil {
			t.Fatal(err)
		}
		out := strings.TrimSpace(child(t, "initiate", "KRB5CCNAME=FILE:"+cc))
		for line := range strings.SplitSeq(out, "\n") {
			if !heimdal || line != "<nil>\t<nil>" { // it acquires without a look at the tickets
				wantTexts(t, line, cc, "run kinit")
			}
		}
		if _, err := ReadCache(t.Context(), "FILE:"+cc); err == nil {
			t.Errorf("%s: read without an error", what)
		}
	}
}

//go:build interop

package negotiate

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/internal/peers"
	"github.com/nego-sso/nego/krbtest"
)

const (
	aliceName = "alice@NEGO.TEST"
	bobName   = "bob@NEGO.TEST"
)

func twoUsers() *krbtest.Options { return &krbtest.Options{Users: []string{"alice", "bob"}} }

func kinit(t *testing.T, r *krbtest.Realm, principal, ccache string) {
	t.Helper()
	if err := r.Kinit(t.Context(), principal, ccache); err != nil {
		t.Fatal(err)
	}
}

// A program that runs sees a kinit in place, and a kdestroy, with its next request: also where the server has tied the
// former user to the connections.
func TestInteropKinit(t *testing.T) {
	r := inRealm(t, twoUsers(), nil)
	if r == nil {
		return
	}
	s, c := apache(t, r.Env())
	for version, v := range versions(c, s.URL, s.TLSURL) {
		for _, path := range []string{krb5Path, boundPath} {
			for _, preempt := range []Preemption{PreemptNever, PreemptRemember, PreemptAlways} {
				t.Run(version+" "+path+" "+preempt.String(), func(t *testing.T) {
					tr := &Transport{Base: v.base, Preemptive: preempt}
					client := newClient(t, tr)
					for range 3 {
						kinit(t, r, "alice", "")
						getAs(t, client, v.url+path, aliceName)
						getAs(t, client, v.url+path, aliceName)
						kinit(t, r, "bob", "")
						getAs(t, client, v.url+path, bobName)
						req := newRequest(t, "POST", v.url+path, hidden{strings.NewReader("some text")})
						if _, got := doAs(t, client, req, bobName); got.Body != 9 {
							t.Errorf("%+v", got)
						}
						command(t, "kdestroy")
						getRefused(t, client, v.url+path, "FILE:", "run kinit")
						getRefused(t, client, v.url+path)
					}
				})
			}
		}
	}
}

// The same while many requests run: none is served as somebody who was not the user at some time during it.
func TestInteropKinitParallel(t *testing.T) {
	r := inRealm(t, twoUsers(), nil)
	if r == nil {
		return
	}
	s, c := apache(t, r.Env())
	steady(t, c, func() {
		client := &http.Client{Transport: &Transport{Base: c.http1()}}
		for _, user := range []string{"alice", "bob", "alice", "bob", "alice", "bob"} {
			// A long upload is under way as the former user, and comes to its end as that.
			kinit(t, r, user, "")
			pr, pw := io.Pipe()
			done := make(chan error, 1)
			req := newRequest(t, "POST", s.URL+boundPath, pr)
			go func() {
				resp, err := client.Do(req)
				if err == nil {
					b, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					if got := resp.Header.Get("X-Remote-User"); got != user+"@NEGO.TEST" {
						err = errors.New(resp.Status + " as " + got + ": " + string(b))
					}
				}
				done <- err
			}()
			if _, err := pw.Write([]byte("begin")); err != nil { // taken once the server has authenticated the user
				t.Fatal(err)
			}
			next := map[string]string{"alice": "bob", "bob": "alice"}[user]
			kinit(t, r, next, "")
			for range 5 {
				getAs(t, client, s.URL+boundPath, next+"@NEGO.TEST")
			}
			pw.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
			for range 5 {
				getAs(t, client, s.URL+boundPath, next+"@NEGO.TEST")
			}
		}
		client.CloseIdleConnections()
	})
}

// cacheTest is a realm of two users with a server, and a client whose default cache the test chooses.
type cacheTest struct {
	*krbtest.Realm
	s *peers.Server
	c *counted
}

func newCacheTest(t *testing.T, o *krbtest.Options) *cacheTest {
	t.Helper()
	r := inRealm(t, o, nil)
	if r == nil {
		return nil
	}
	x := &cacheTest{Realm: r}
	x.s, x.c = apache(t, r.Env())
	return x
}

// follows checks that a client is who the cache says, and stays with that.
func (x *cacheTest) follows(t *testing.T, cache string) {
	t.Helper()
	setenv("KRB5CCNAME=" + cache)
	client := newClient(t, &Transport{Base: x.c.Transport})
	for _, user := range []string{"alice", "bob", "alice"} {
		kinit(t, x.Realm, user, cache)
		for range 2 {
			getAs(t, client, x.s.URL+boundPath, user+"@NEGO.TEST")
			tells(t, user+"@NEGO.TEST")
		}
	}
	command(t, "kdestroy")
	getRefused(t, client, x.s.URL+boundPath, "run kinit")
}

// tells checks that a token says for whom it is, so that it needs no connection to itself.
func tells(t *testing.T, user string) {
	t.Helper()
	sc := gssapi.NewInitiator(gssapi.Service("HTTP", "localhost"), &gssapi.Options{Flags: gssapi.FlagMutual})
	defer sc.Close()
	if _, err := sc.Step(t.Context(), nil); err != nil || sc.Info().Initiator.String() != user {
		t.Errorf("the token is %q's, %v, want %s", sc.Info().Initiator, err, user)
	}
}

func TestInteropCacheFILE(t *testing.T) {
	if x := newCacheTest(t, twoUsers()); x != nil {
		x.follows(t, "FILE:"+filepath.Join(t.TempDir(), "cache"))
	}
}

func TestInteropCacheDIR(t *testing.T) {
	x := newCacheTest(t, twoUsers())
	if x == nil {
		return
	}
	dir := filepath.Join(t.TempDir(), "caches")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	x.switches(t, "DIR:"+dir, "DIR::"+dir+"/tkt")
}

// switches checks that a client follows kswitch in a collection, in which a cache's name is the member and any letters.
func (x *cacheTest) switches(t *testing.T, collection, member string) {
	t.Helper()
	setenv("KRB5CCNAME=" + collection)
	client := newClient(t, &Transport{Base: x.c.Transport})
	getRefused(t, client, x.s.URL+boundPath, "run kinit")
	kinit(t, x.Realm, "alice", member+"alice")
	kinit(t, x.Realm, "bob", member+"bob")
	for _, user := range []string{"alice", "bob", "alice", "bob"} {
		command(t, "kswitch", "-p", user)
		for range 2 {
			getAs(t, client, x.s.URL+boundPath, user+"@NEGO.TEST")
			tells(t, user+"@NEGO.TEST")
		}
	}
	// A named principal is the one, whichever is the default.
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Name: gssapi.Principal(aliceName)})
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	named := newClient(t, &Transport{Base: x.c.Transport, Credential: cred})
	for range 2 {
		getAs(t, named, x.s.URL+boundPath, aliceName)
		getAs(t, client, x.s.URL+boundPath, bobName)
	}
	command(t, "kdestroy", "-A")
	getRefused(t, client, x.s.URL+boundPath, "run kinit")
}

func TestInteropCacheKCM(t *testing.T) {
	if !inChild(t) {
		return
	}
	o := twoUsers()
	o.ExtraConfig = peers.KCM(t)
	x := newCacheTest(t, o)
	x.follows(t, "KCM:")
	x.switches(t, "KCM:", "KCM:"+strconv.Itoa(os.Getuid())+":")
}

// Where the kernel has no keyrings for this process, as in many containers, the user is told.
func TestInteropCacheKEYRING(t *testing.T) {
	x := newCacheTest(t, twoUsers())
	if x == nil {
		return
	}
	collection := "KEYRING:session:nego-" + rand.Text()
	if err := x.Kinit(t.Context(), "alice", collection); err != nil {
		t.Log(err)
		setenv("KRB5CCNAME=" + collection)
		getRefused(t, newClient(t, &Transport{Base: x.c.Transport}), x.s.URL+boundPath, collection)
		return
	}
	x.follows(t, collection)
	x.switches(t, collection, collection+":")
}

func TestInteropK5Identity(t *testing.T) {
	x := newCacheTest(t, twoUsers())
	if x == nil {
		return
	}
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/caches", 0o700); err != nil {
		t.Fatal(err)
	}
	collection := "DIR:" + dir + "/caches"
	setenv("KRB5CCNAME="+collection, "HOME="+dir)
	kinit(t, x.Realm, "alice", "DIR::"+dir+"/caches/tktalice")
	kinit(t, x.Realm, "bob", "DIR::"+dir+"/caches/tktbob")
	client := newClient(t, &Transport{Base: x.c.Transport})
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(dir+"/.k5identity", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{aliceName, bobName, aliceName} {
		write(user + " service=HTTP host=localhost\n")
		for range 2 {
			getAs(t, client, x.s.URL+boundPath, user)
		}
	}
	command(t, "kswitch", "-p", "bob")
	write(aliceName + " service=HTTP host=elsewhere.nego.test\n")
	getAs(t, client, x.s.URL+boundPath, bobName)
	write(aliceName + " realm=NEGO.TEST\n")
	getAs(t, client, x.s.URL+boundPath, aliceName)
}

// A client keytab fills a cache that is not there.
func TestInteropClientKeytab(t *testing.T) {
	x := newCacheTest(t, twoUsers())
	if x == nil {
		return
	}
	cache := filepath.Join(t.TempDir(), "cache")
	setenv("KRB5CCNAME=FILE:" + cache)
	client := newClient(t, &Transport{Base: x.c.Transport})
	getRefused(t, client, x.s.URL+boundPath, "run kinit")
	keytab := os.Getenv("KRB5_CLIENT_KTNAME")
	if err := x.AddToKeytab(keytab, "alice"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		getAs(t, client, x.s.URL+boundPath, aliceName)
	}
	// The cache that it has filled is the default one of everybody.
	c, err := gssapi.ReadCache(t.Context(), "")
	if err != nil || c.Principal != aliceName {
		t.Errorf("%+v, %v", c, err)
	}
	// It fills it again after a kdestroy, and an explicit store has one of its own.
	command(t, "kdestroy")
	getAs(t, client, x.s.URL+boundPath, aliceName)
	other := filepath.Join(t.TempDir(), "bob.keytab")
	if err := x.AddToKeytab(other, "bob"); err != nil {
		t.Fatal(err)
	}
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{
		Store: gssapi.Store{ClientKeytab: other, CCache: "FILE:" + cache + ".bob"}})
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	named := newClient(t, &Transport{Base: x.c.Transport, Credential: cred})
	for range 2 {
		getAs(t, named, x.s.URL+boundPath, bobName)
		getAs(t, client, x.s.URL+boundPath, aliceName)
	}
}

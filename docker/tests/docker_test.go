//go:build docker

package tests

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
)

// answers tells whether a KDC does. What is sent is the length of a message that is too long, which it complains about.
func answers(t *testing.T, address string) bool {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("\xff\xff\xff\xff")); err != nil {
		t.Fatal(err)
	}
	_, err = c.Read(make([]byte, 4))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil
}

// Where the first KDC is silent, all that these tests do is done by its replica.
func TestKDC(t *testing.T) {
	silent := os.Getenv("KDC1_SILENT") != ""
	if answers(t, setting(t, "KDC1")) == silent {
		t.Errorf("the first KDC is to be silent: %t, and is not", silent)
	}
	if !answers(t, setting(t, "KDC2")) {
		t.Error("the replica does not answer")
	}
	began := time.Now()
	info, err := login(t, alice).Info()
	if err != nil || info.Name.String() != alice || time.Until(info.Expires) <= 0 {
		t.Errorf("%+v, %v", info, err)
	}
	t.Logf("a ticket after %v", time.Since(began))
}

// The zero Transport, with nothing but the environment: krb5.conf, and a keytab for want of a ticket.
func TestDefault(t *testing.T) {
	for _, path := range []string{"/krb5", "/bound"} {
		resp := get(t, newClient(t, &negotiate.Transport{}), "http://"+setting(t, "WEB")+path, alice)
		if o := negotiate.OutcomeOf(resp); o.Target != gssapi.Service("HTTP", setting(t, "WEB")) || o.Legs != 1 {
			t.Errorf("%+v", o)
		}
	}
}

func TestWeb(t *testing.T) {
	cred, b := login(t, alice), base(t, "")
	for _, scheme := range []string{"http://", "https://"} {
		site := scheme + setting(t, "WEB")
		client := newClient(t, &negotiate.Transport{Base: b, Credential: cred, Mutual: negotiate.MutualRequired})
		for range 3 {
			if o := negotiate.OutcomeOf(get(t, client, site+"/krb5", alice)); !o.Mutual || o.Mech != gssapi.KRB5 {
				t.Errorf("%+v", o)
			}
		}

		// The connection stays the user's, and nobody else's.
		bound := newClient(t, &negotiate.Transport{Base: b, Credential: cred})
		get(t, bound, site+"/open", "-")
		for i := range 3 {
			if o := negotiate.OutcomeOf(get(t, bound, site+"/bound", alice)); o.Legs != 1 && i == 0 || o.Legs != 0 && i > 0 {
				t.Errorf("request %d: %+v", i, o)
			}
		}
		plain := &http.Client{Transport: b}
		if resp, _ := do(t, plain, "GET", site+"/bound", nil); resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != "Negotiate" {
			t.Errorf("without a token: %s, %v", resp.Status, resp.Header)
		}
	}
}

// bodies have to arrive once, and whole, whoever asks for a token before.
func bodies(t *testing.T, client *http.Client, url string) {
	t.Helper()
	data := strings.Repeat("0123456789abcdef", 1<<16)
	want := fmt.Sprintf("%s %x", alice, sha256.Sum256([]byte(data)))
	for what, body := range map[string]func() io.Reader{
		"that can be sent again": func() io.Reader { return strings.NewReader(data) },
		"that can be sent once":  func() io.Reader { return io.MultiReader(strings.NewReader(data)) },
	} {
		if resp, got := do(t, client, "POST", url, body()); resp.StatusCode != 200 || got != want {
			t.Errorf("%s: a body %s: %s, %s, %+v", url, what, resp.Status, got, negotiate.OutcomeOf(resp))
		}
	}
}

func TestBodies(t *testing.T) {
	cred, b := login(t, alice), base(t, "")
	for _, scheme := range []string{"http://", "https://"} {
		bodies(t, newClient(t, &negotiate.Transport{Base: b, Credential: cred}), scheme+setting(t, "WEB")+"/krb5")
	}
}

// Squid asks for itself, and Apache behind it too.
func TestProxy(t *testing.T) {
	cred, b := login(t, alice), base(t, setting(t, "PROXY"))
	for _, scheme := range []string{"http://", "https://"} {
		site := scheme + setting(t, "WEB")
		client := newClient(t, &negotiate.Transport{Base: b, Credential: cred, ProxyAuth: true})
		get(t, client, site+"/open", "-")
		for range 3 {
			get(t, client, site+"/krb5", alice)
		}
		bodies(t, client, site+"/krb5")
	}
	client := newClient(t, &negotiate.Transport{Base: b, Credential: cred})
	resp, _ := do(t, client, "GET", "http://"+setting(t, "WEB")+"/open", nil)
	if resp.StatusCode != 407 || !strings.HasPrefix(resp.Header.Get("Via"), "1.1 ") {
		t.Errorf("without ProxyAuth: %s, %v", resp.Status, resp.Header)
	}
}

// Apache's host passes the user's own ticket on: curl there logs in at the server here, as the user.
func TestDelegation(t *testing.T) {
	serve(t, setting(t, "SELF"))
	cred, b := login(t, alice), base(t, "")
	relay := "https://" + setting(t, "WEB") + "/relay"
	client := newClient(t, &negotiate.Transport{Base: b, Credential: cred, Delegate: negotiate.DelegateAlways})
	resp, text := do(t, client, "GET", relay, nil)
	if resp.StatusCode != 200 || !strings.HasPrefix(text, alice+" curl/") || !negotiate.OutcomeOf(resp).Delegated {
		t.Errorf("%s, %q, %+v", resp.Status, text, negotiate.OutcomeOf(resp))
	}
	// Without it, curl there is nobody, and the server here lets nobody in.
	client = newClient(t, &negotiate.Transport{Base: b, Credential: cred})
	resp, text = do(t, client, "GET", relay, nil)
	if resp.StatusCode != 502 || !strings.Contains(text, "401") || negotiate.OutcomeOf(resp).Delegated {
		t.Errorf("without a delegated ticket: %s, %q", resp.Status, text)
	}
}

func TestServer(t *testing.T) {
	url := serve(t, setting(t, "SELF"))
	client := newClient(t, &negotiate.Transport{Credential: login(t, alice), Mutual: negotiate.MutualRequired})
	if o := negotiate.OutcomeOf(get(t, client, url, alice)); !o.Mutual {
		t.Errorf("%+v", o)
	}
}

// A user of each realm goes to a service of the other.
func TestCrossRealm(t *testing.T) {
	client := newClient(t, &negotiate.Transport{Credential: login(t, bob), Mutual: negotiate.MutualRequired})
	get(t, client, "http://"+setting(t, "WEB")+"/krb5", bob)
	get(t, client, serve(t, setting(t, "SELF")), bob)
	client = newClient(t, &negotiate.Transport{Credential: login(t, alice), Mutual: negotiate.MutualRequired})
	get(t, client, serve(t, setting(t, "SELF_OTHER")), alice)
}

// A ticket cache in the kernel, which kinit fills, and where the ticket for the service goes.
func TestKeyring(t *testing.T) {
	cache := "KEYRING:session:nego-" + rand.Text()
	if out, err := exec.Command("kinit", "-k", "-t", keytab("alice"), "-c", cache, alice).CombinedOutput(); err != nil {
		t.Fatalf("kinit: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("kdestroy", "-c", cache).CombinedOutput(); err != nil {
			t.Errorf("kdestroy: %v: %s", err, out)
		}
	})
	cred, err := gssapi.Acquire(t.Context(), &gssapi.CredentialOptions{Store: gssapi.Store{CCache: cache}})
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	get(t, newClient(t, &negotiate.Transport{Credential: cred}), "http://"+setting(t, "WEB")+"/krb5", alice)
	held, err := gssapi.ReadCache(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	service := "HTTP/" + setting(t, "WEB") + "@NEGO.TEST"
	if !slices.ContainsFunc(held.Tickets, func(t gssapi.Ticket) bool { return t.Server == service }) {
		t.Errorf("no ticket for %s in %+v", service, held)
	}
}

// The command finds nothing to complain about.
func TestCheck(t *testing.T) {
	out, err := exec.Command("nego", "check", "http://"+setting(t, "WEB")+"/krb5").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "kdc2.nego.test") {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

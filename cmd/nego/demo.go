package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nego-sso/nego/krbtest"
	"github.com/spf13/cobra"
)

// stepsCommand runs the part of the demo that is inside the realm.
const stepsCommand = "demo-steps"

func newDemo(stdout *output) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "A tour: realm, ticket, server, GET, check, sessions, proxy, token",
		Long: `A tour of nego in a second: it runs the commands that it shows, in a realm of its own, and says what each is for.

It needs no root and nothing but MIT Kerberos' programs, uses loopback only, and leaves nothing behind. The exit status
is 23 where standard output cannot be written.`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			return inRealm(nil, func(r *krbtest.Realm) (*exec.Cmd, func() error, error) {
				d := &demo{output: stdout}
				d.say("realm", "a Kerberos realm of its own: "+r.Name+", with a KDC on "+r.Addr,
					"to try things in without root, and without a realm of yours; it is gone when this ends")
				d.show("nego realm -- sh")
				if d.err != nil {
					return nil, nil, &failure{status: statusWrite} // run says what is wrong
				}
				dir, err := demoDir(r.Dir, self)
				if err != nil {
					return nil, nil, err
				}
				child := exec.Command(self, stepsCommand)
				child.Dir, child.Stdout, child.Stderr = dir, os.Stdout, os.Stderr
				return child, nil, nil
			})
		},
	}
}

// demoDir is where the commands run; it goes with the realm.
func demoDir(realm, self string) (string, error) {
	dir := filepath.Join(realm, "demo")
	for _, sub := range []string{"bin", "site"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return "", err
		}
	}
	if err := os.Symlink(self, filepath.Join(dir, "bin", "nego")); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "site", "hello.txt"), []byte("hello, whoever has a ticket\n"), 0o600); err != nil {
		return "", err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	if err := os.WriteFile(filepath.Join(dir, "session.key"), []byte(base64.StdEncoding.EncodeToString(key)), 0o600); err != nil {
		return "", err
	}
	return dir, writeCertificate(dir)
}

// writeCertificate writes a certificate for localhost and 127.0.0.1 that signs itself, into cert.pem, and its key into
// key.pem.
func writeCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	err = os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
	}
	return err
}

func newDemoSteps(stdout *output) *cobra.Command {
	return &cobra.Command{
		Use:    stepsCommand,
		Hidden: true,
		Args:   noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			received := make(chan os.Signal, 1)
			signal.Notify(received, handled()...)
			ctx, stop := signal.NotifyContext(cmd.Context(), handled()...)
			defer stop()
			d := &demo{output: stdout, ctx: ctx}
			defer d.end()
			d.tour()
			switch {
			case d.output.err != nil:
				return &failure{status: statusWrite} // run says what is wrong
			case ctx.Err() != nil:
				return signalled(<-received)
			}
			return d.failed
		},
	}
}

// demo shows commands and runs them. After a failure it does nothing more.
type demo struct {
	*output
	ctx     context.Context
	failed  error
	servers []*exec.Cmd
}

func (d *demo) tour() {
	d.say("creds", "the ticket of the realm's user", "signing on takes one; elsewhere it comes with the login, or from kinit")
	d.run("nego creds")

	d.say("serve", "a server of files that lets in whoever has a ticket for it",
		"its key is in a keytab, and it asks no KDC; with --upstream it stands before a program of yours")
	url := d.start(2, "nego serve --listen localhost:0 --access-log '' site") + "/hello.txt"

	d.say("fetch", "a GET that answers the server's challenge with a token",
		"the token is made of a ticket from the KDC, for HTTP at the URL's host; -v shows how long it is, and no more")
	d.run("nego fetch -v --mutual required " + url)

	d.say("check", "all that single sign-on needs, one after the other", "for the day when it does not work; here it does")
	d.run("nego check " + url)
	d.say("check", "the same without a ticket", "each line that is not ok says why, and what to do; --json is for programs")
	d.run("KRB5CCNAME=FILE:none nego check " + url + " 2>&1 | grep -v ^ok")

	d.say("serve", "over TLS, for the members of this realm, and with sessions",
		"a session is a cookie in the place of further tokens: the last command comes without a ticket")
	secure := d.start(2, "nego serve --listen localhost:0 --tls-cert cert.pem --tls-key key.pem --require @"+realmName+" --session-key-file session.key --access-log '' site") + "/hello.txt"
	d.run("nego fetch -i --cacert cert.pem "+secure+" | grep -o '__Host-nego=[^;]*' >cookie",
		`KRB5CCNAME=FILE:none nego fetch --cacert cert.pem -H "Cookie: $(cat cookie)" `+secure)

	d.say("proxy", "a proxy on loopback that signs on for programs that cannot",
		"the last command has no ticket either, like one that knows nothing of Kerberos; --upstream signs on to your company's proxy")
	proxy := d.start(1, "nego proxy --listen 127.0.0.1:0 --allow localhost")
	d.run("http_proxy=" + proxy + " KRB5CCNAME=FILE:none nego fetch " + url)

	d.say("token", "a token by itself, as the value of a header", "for scripts, and for programs that take a header and no more")
	d.run(`nego fetch -H "Authorization: $(nego token localhost)" ` + url)

	d.say("next", "your own: nego creds, then nego check https://your.server/", `"nego --help" lists the commands, and each has a manual: nego fetch --help`)
}

func (d *demo) going() bool {
	return d.failed == nil && d.output.err == nil && (d.ctx == nil || d.ctx.Err() == nil)
}

// say begins a step.
func (d *demo) say(name, what, why string) {
	d.printf("\n%s  %s\n       %s\n", d.bold(fmt.Sprintf("%-5s", name)), what, d.dim(why))
}

func (d *demo) show(command string) { d.printf("%s %s\n", d.green("$"), command) }

// command is what a shell would make of it, with the nego that this is, and without the proxies of the environment.
func (d *demo) command(line string) *exec.Cmd {
	c := exec.CommandContext(d.ctx, "sh", "-c", line)
	bin, _ := filepath.Abs("bin") // fails where this directory is gone
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case name == "PATH":
			kv = "PATH=" + bin + string(filepath.ListSeparator) + value
		case strings.HasSuffix(strings.ToLower(name), "_proxy"):
			continue
		}
		c.Env = append(c.Env, kv)
	}
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	return c
}

// run runs commands one after the other.
func (d *demo) run(lines ...string) {
	for _, line := range lines {
		if !d.going() {
			return
		}
		d.show(line)
		c := d.command(line)
		c.Stdout, c.Stderr = os.Stdout, os.Stdout // in order, wherever they go
		if err := c.Run(); err != nil {
			d.failed = childStatus(err)
		}
	}
}

// start starts a server, which says on so many lines that it is ready, the first of which ends in its URL.
func (d *demo) start(lines int, line string) (url string) {
	if !d.going() {
		return ""
	}
	d.show(line + " &")
	c := d.command("exec " + line)
	said, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		d.failed = err
		return ""
	}
	d.servers = append(d.servers, c)
	r := bufio.NewReader(said)
	for i := range lines {
		text, err := r.ReadString('\n')
		if err != nil {
			d.failed = fmt.Errorf("%s: ended before it was ready", line)
			return ""
		}
		d.printf("%s", text)
		if words := strings.Fields(text); i == 0 && len(words) > 0 {
			url = words[len(words)-1]
		}
	}
	go io.Copy(os.Stderr, r) // until the server ends
	return url
}

// end ends the servers.
func (d *demo) end() {
	for _, c := range d.servers {
		_ = c.Process.Signal(syscall.SIGTERM) // fails where it has ended
		_ = c.Wait()                          // 0, or what the signal made of it
	}
}

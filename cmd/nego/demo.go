package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/krbtest"
	"github.com/nego-sso/nego/negotiate"
	"github.com/spf13/cobra"
)

// stepsCommand runs the part of the demo that uses Kerberos. It is a process of its own because the library
// reads its environment, here that of the new realm, when it is used for the first time.
const stepsCommand = "demo-steps"

func newDemo(stdout *output) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show single sign-on at work: realm, ticket, protected server, GET",
		Long: `Show single sign-on at work: a realm, a ticket, a protected server and an authenticated GET, explained
as it happens. It needs no root and nothing but MIT Kerberos' programs, uses loopback only, and leaves
nothing behind. The exit status is 23 where standard output cannot be written.`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			return inRealm(nil, func(r *krbtest.Realm) (*exec.Cmd, func() error, error) {
				d := demo{stdout}
				d.say("realm", d.bold(r.Name), "a KDC of its own, on "+r.Addr)
				if d.err != nil {
					return nil, nil, &failure{status: statusWrite} // run says what is wrong
				}
				child := exec.Command(self, stepsCommand)
				child.Stdout, child.Stderr = os.Stdout, os.Stderr
				return child, nil, nil
			})
		},
	}
}

func newDemoSteps(stdout *output) *cobra.Command {
	return &cobra.Command{
		Use:    stepsCommand,
		Hidden: true,
		Args:   noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo{stdout}.steps(cmd.Context())
		},
	}
}

// demo tells what happens.
type demo struct{ *output }

// say writes a heading and what belongs under it.
func (d demo) say(heading string, lines ...string) {
	for _, line := range lines {
		d.printf("%s%*s  %s\n", d.dim(heading), 6-len(heading), "", line)
		heading = ""
	}
	d.printf("\n")
}

func (d demo) steps(ctx context.Context) error {
	cache, err := gssapi.ReadCache(ctx, "")
	if err != nil {
		return err
	}
	for _, t := range cache.Tickets {
		d.say("ticket", d.bold(cache.Principal), "in "+cache.Name,
			"valid until "+clock(t.End)+", "+validity(d.output, t, time.Now()))
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: new(negotiate.Authenticator).Handler(http.HandlerFunc(demoPage))}
	go server.Serve(listener) // ends with an error that means Close
	defer server.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return err
	}
	url := "http://localhost:" + port + "/" // localhost, because the server's key is that of HTTP/localhost
	d.say("server", d.bold(url), "lets in whoever shows a ticket for HTTP/localhost,", "whose key is in "+os.Getenv("KRB5_KTNAME"))

	// This is all that a program does to sign on. Base only shows the traffic.
	client := &http.Client{Transport: &negotiate.Transport{
		Base:   &narrator{demo: d, base: new(http.Transport)},
		Mutual: negotiate.MutualRequired,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	outcome := negotiate.OutcomeOf(resp)
	if resp.StatusCode != http.StatusOK {
		return refused(resp, outcome)
	}
	d.say("page", d.bold(string(page)), "so the server knows who the client is")
	if outcome.Mutual {
		d.say("mutual", "and the client knows that the server is "+d.bold(outcome.Target.String())+": its answer proved it")
	}
	d.printf("%s  nego realm               a shell in such a realm\n", d.dim("next"))
	d.printf("      nego fetch --help        the same GET, with your own tickets and servers\n")
	return nil
}

// narrator shows and explains the requests and responses of one authentication.
type narrator struct {
	demo
	base *http.Transport
}

func (n *narrator) CloseIdleConnections() { n.base.CloseIdleConnections() }

func (n *narrator) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := n.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	lines := []string{n.dim("> ") + req.Method + " " + req.URL.RequestURI() + " HTTP/1.1"}
	for _, v := range req.Header.Values("Authorization") {
		lines = append(lines, n.dim("> ")+"Authorization: "+maskTokens("Authorization", v))
	}
	lines = append(lines, n.dim("< ")+resp.Proto+" "+n.bold(resp.Status))
	for _, v := range resp.Header.Values("WWW-Authenticate") {
		lines = append(lines, n.dim("< ")+"WWW-Authenticate: "+maskTokens("WWW-Authenticate", v))
	}
	heading := "ask"
	switch {
	case req.Header.Get("Authorization") != "":
		heading = "answer"
		lines = append(lines, "the KDC gave the client a ticket for the server, and the token is made of it")
	case resp.StatusCode == http.StatusUnauthorized:
		lines = append(lines, "the server wants to know who asks")
	}
	n.say(heading, lines...)
	return resp, nil
}

func demoPage(w http.ResponseWriter, r *http.Request) {
	id, _ := negotiate.FromContext(r.Context())
	io.WriteString(w, "hello, "+id.Initiator.String())
}

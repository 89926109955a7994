package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/spf13/cobra"
)

func newCheck(stdout *output) *cobra.Command {
	o := fetchOptions{
		channelBinding: newChoice("never", "tls", "required"), // in the order of negotiate's constants
		maxTime:        seconds(15 * time.Second),
	}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [flags] URL",
		Short: "Find out why single sign-on to a URL fails, step by step",
		Long: `Find out why single sign-on to a URL fails, step by step, and say what to do about it:

  krb5.conf  the files that count, and the default realm
  cache      whose ticket there is, and for how long
  name       what the service at the URL is called
  kdc        whether the KDCs of its realm and of yours answer
  server     whether the server asks for a ticket, or a proxy does
  clock      how far the clocks of KDC and server are off
  ticket     whether the KDC has a ticket for the service
  sign-on    whether the server accepts it, and with which mechanism
  token      how large it is
  binding    whether the server minds tokens that are bound to the TLS connection

It needs no root and changes nothing: the ticket for the service stays in memory. The server gets a GET that is left at
its challenge, one that answers it, and over https one more that answers with a bound token. KDCs are asked what kinit
asks them first, without a password.

--json writes an object with url, failed (true or false), and steps, each of which has step, status (ok, warning, failed or
skipped), found, and where there are any hints and facts.

The exit status is 0 where no step failed, else 94; 1, 2, 3 and 23 as with fetch.`,
		Example: `  nego check https://intranet.example.com/
  nego check --json https://intranet.example.com/ | jq '.steps[] | select(.status == "failed")'`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return usageError(cmd, errors.New("the URL is missing"))
			case 1:
				return nil
			}
			return usageError(cmd, errors.New("only one URL is checked at a time"))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newChecker(cmd, &o, withScheme(args[0]))
			if err != nil {
				return err
			}
			defer c.close()
			r := &checkReport{out: stdout, URL: displayURL(c.url)}
			show := r.show
			if asJSON {
				show = r.keep
			}
			for _, s := range checkSteps {
				f := c.run(cmd.Context(), s)
				f.Step = s.name
				show(f)
			}
			if asJSON {
				if err := r.writeJSON(); err != nil {
					return err
				}
			}
			return r.verdict()
		},
	}
	cmd.Flags().SortFlags = false
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "write JSON, for programs")
	flags.VarP(&o.maxTime, "max-time", "m", "give up on a step after this many `seconds`")
	o.connectionOptions.addTo(cmd)
	flags.Var(&o.channelBinding, "channel-binding", "tie the token to the TLS connection: never, tls (over https) or required")
	o.identityOptions.addTo(cmd)
	completeValues(cmd, map[string][]string{"mech": mechValues, "channel-binding": o.channelBinding.allowed})
	return cmd
}

// checker is what the steps of a check know, the later ones from the earlier ones.
type checker struct {
	f     *fetcher // for connections and flags
	url   *url.URL
	basic bool // the URL had a user, who is left out

	target gssapi.Name
	host   string // in target; empty: it names a principal

	config    *gssapi.Config     // nil: it is not known
	broken    bool               // libkrb5 cannot read it either
	cache     *gssapi.Cache      // nil: there is none
	cred      *gssapi.Credential // nil: there is no ticket. It changes no cache
	initiator string             // whose ticket it is

	principal string // of the service, as krb5.conf has it; its realm may be empty
	kdcs      []realmKDCs

	challenge *http.Response // to a request without a token, its body closed; nil: there was none
	received  time.Time      // when that came
	asks      bool           // for Negotiate
	skewed    []string       // whose clocks are off

	ticket *serviceTicket // nil: there is none
	cached bool           // it is from the cache
	signed bool           // the server has accepted a token
	bound  bool           // the token that it accepted, or the last one, was bound to the connection
	token  int            // bytes of the first token; 0: there was none
}

func newChecker(cmd *cobra.Command, o *fetchOptions, text string) (*checker, error) {
	f, err := newFetcher(cmd, o)
	if err != nil {
		return nil, err
	}
	if f.mech != gssapi.SPNEGO && f.mech != gssapi.KRB5 {
		return nil, usageError(cmd, fmt.Errorf("invalid argument %q for %q flag: a check is about spnego and krb5 alone", o.mech, "--mech"))
	}
	if err := checkURL(text); err != nil {
		return nil, err
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, badURL(text, err)
	}
	c := &checker{f: f, url: u, basic: u.User != nil}
	u.User = nil
	c.target = serviceAt(u.Hostname())
	if o.target != "" {
		c.target = parseTarget(o.target)
	}
	if c.target.Type() == gssapi.NTHostBased {
		_, c.host, _ = strings.Cut(c.target.String(), "@")
	}
	return c, nil
}

func (c *checker) close() {
	if c.cred != nil {
		_ = c.cred.Close() // always nil
	}
	c.f.close()
}

type checkStep struct {
	name string
	find func(*checker, context.Context) finding
}

// checkSteps stand in the order in which one thing needs another. Each is made, whatever the ones before it have
// found, as long as it can tell more than they do.
var checkSteps = []checkStep{
	{"krb5.conf", (*checker).findConfig},
	{"cache", (*checker).findCache},
	{"name", (*checker).findName},
	{"kdc", (*checker).findKDCs},
	{"server", (*checker).findServer},
	{"clock", (*checker).findClocks},
	{"ticket", (*checker).findTicket},
	{"sign-on", (*checker).findSignOn},
	{"token", (*checker).findTokenSize},
	{"binding", (*checker).findBinding},
}

// errSlow ends a step that takes too long.
type errSlow time.Duration

func (e errSlow) Error() string { return fmt.Sprintf("no answer within %v", time.Duration(e)) }

func (c *checker) run(ctx context.Context, s checkStep) finding {
	if limit := time.Duration(c.f.maxTime); limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errSlow(limit))
		defer cancel()
	}
	return s.find(c, ctx)
}

package main

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/spf13/cobra"
)

func newCreds(stdout *output) *cobra.Command {
	var ccache string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "creds",
		Short: "Show what is in the ticket cache",
		Long: `Show what is in the ticket cache: whose it is, and for each ticket how long it is good and for what.

The ticket for krbtgt is the one that all others are made of; kinit gets it, and single sign-on fails when it has expired.
Tickets for services come by themselves. It asks no KDC. The exit status is 1 where there is no cache, and 23 where standard output cannot be written.`,
		Example: `  nego creds
  nego creds --json | jq -r '.principal, (.tickets[] | select(.expired) | .server)'`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cache, err := gssapi.ReadCache(cmd.Context(), ccache)
			if err != nil {
				return err
			}
			now := time.Now()
			if asJSON {
				text, err := json.MarshalIndent(newCacheJSON(cache, now), "", "  ")
				if err != nil {
					return err
				}
				stdout.printf("%s\n", text)
				return nil
			}
			showCache(stdout, cache, now)
			return nil
		},
	}
	cmd.Flags().StringVar(&ccache, "ccache", "", "the `cache` to read, as in FILE:/tmp/krb5cc_1000 (default: KRB5CCNAME, or what krb5.conf says)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, for programs")
	return cmd
}

func showCache(o *output, c *gssapi.Cache, now time.Time) {
	o.printf("%s  %s\n", o.dim("cache    "), clean(c.Name))
	o.printf("%s  %s\n", o.dim("principal"), o.bold(clean(c.Principal)))
	if len(c.Tickets) == 0 {
		o.printf("\nno tickets\n")
	}
	for _, t := range c.Tickets {
		o.printf("\n%s\n", o.bold(clean(t.Server)))
		o.printf("  %s  %s, %s\n", o.dim("valid"), clock(t.Start)+" to "+clock(t.End), validity(o, t, now))
		if !t.RenewUntil.IsZero() {
			o.printf("  %s  until %s\n", o.dim("renew"), clock(t.RenewUntil))
		}
		if t.Client != c.Principal {
			o.printf("  %s    %s\n", o.dim("for"), clean(t.Client))
		}
		o.printf("  %s  %s\n", o.dim("flags"), cmp.Or(strings.Join(flagNames(t.Flags), ", "), "none"))
		o.printf("  %s    %s\n", o.dim("key"), clean(t.Encryption))
	}
}

func validity(o *output, t gssapi.Ticket, now time.Time) string {
	switch {
	case !t.End.After(now):
		return o.red("EXPIRED " + span(now.Sub(t.End)) + " ago")
	case t.Start.After(now):
		return o.yellow("not valid for another " + span(t.Start.Sub(now)))
	}
	return o.green(span(t.End.Sub(now)) + " left")
}

// The names and forms of these fields are what scripts depend on.
type cacheJSON struct {
	Cache     string       `json:"cache"`
	Principal string       `json:"principal"`
	Tickets   []ticketJSON `json:"tickets"`
}

type ticketJSON struct {
	Client     string    `json:"client"`
	Server     string    `json:"server"`
	Encryption string    `json:"encryption"`
	AuthTime   time.Time `json:"auth_time"`
	Start      time.Time `json:"start"`
	End        time.Time `json:"end"`
	RenewUntil time.Time `json:"renew_until,omitzero"`
	Flags      []string  `json:"flags"`
	Expired    bool      `json:"expired"`
}

func newCacheJSON(c *gssapi.Cache, now time.Time) cacheJSON {
	j := cacheJSON{Cache: c.Name, Principal: c.Principal, Tickets: []ticketJSON{}}
	for _, t := range c.Tickets {
		j.Tickets = append(j.Tickets, ticketJSON{
			Client: t.Client, Server: t.Server, Encryption: t.Encryption,
			AuthTime: t.AuthTime.UTC(), Start: t.Start.UTC(), End: t.End.UTC(), RenewUntil: t.RenewUntil.UTC(),
			Flags: flagNames(t.Flags), Expired: !t.End.After(now),
		})
	}
	return j
}

// flagNames lists what gssapi calls the flags.
func flagNames(f gssapi.TicketFlags) []string {
	return strings.FieldsFunc(f.String(), func(r rune) bool { return r == ',' })
}

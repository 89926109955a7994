package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// maxRedirects is curl's number.
const maxRedirects = 50

// fetchOptions are the flags of fetch. Those that curl has are named and behave as there.
type fetchOptions struct {
	output    []string
	include   bool
	head      bool
	location  bool
	fail      bool
	silent    bool
	showError bool
	verbose   bool
	insecure  bool
	cacert    string
	maxTime   seconds

	mutual    choice
	target    string
	mech      string
	ccache    string
	strict    bool
	outcomeTo string
}

func newFetch() *cobra.Command {
	o := fetchOptions{mutual: choice{"disabled", []string{"disabled", "optional", "required"}}}
	cmd := &cobra.Command{
		Use:   "fetch [flags] URL...",
		Short: "Get a URL, with the ticket of this machine if the server asks for it",
		Long: `Get a URL, with the ticket of this machine if the server asks for it.

The body goes to standard output and everything else to standard error. Several URLs use one connection.
A 401 says why on standard error. It is no failure of the transfer: the exit status is 0, but with -f 22.

Exit status, as with curl: 1 neither http nor https, 2 usage, 3 bad URL, 6 host not found, 7 cannot connect,
18 body cut short, 22 status 400 or more with -f, 23 cannot write, 28 timeout, 35 TLS handshake, 47 too many
redirects, 52 empty reply, 55 cannot send, 56 cannot receive, 60 certificate, 77 file of certificates,
94 authentication.`,
		Example: `  nego fetch https://intranet.example.com/
  nego fetch -f --mutual required -o report.pdf https://intranet.example.com/report.pdf`,
		Args: func(cmd *cobra.Command, urls []string) error {
			if len(urls) == 0 {
				return usageError(cmd, errors.New("the URL is missing"))
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, urls []string) error {
			f, err := newFetcher(cmd, &o)
			if err != nil {
				return o.quiet(err)
			}
			defer f.close()
			return f.all(cmd.Context(), urls)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringArrayVarP(&o.output, "output", "o", nil, "write the body to `file`; repeat it for further URLs")
	cmd.Flags().BoolVarP(&o.include, "include", "i", false, "write the response's status and header too")
	cmd.Flags().BoolVarP(&o.head, "head", "I", false, "ask for status and header alone (HEAD)")
	cmd.Flags().BoolVarP(&o.location, "location", "L", false, "follow redirects")
	cmd.Flags().BoolVarP(&o.fail, "fail", "f", false, "no body and exit status 22 where the status is 400 or more")
	cmd.Flags().BoolVarP(&o.silent, "silent", "s", false, "no messages")
	cmd.Flags().BoolVarP(&o.showError, "show-error", "S", false, "messages of errors even with -s")
	cmd.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "show requests and responses; of tokens the lengths only")
	cmd.Flags().BoolVarP(&o.insecure, "insecure", "k", false, "do not verify the server's certificate")
	cmd.Flags().StringVar(&o.cacert, "cacert", "", "verify with the certificates of this PEM `file` alone")
	cmd.Flags().VarP(&o.maxTime, "max-time", "m", "give up on a URL after this many `seconds`")
	cmd.Flags().Var(&o.mutual, "mutual", "make the server prove itself: disabled, optional or required")
	cmd.Flags().StringVar(&o.target, "target", "", "the `name` of the service: HTTP@host or a principal (default: HTTP at the URL's host)")
	cmd.Flags().StringVar(&o.mech, "mech", "spnego", "the `mechanism`: spnego, krb5 or an OID")
	cmd.Flags().StringVar(&o.ccache, "ccache", "", "the ticket `cache` to use (default: KRB5CCNAME, or what krb5.conf says)")
	cmd.Flags().BoolVar(&o.strict, "strict", false, "a failed authentication is an error, exit status 94, and not just a 401")
	cmd.Flags().StringVar(&o.outcomeTo, "outcome", "", "the result of authentication, in JSON, a line for each URL, to `file`; - is standard error")
	for name, values := range map[string][]string{"mutual": o.mutual.allowed, "mech": {"spnego", "krb5"}} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
	}
	return cmd
}

// messages says whether errors are written.
func (o *fetchOptions) messages() bool { return !o.silent || o.showError }

// quiet makes -s take the text of an error away, and leave its exit status.
func (o *fetchOptions) quiet(err error) error {
	if err == nil || o.messages() {
		return err
	}
	return silenced(err)
}

// choice is a flag with a fixed set of values.
type choice struct {
	value   string
	allowed []string
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return "mode" }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return fmt.Errorf("it is one of %s", strings.Join(c.allowed, ", "))
	}
	c.value = s
	return nil
}

// seconds is a flag for a time to wait; zero is for ever.
type seconds time.Duration

func (s *seconds) Type() string { return "seconds" }

func (s *seconds) String() string {
	if *s == 0 {
		return ""
	}
	return time.Duration(*s).String()
}

func (s *seconds) Set(text string) error {
	const most = 1e9 // some thirty years; a time.Duration cannot hold much more
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= most) {
		return errors.New("it is a number of seconds, such as 30 or 0.5")
	}
	*s = seconds(n * float64(time.Second))
	return nil
}

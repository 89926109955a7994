package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpguts"
)

// maxRedirects is curl's number.
const maxRedirects = 50

// fetchOptions are the flags of fetch. Those that curl has are named and behave as there.
type fetchOptions struct {
	output    []string
	method    string
	header    []string
	data      []datum
	upload    []string
	include   bool
	head      bool
	location  bool
	fail      bool
	silent    bool
	showError bool
	verbose   bool
	maxTime   seconds
	connectionOptions

	mutual         choice
	keepErrorBody  bool
	preemptive     choice
	delegate       choice
	channelBinding choice
	identityOptions
	strict    bool
	outcomeTo string
}

func newFetch() *cobra.Command {
	// The values stand in the order of negotiate's constants.
	o := fetchOptions{
		mutual:         newChoice("disabled", "optional", "required"),
		preemptive:     newChoice("never", "remember", "always"),
		delegate:       newChoice("never", "policy", "always"),
		channelBinding: newChoice("never", "tls", "required"),
	}
	cmd := &cobra.Command{
		Use:   "fetch [flags] URL...",
		Short: "Get a URL, with the ticket of this machine if the server asks for it",
		Long: `Get a URL, or send something to it, with the ticket of this machine if the server asks for it.
Which ticket that is "nego creds" shows, and why it does not help "nego check URL" finds out.

The body goes to standard output and everything else to standard error. Several URLs use one connection;
all are tried, and the exit status is that of the last that failed.
What takes longer than a second shows on a terminal how far it is: the file of -T, and a body that goes elsewhere.
A 401 says why on standard error. It is no failure of the transfer: the exit status is 0, but with -f 22.

A file is sent as it is read; if the server asks for a ticket after that, it is read again. From standard input
that is not possible, so the server is asked first whether it wants the body (Expect: 100-continue).

A proxy of -x is one for http, over TLS with https://, or a SOCKS one with socks5:// or socks5h://, which both leave it to
the proxy to look up hosts. A user and a password may stand in its URL; else --proxy-negotiate signs on to it.

A line of --outcome is an object with url; status, the number in the response, and legs, the tokens that were sent; mutual,
delegated and channel_bound, which are true or false; target, mech and error, which may be empty; and hint.

Exit status, as with curl: 1 neither http nor https, 2 usage, 3 bad URL, 5 proxy not found, 6 host not found,
7 cannot connect, 18 body cut short, 22 status 400 or more with -f, 23 cannot write, 26 cannot read, 28 timeout,
35 TLS handshake, 47 too many redirects, 52 empty reply, 55 cannot send, 56 cannot receive, 60 certificate,
65 cannot send the body again, 77 file of certificates, 94 authentication, 97 refused by a SOCKS proxy.`,
		Example: `  nego fetch https://intranet.example.com/
  nego fetch -f --mutual required -o report.pdf https://intranet.example.com/report.pdf
  tar c src | nego fetch -T - https://intranet.example.com/backup`,
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
	flags := cmd.Flags()
	flags.StringArrayVarP(&o.output, "output", "o", nil, "write the body to `file`; repeat it for further URLs")
	flags.BoolVarP(&o.include, "include", "i", false, "write the response's status and header too")
	flags.BoolVarP(&o.head, "head", "I", false, "ask for status and header alone (HEAD)")
	flags.StringVarP(&o.method, "request", "X", "", "the `method`, for all requests of a redirect")
	flags.StringArrayVarP(&o.header, "header", "H", nil, "a `field` of the request's header: \"Name: value\", \"Name:\" for none, \"Name;\" for an empty one, or @file")
	flags.VarP(data{&o.data, false}, "data", "d", "send this form (POST), or that in @file without its line ends; repeatable; @- is standard input")
	flags.Var(data{&o.data, true}, "data-binary", "the same, with @file as it is")
	flags.StringArrayVarP(&o.upload, "upload-file", "T", nil, "send this `file` (PUT), - being standard input; repeat it for further URLs; a URL that ends in / gets the file's name")
	flags.BoolVarP(&o.location, "location", "L", false, "follow redirects")
	flags.BoolVarP(&o.fail, "fail", "f", false, "no body and exit status 22 where the status is 400 or more")
	flags.BoolVarP(&o.silent, "silent", "s", false, "no messages and no progress")
	flags.BoolVarP(&o.showError, "show-error", "S", false, "messages of errors even with -s")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "show requests and responses; of tokens the lengths only")
	flags.VarP(&o.maxTime, "max-time", "m", "give up on a URL after this many `seconds`")
	o.connectionOptions.addTo(cmd)
	flags.Var(&o.mutual, "mutual", "make the server prove itself: disabled, optional or required")
	flags.BoolVar(&o.keepErrorBody, "keep-error-body", false, "show errors of a server even if it did not prove itself")
	flags.Var(&o.preemptive, "preemptive", "send a token before the server asks: never, remember (where it has asked before) or always")
	flags.Var(&o.delegate, "delegate", "let the server act as you elsewhere: never, policy (where the KDC trusts it) or always")
	flags.Var(&o.channelBinding, "channel-binding", "tie the token to the TLS connection: never, tls (over https) or required")
	o.identityOptions.addTo(cmd)
	flags.BoolVar(&o.strict, "strict", false, "a failed authentication is an error, exit status 94, and not just a 401")
	flags.StringVar(&o.outcomeTo, "outcome", "", "the result of authentication, in JSON, a line for each URL, to `file`; - is standard error")
	completeValues(cmd, map[string][]string{"mech": mechValues, "mutual": o.mutual.allowed, "preemptive": o.preemptive.allowed,
		"delegate": o.delegate.allowed, "channel-binding": o.channelBinding.allowed})
	return cmd
}

// check finds flags that cannot be meant together.
func (o *fetchOptions) check(cmd *cobra.Command) error {
	o.proxyGiven = cmd.Flags().Changed("proxy")
	bodies := 0
	for _, given := range []bool{o.head, len(o.data) > 0, len(o.upload) > 0} {
		if given {
			bodies++
		}
	}
	switch {
	case bodies > 1:
		return usageError(cmd, errors.New("only one of -I, -d and -T can be the request"))
	case cmd.Flags().Changed("request") && !httpguts.ValidHeaderFieldName(o.method):
		return usageError(cmd, fmt.Errorf("invalid argument %q for \"-X, --request\" flag: it is no method", o.method))
	}
	return nil
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

// newChoice has the first value as its default.
func newChoice(values ...string) choice { return choice{values[0], values} }

func (c *choice) index() int { return slices.Index(c.allowed, c.value) }

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

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
	"github.com/spf13/cobra"
)

func newToken(stdout *output) *cobra.Command {
	var o identityOptions
	var maxTime seconds
	var boundTo string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "token [flags] HOST",
		Short: "Print a token for a host, as the value of a header",
		Long: `Print a token for the service HTTP at a host, as the value of an Authorization header, for scripts and for programs
that cannot make one. In the place of the host there may be a URL.

A token signs you on, once and within some minutes: keep it out of logs, and of command lines that others can see. Make
a new one for each request.

A server that demands channel binding (Extended Protection) accepts a token that was made for its certificate alone:
--channel-binding names that, by a file or by the server's URL, whose certificate must then be a trusted one.

The exit status is 94 where there is no token to be had, 28 where -m is over, 2, 23 and 77 as with fetch.`,
		Example: `  nego token web.example.com
  nego token web.example.com | sed 's/^/Authorization: /' | curl -H @- https://web.example.com/`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return usageError(cmd, errors.New("the host is missing"))
			case 1:
				return nil
			}
			return usageError(cmd, errors.New("only one host has a token at a time"))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			mech, err := parseMech(o.mech)
			if err != nil {
				return usageError(cmd, err)
			}
			host, err := hostOf(args[0])
			if err != nil {
				return usageError(cmd, err)
			}
			target := serviceAt(host)
			if o.target != "" {
				target = parseTarget(o.target)
			}
			ctx := cmd.Context()
			if maxTime > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(maxTime))
				defer cancel()
			}
			opts := gssapi.Options{Mech: mech}
			if boundTo != "" {
				opts.ChannelBinding, err = channelBinding(ctx, boundTo)
			}
			var j *tokenJSON
			if err == nil {
				j, err = makeToken(ctx, &o, target, opts)
			}
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				return &failure{err: fmt.Errorf("no token for %s: timed out after %v", target, time.Duration(maxTime)), status: statusTimeout}
			case err != nil:
				if _, ok := errors.AsType[*failure](err); ok {
					return err
				}
				return &failure{err: err, status: statusAuth}
			}
			if !asJSON {
				stdout.printf("%s\n", j.Authorization)
				return nil
			}
			text, err := json.MarshalIndent(j, "", "  ")
			if err != nil {
				return err
			}
			stdout.printf("%s\n", text)
			return nil
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, for programs")
	cmd.Flags().VarP(&maxTime, "max-time", "m", "give up after this many `seconds`")
	cmd.Flags().StringVar(&boundTo, "channel-binding", "", "tie the token to the `certificate` of the server: a PEM file, or the server's https URL")
	o.addTo(cmd)
	completeValues(cmd, map[string][]string{"mech": mechValues})
	return cmd
}

// The names and forms of these fields are what scripts depend on.
type tokenJSON struct {
	Authorization string `json:"authorization"`
	Target        string `json:"target"`
	Mech          string `json:"mech"`
	Bytes         int    `json:"bytes"`
	ChannelBound  bool   `json:"channel_bound"`
}

func makeToken(ctx context.Context, o *identityOptions, target gssapi.Name, opts gssapi.Options) (*tokenJSON, error) {
	cred, err := o.acquire(ctx)
	if err != nil {
		return nil, err
	}
	if cred != nil {
		defer cred.Close()
	}
	opts.Credential = cred
	sc := gssapi.NewInitiator(target, &opts)
	defer sc.Close()
	token, err := sc.Step(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &tokenJSON{Authorization: "Negotiate " + base64.StdEncoding.EncodeToString(token), Target: target.String(),
		Mech: mechName(opts.Mech), Bytes: len(token), ChannelBound: opts.ChannelBinding != nil}, nil
}

// channelBinding is that of the certificate in a file, or of the one that the server at a URL shows.
func channelBinding(ctx context.Context, where string) (*gssapi.ChannelBinding, error) {
	if strings.Contains(where, "://") {
		leaf, err := shownCertificate(ctx, where)
		if err != nil {
			return nil, err
		}
		return negotiate.EndPoint(leaf), nil
	}
	text, err := os.ReadFile(where)
	if err != nil {
		return nil, &failure{err: fmt.Errorf("cannot read the certificate %s: %w", where, bare(err)), status: statusCACert}
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, &failure{err: fmt.Errorf("%s does not begin with a certificate in PEM format", where), status: statusCACert}
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, &failure{err: fmt.Errorf("cannot read the certificate %s: %w", where, err), status: statusCACert}
	}
	return negotiate.EndPoint(leaf), nil
}

// shownCertificate verifies it: a token for that of somebody in between is good for him.
func shownCertificate(ctx context.Context, where string) (*x509.Certificate, error) {
	u, err := url.Parse(where)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return nil, &failure{err: fmt.Errorf("%q is no https URL whose server could show a certificate", shownURL(where)), status: statusUsage}
	}
	conn, err := new(tls.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), portOf(u)))
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &failure{err: fmt.Errorf("cannot get the certificate of %s: %w", u.Host, err), status: statusAuth,
			hints: []string{"where you have the certificate in a file, name that"}}
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// hostOf is the host of a URL, or of host[:port].
func hostOf(s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		return "", fmt.Errorf("%q names no host", shownURL(s))
	}
	return u.Hostname(), nil
}

package main

import (
	"context"

	"github.com/nego-sso/nego/gssapi"
	"github.com/spf13/cobra"
)

// identityOptions are the flags that say whose ticket is used, and for which service.
type identityOptions struct {
	target       string
	mech         string
	ccache       string
	principal    string
	clientKeytab string
}

func (o *identityOptions) addTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.target, "target", "", "the `name` of the service: HTTP@host or a principal (default: HTTP at the URL's host)")
	flags.StringVar(&o.mech, "mech", "spnego", "the `mechanism`: spnego, krb5 or an OID")
	flags.StringVar(&o.ccache, "ccache", "", "the ticket `cache` to use (default: KRB5CCNAME, or what krb5.conf says)")
	flags.StringVar(&o.principal, "principal", "", "the `principal` to be, of those that have a ticket (default: that of the cache)")
	flags.StringVar(&o.clientKeytab, "client-keytab", "", "a `keytab` to get a ticket with, into the cache, where that has none")
}

// connectionOptions are the flags that say how to reach a server.
type connectionOptions struct {
	insecure bool
	cacert   string
	http11   bool

	proxyURL       string
	proxyGiven     bool // -x, even an empty one
	proxyNegotiate bool
}

func (o *connectionOptions) addTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVarP(&o.insecure, "insecure", "k", false, "do not verify certificates, an https proxy's neither")
	flags.StringVar(&o.cacert, "cacert", "", "verify with the certificates of this PEM `file` alone")
	flags.BoolVar(&o.http11, "http1.1", false, "speak HTTP/1.1, and not HTTP/2")
	flags.StringVarP(&o.proxyURL, "proxy", "x", "", "the `proxy`, [scheme://]host[:port]; empty for none (default: http_proxy, HTTPS_PROXY, ALL_PROXY; NO_PROXY)")
	flags.BoolVar(&o.proxyNegotiate, "proxy-negotiate", false, "sign on to the proxy with a ticket too")
}

// isDefault reports whether the credential is the one that the library chooses.
func (o *identityOptions) isDefault() bool {
	return o.ccache == "" && o.principal == "" && o.clientKeytab == ""
}

// credential is what the flags say of the credential.
func (o *identityOptions) credential() *gssapi.CredentialOptions {
	c := &gssapi.CredentialOptions{Store: gssapi.Store{CCache: o.ccache, ClientKeytab: o.clientKeytab}}
	if o.principal != "" {
		c.Name = gssapi.Principal(o.principal)
	}
	return c
}

// acquire gets that credential; nil is the default one.
func (o *identityOptions) acquire(ctx context.Context) (*gssapi.Credential, error) {
	if o.isDefault() {
		return nil, nil
	}
	return gssapi.Acquire(ctx, o.credential())
}

// completeValues has the shell complete the values of flags.
func completeValues(cmd *cobra.Command, values map[string][]string) {
	for name, v := range values {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(v, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
	}
}

var mechValues = []string{"spnego", "krb5"}

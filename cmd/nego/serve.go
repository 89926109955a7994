package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/internal/serve"
	"github.com/nego-sso/nego/negotiate"
	"github.com/spf13/cobra"
)

// serveOptions are the flags of serve.
type serveOptions struct {
	listen         string
	upstream       string
	forwardAuth    bool
	forwardedHost  bool
	keepHost       bool
	userHeader     string
	require        rules
	certFile       string
	keyFile        string
	behindTLS      bool
	channelBinding choice
	sessionFile    string
	sessionAge     time.Duration
	basic          bool
	accessLog      string
	grace          time.Duration
	verbose        bool

	dir         string
	upstreamURL *url.URL
	sessions    *negotiate.Sessions
}

func newServe(stdout *output) *cobra.Command {
	o := serveOptions{channelBinding: newChoice("never", "tls", "required")}
	o.channelBinding.value = "tls"
	cmd := &cobra.Command{
		Use:   "serve [flags] [DIR]",
		Short: "A server of files, or in front of another one, for those who sign on",
		Long: `A server for those who sign on with Negotiate, as browsers do with the ticket of their user. It takes tickets for the
keys of HTTP in the keytab, KRB5_KTNAME or what krb5.conf says, which is looked at with each token, and read again where
it has changed. What they get:

  DIR              its files, by default those of this directory: without names that begin with a dot, and without
                   links that lead out of it
  --upstream URL   what the server there answers, to which the request goes on
  --forward-auth   an answer to another server, such as nginx, Traefik or Envoy, whose clients they are: 200 if the
                   request may pass, 401 with a challenge, or 403; for any path and method

--require says who is let in; without it everybody is whom the KDC knows, and those of realms that it trusts. It is one of

  alice@EXAMPLE.COM      this principal, as klist shows it
  @EXAMPLE.COM           everybody of this realm
  /.*@(A|B)\.EXAMPLE/    whose whole principal the regular expression matches (https://pkg.go.dev/regexp/syntax)

The upstream learns in X-Remote-User who the user is, as in alice@EXAMPLE.COM, in X-Remote-User-Realm the realm, and in
X-Remote-User-Local the account that krb5.conf maps the user to, if it does; --user-header changes that name, in all of
them. Spaces, %, and what is not printable ASCII are percent-encoded. These fields are taken off a client's request, in
every spelling, as are X-Forwarded-*, Forwarded and X-Real-IP, and Authorization and the session's cookie never go on. So
the upstream must listen where nobody but this server reaches it. With --forward-auth they are in the answer.

A session spares browsers the token of each request. The key is a secret of 32 random bytes in base64, in a file that
only you can read:

  (umask 077; head -c 32 /dev/urandom | base64 > session.key)

Each line of the file is a key. The first one makes sessions and all open them, so put a new one in front, and take the
old one away when --session-age has passed. Servers with the same file take each other's sessions, behind a balancer.
Sessions are for TLS alone: with --tls-cert, or with --behind-tls, where a proxy ends it and passes the Host field on.

How nginx, Traefik and Envoy are told to ask is in https://github.com/nego-sso/nego/blob/main/docs/ingress.md.

The access log has the Common Log Format, with the principal and without queries. Certificates are read again when their
files change. SIGHUP opens the file of --access-log again, and ends the server where there is none. SIGINT and SIGTERM
end it: it takes no more connections, requests get the time of --grace, and the exit status is 0. A second signal ends
it at once. It is 1 where the server cannot start, 2 for its flags, and 23 where standard output could not be written.`,
		Example: `  nego serve --listen :8443 --tls-cert cert.pem --tls-key key.pem --require @EXAMPLE.COM /srv/files
  nego serve --listen :8443 --tls-cert cert.pem --tls-key key.pem --session-key-file session.key \
    --upstream http://127.0.0.1:3000
  nego serve --forward-auth --behind-tls --session-key-file session.key`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError(cmd, errors.New("only one directory is served"))
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.dir = args[0]
			}
			if err := o.check(cmd); err != nil {
				return err
			}
			return o.run(cmd.Context(), stdout)
		},
	}
	cmd.Flags().SortFlags = false
	flags := cmd.Flags()
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8080", "the `address` to listen on; port 0 is any free one")
	flags.StringVar(&o.upstream, "upstream", "", "pass requests on to the server at this `URL`")
	flags.BoolVar(&o.forwardAuth, "forward-auth", false, "answer other servers whether a request may pass")
	flags.Var(&o.require, "require", "`who` is let in: alice@REALM, @REALM or /regular expression/; repeat for more")
	flags.StringVar(&o.userHeader, "user-header", "X-Remote-User", "the header `field` that tells the upstream who the user is")
	flags.BoolVar(&o.keepHost, "keep-host", false, "with --upstream: pass the Host field on as it came")
	flags.BoolVar(&o.forwardedHost, "forwarded-host", false, "with --forward-auth: the host of a request is in X-Forwarded-Host")
	flags.StringVar(&o.certFile, "tls-cert", "", "serve https with the certificate of this PEM `file`, and those above it")
	flags.StringVar(&o.keyFile, "tls-key", "", "the PEM `file` of its key (default: that of --tls-cert)")
	flags.BoolVar(&o.behindTLS, "behind-tls", false, "clients come over TLS, which a proxy in front ends; its X-Forwarded-For is kept")
	flags.Var(&o.channelBinding, "channel-binding", "check that tokens are made for the TLS connection: never, tls (where the client says so) or required")
	flags.StringVar(&o.sessionFile, "session-key-file", "", "give sessions, whose keys are in this `file`")
	flags.DurationVar(&o.sessionAge, "session-age", time.Hour, "how long a session lasts, at most, as in 8h")
	flags.BoolVar(&o.basic, "basic", false, "with --tls-cert: take passwords too, which the KDC checks")
	flags.StringVar(&o.accessLog, "access-log", "-", "the `file` for the access log; - is standard output, and empty is none")
	flags.DurationVar(&o.grace, "grace", 10*time.Second, "how long requests may take when the server ends, as in 30s")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "write all that happens to standard error")
	completeValues(cmd, map[string][]string{"channel-binding": o.channelBinding.allowed})
	return cmd
}

// check reads the flags.
func (o *serveOptions) check(cmd *cobra.Command) error {
	bad := func(flag, value string, err error) error {
		return usageError(cmd, fmt.Errorf("invalid argument %q for %q flag: %w", value, "--"+flag, err))
	}
	wrong := func(text string) error { return usageError(cmd, errors.New(text)) }
	hasTLS := o.certFile != ""
	switch {
	case o.upstream != "" && o.forwardAuth:
		return wrong("--upstream and --forward-auth exclude each other")
	case o.dir != "" && (o.upstream != "" || o.forwardAuth):
		return wrong("a directory is served without --upstream and --forward-auth")
	case o.forwardedHost && !o.forwardAuth:
		return wrong("--forwarded-host is for --forward-auth: elsewhere clients could name any host")
	case o.keepHost && o.upstream == "":
		return wrong("--keep-host is for --upstream")
	case o.keyFile != "" && !hasTLS:
		return wrong("--tls-key is for --tls-cert")
	case o.behindTLS && hasTLS:
		return wrong("--behind-tls is for a server without TLS of its own")
	case o.basic && !hasTLS:
		return wrong("--basic is for --tls-cert: without TLS others could read the passwords")
	case o.channelBinding.value == "required" && !hasTLS:
		return wrong("--channel-binding required is for --tls-cert: there is no TLS that a token could be bound to")
	case o.channelBinding.value == "required" && (o.sessionFile != "" || o.basic):
		return wrong("--channel-binding required excludes sessions and passwords, which are bound to no connection")
	case o.sessionFile != "" && !hasTLS && !o.behindTLS:
		return wrong("sessions are for TLS alone: give --tls-cert, or --behind-tls where a proxy in front ends it")
	case o.sessionAge < time.Second:
		return bad("session-age", o.sessionAge.String(), errors.New("it is a second or more"))
	case o.grace < 0:
		return bad("grace", o.grace.String(), errors.New("it is not negative"))
	}
	if _, _, err := net.SplitHostPort(o.listen); err != nil {
		return bad("listen", o.listen, errors.New("it is host:port, such as 127.0.0.1:8080"))
	}
	if err := serve.CheckUserHeader(o.userHeader); err != nil {
		return bad("user-header", o.userHeader, err)
	}
	if o.keyFile == "" {
		o.keyFile = o.certFile
	}
	if o.dir == "" {
		o.dir = "."
	}
	var err error
	if o.upstream != "" {
		if o.upstreamURL, err = serve.ParseUpstream(o.upstream); err != nil {
			return bad("upstream", shownURL(withScheme(o.upstream)), err)
		}
	}
	if o.sessionFile != "" {
		keys, err := readSessionKeys(o.sessionFile)
		if err != nil {
			return err
		}
		o.sessions = &negotiate.Sessions{Keys: keys, MaxAge: o.sessionAge, BehindTLS: o.behindTLS}
	}
	return nil
}

// rules is a flag for who is let in. A principal may have a comma in it, so each has a flag of its own.
type rules []serve.Rule

func (r *rules) Type() string { return "who" }

func (r *rules) String() string {
	var all []string
	for _, rule := range *r {
		all = append(all, rule.String())
	}
	return strings.Join(all, " ")
}

func (r *rules) Set(s string) error {
	rule, err := serve.ParseRule(s)
	if err == nil {
		*r = append(*r, rule)
	}
	return err
}

// readSessionKeys reads a key from each line of a file, of which no error may show anything.
func readSessionKeys(file string) (keys [][]byte, err error) {
	text, err := readPrivate(file)
	if err != nil {
		return nil, err
	}
	const hint = "make one: head -c 32 /dev/urandom | base64"
	for i, line := range slices.Collect(bytes.Lines(text)) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		key, err := base64.StdEncoding.Strict().DecodeString(string(line))
		switch {
		case err != nil:
			return nil, badSecret(file, fmt.Errorf("line %d is not base64", i+1), hint)
		case len(key) < 32:
			return nil, badSecret(file, fmt.Errorf("the key in line %d has %d bytes, and needs 32", i+1, len(key)), hint)
		}
		keys = append(keys, key)
	}
	if keys == nil {
		return nil, badSecret(file, errors.New("there is no key in it"), hint)
	}
	return keys, nil
}

func (o *serveOptions) run(ctx context.Context, stdout *output) error {
	access, err := o.openAccessLog(stdout)
	if err != nil {
		return err
	}
	defer access.close()
	ctx, stop := untilSignal(ctx, slices.DeleteFunc(handled(), func(sig os.Signal) bool { return sig == syscall.SIGHUP && access.reopens() }))
	defer stop()
	defer access.onHangup()()

	cred, err := gssapi.Acquire(ctx, &gssapi.CredentialOptions{Name: gssapi.Service("HTTP", ""), Usage: gssapi.Accept})
	if err != nil {
		return err
	}
	defer cred.Close() // always nil
	keys, err := cred.Keys(ctx)
	if err != nil {
		return err
	}
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelDebug
	}
	tell := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	s := &serve.Server{
		Auth: &negotiate.Authenticator{Credential: cred, ChannelBinding: negotiate.Binding(o.channelBinding.index()), Basic: o.basic,
			Sessions: o.sessions, Trace: negotiate.LogTrace(tell)},
		Require: o.require, Upstream: o.upstreamURL, KeepHost: o.keepHost, UserHeader: o.userHeader, BehindTLS: o.behindTLS,
		ForwardedHost: o.forwardedHost, Access: access.writer(), Log: tell, Grace: o.grace,
	}
	if o.certFile != "" {
		if s.Certificate, err = serve.LoadCertificate(o.certFile, o.keyFile, func(err error) {
			tell.Warn("the certificate cannot be read again, and the old one stays", "error", err)
		}); err != nil {
			return fmt.Errorf("cannot use the certificate %s with the key %s: %w", o.certFile, o.keyFile, bare(err))
		}
	}
	if o.upstreamURL == nil && !o.forwardAuth {
		if s.Root, err = os.OpenRoot(o.dir); err != nil {
			return fmt.Errorf("cannot serve %s: %w", o.dir, bare(err))
		}
		defer s.Root.Close()
	}
	l, err := listen(ctx, o.listen)
	if err != nil {
		return err
	}
	o.ready(newOutput(os.Stderr), l.Addr().(*net.TCPAddr), keys)
	return s.Serve(ctx, l)
}

// ready says where the server is, whose tickets it takes, and what one should know.
func (o *serveOptions) ready(out *output, addr *net.TCPAddr, keys []gssapi.Key) {
	scheme := "http"
	if o.certFile != "" {
		scheme = "https"
	}
	typed, _, _ := net.SplitHostPort(o.listen) // check has done it
	host, fits := hostToCall(typed, addr.IP, keys)
	out.printf("serve on %s://%s\n", scheme, net.JoinHostPort(clean(host), fmt.Sprint(addr.Port)))
	var told []string
	for _, k := range keys { // there is one of each encryption type
		if line := fmt.Sprintf("key of %s, version %d", k.Principal, k.KVNO); !slices.Contains(told, line) {
			told = append(told, line)
			out.printf("%s\n", clean(line))
		}
	}
	if !fits && !o.behindTLS && !o.forwardAuth { // else clients come by the name of what is in front
		out.printf("%s no ticket is for %s: clients must come by the name of a key; --listen a host that has one, or get a key with kadmin's ktadd\n",
			out.yellow("warning:"), clean(host))
	}
	if !addr.IP.IsLoopback() && o.certFile == "" && !o.behindTLS {
		out.printf("%s without TLS others can read and change what goes over the network; --tls-cert, or --behind-tls where a proxy in front has it\n",
			out.yellow("warning:"))
	}
}

// hostToCall is the name by which a client should come to what listens on an address, and whether there is a key for it.
// Whether a name leads to this machine only its user knows; localhost does, and to loopback alone.
func hostToCall(typed string, ip net.IP, keys []gssapi.Key) (host string, fits bool) {
	for _, k := range keys {
		service, _ := cutRealm(k.Principal.String())
		_, name, _ := strings.Cut(service, "/")
		switch local := strings.EqualFold(name, "localhost"); {
		case strings.EqualFold(name, typed):
			return name, true
		case fits:
		case ip.IsUnspecified(), local == ip.IsLoopback() && (typed == "" || net.ParseIP(typed) != nil):
			host, fits = name, true
		}
	}
	switch {
	case fits:
		return host, true
	case typed == "":
		return ip.String(), false
	}
	return typed, false
}

// bare is an error without the name of the file, where that has been said.
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/internal/forward"
	"github.com/nego-sso/nego/negotiate"
	"github.com/spf13/cobra"
)

// proxyOptions are the flags of proxy.
type proxyOptions struct {
	listen       string
	upstream     string
	allow        hostRules
	direct       string
	secretFile   string
	beyondLocal  bool
	verbose      bool
	upstreamURL  *url.URL
	clientSecret string
}

func newProxy() *cobra.Command {
	var o proxyOptions
	cmd := &cobra.Command{
		Use:   "proxy [flags]",
		Short: "A local proxy that signs on, for programs that cannot",
		Long: `A local forward proxy that signs on, with the ticket of this machine, for programs that cannot: set their
http_proxy and https_proxy to its address.

The proxy of --upstream gets a token whenever it asks, and for tunnels (CONNECT) at once. Origins get one over
plain http, if they ask and --allow names them; what goes through a tunnel is not looked at. Tickets are looked up
anew each time, so kinit takes effect at once, and none need be there at the start.

Whoever may use the proxy signs on as you. On Linux these are your own processes and root's. Elsewhere every user
of the machine can connect to it, so give it a secret on one that you share: with --client-secret-file, a file
with user:password that only you can read, clients need that, as in http_proxy=http://user:password@127.0.0.1:3128,
and it is all they need. So does apt, which fetches as a user of its own. Other machines reach the proxy only with
--beyond-loopback, and with a secret; they do not get through to what listens on this machine's loopback.

The proxies that the environment names are for clients, and are not used. SIGINT and SIGTERM end it: requests get
five seconds to finish, and tunnels are cut. A second signal ends it at once.

The exit status is 0 after a signal, 1 where the proxy cannot listen, and 2 for its flags.`,
		Example: `  nego proxy --upstream proxy.corp.example:3128 --allow .corp.example
  http_proxy=http://127.0.0.1:3128 https_proxy=http://127.0.0.1:3128 git clone https://git.example.com/repo`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().SortFlags = false
	flags := cmd.Flags()
	flags.StringVar(&o.listen, "listen", "127.0.0.1:3128", "the `address` to listen on; port 0 is any free one")
	flags.StringVar(&o.upstream, "upstream", "", "the `proxy` that requests go on to, [http://]host:port (default: straight to the origins)")
	flags.Var(&o.allow, "allow", "`hosts` that may have a token over http: a name, or a domain and all below it as in .corp.example; comma or repeat")
	flags.StringVar(&o.direct, "no-proxy", "", "`hosts` that are reached without --upstream: names, domains, networks, separated by commas")
	flags.StringVar(&o.secretFile, "client-secret-file", "", "let in whoever knows the user:password in this `file`")
	flags.BoolVar(&o.beyondLocal, "beyond-loopback", false, "let --listen have an address that other machines reach")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "write a line for each request")
	return cmd
}

// check reads the flags.
func (o *proxyOptions) check(cmd *cobra.Command) (err error) {
	bad := func(flag, value string, err error) error {
		return usageError(cmd, fmt.Errorf("invalid argument %q for %q flag: %w", value, "--"+flag, err))
	}
	if o.upstream == "" && len(o.allow) == 0 {
		return usageError(cmd, errors.New("there is nobody to sign on to: name a proxy with --upstream, or origins with --allow"))
	}
	host, port, err := net.SplitHostPort(o.listen)
	if err != nil {
		return bad("listen", o.listen, errors.New("it is host:port, such as 127.0.0.1:3128"))
	}
	if !isLoopback(host) {
		switch {
		case !o.beyondLocal:
			return &failure{err: fmt.Errorf("other machines could reach %s, and sign on as you", o.listen), status: statusUsage,
				hints: []string{"listen on 127.0.0.1; if that is meant, say so with --beyond-loopback and --client-secret-file"}}
		case o.secretFile == "":
			return &failure{err: fmt.Errorf("other machines can reach %s, and would sign on as you", o.listen), status: statusUsage,
				hints: []string{"--client-secret-file lets in those alone who know the secret; over the network it is readable, so mind who is there"}}
		}
	}
	if o.upstream != "" {
		if o.upstreamURL, err = forward.ParseUpstream(o.upstream); err != nil {
			return bad("upstream", shownURL(withScheme(o.upstream)), err)
		}
		if port != "0" && o.upstreamURL.Port() == port && isLoopback(host) && isLoopback(o.upstreamURL.Hostname()) {
			return bad("upstream", o.upstream, errors.New("it is the address that this proxy listens on"))
		}
	}
	if o.secretFile != "" {
		o.clientSecret, err = readSecret(o.secretFile)
	}
	return err
}

// readSecret reads user:password, on the first line of a file.
func readSecret(file string) (string, error) {
	text, err := readPrivate(file)
	if err != nil {
		return "", err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	secret := strings.TrimSuffix(string(line), "\r")
	if user, password, _ := strings.Cut(secret, ":"); user == "" || password == "" {
		return "", badSecret(file, errors.New("its first line is not user:password"))
	}
	return secret, nil
}

func (o *proxyOptions) run(ctx context.Context) error {
	ctx, stop := untilSignal(ctx, handled())
	defer stop()
	l, err := listen(ctx, o.listen)
	if err != nil {
		return err
	}
	// Again, as what a name means is known only now.
	if addr := l.Addr().(*net.TCPAddr); !addr.IP.IsLoopback() && (!o.beyondLocal || o.clientSecret == "") {
		_ = l.Close()
		return fmt.Errorf("cannot listen on %s: it is %v, which other machines reach", o.listen, addr.IP)
	}
	tell := &proxyLog{out: newOutput(os.Stderr), verbose: o.verbose, told: make(map[string]string)}
	if o.upstreamURL != nil {
		tell.upstream = o.upstreamURL.Host
	}
	p := &forward.Proxy{Upstream: o.upstreamURL, Allow: o.allow.match, Secret: o.clientSecret, Log: tell.request}
	if o.direct != "" {
		p.Direct = func(host string) bool { return matchHost(o.direct, host) }
	}
	if o.verbose {
		p.ErrorLog = log.New(tell, "", 0)
	}
	tell.out.printf("proxy on http://%s\n", l.Addr())
	if runtime.GOOS != "linux" && o.clientSecret == "" {
		tell.out.printf("%s every user of this machine can sign on as you here; --client-secret-file keeps others out\n", tell.out.yellow("warning:"))
	}
	tell.ticket(ctx)
	return p.Serve(ctx, l)
}

// proxyLog tells what happens.
type proxyLog struct {
	mu       sync.Mutex
	out      *output
	verbose  bool
	upstream string            // host and port; empty: none
	told     map[string]string // why a host did not let the user in, unless it did since
}

// ticket warns where there is nothing to sign on with yet.
func (l *proxyLog) ticket(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // a client keytab takes a KDC
	defer cancel()
	cred, err := gssapi.Acquire(ctx, nil)
	switch {
	case err == nil:
		_ = cred.Close() // always nil
	case ctx.Err() == nil:
		text, _ := describe(err)
		l.out.printf("%s there is no ticket yet: %s\n", l.out.yellow("warning:"), text)
		for _, h := range hints(err) {
			l.out.printf("%s %s\n", l.out.yellow("hint:"), h)
		}
	}
}

// Write takes what net/http has to say.
func (l *proxyLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out.printf("%s\n", clean(strings.TrimRight(string(b), "\n")))
	return len(b), nil
}

// request is called with each request when it is done. That the user could not be signed on is told without -v too,
// but once, until it works again: programs that cannot sign on often show no reason either.
func (l *proxyLog) request(e forward.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.verbose {
		l.out.printf("%s\n", proxyLine(e))
	}
	if failed, ok := errors.AsType[*negotiate.Error](e.Err); ok && !errors.Is(failed, negotiate.ErrNotAllowed) {
		if host, why := originOf(failed.URL), failed.Err.Error(); l.told[host] != why {
			if len(l.told) > 1000 {
				clear(l.told)
			}
			l.told[host] = why
			explain(l.out, failed)
		}
		return
	}
	if e.Upstream && e.Err == nil {
		delete(l.told, l.upstream)
	}
	if e.SignedOn != "" {
		delete(l.told, originOf(e.Target))
	}
}

// originOf is the host and port of a URL that has been one already.
func originOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return s
	}
	return u.Host
}

// proxyLine is the line of a request.
func proxyLine(e forward.Entry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Method, e.Target)
	if e.Status == 0 {
		b.WriteString(" gone")
	} else {
		fmt.Fprintf(&b, " %d", e.Status)
	}
	fmt.Fprintf(&b, " %v", e.Duration.Round(time.Millisecond))
	if e.Upstream {
		b.WriteString(", upstream")
	}
	if e.SignedOn != "" {
		fmt.Fprintf(&b, ", signed on to %s", e.SignedOn)
	}
	switch {
	case errors.Is(e.Err, negotiate.ErrNotAllowed):
		b.WriteString(", wants a token, and is not in --allow")
	case e.Err != nil && e.Status != http.StatusProxyAuthRequired:
		text, _ := describe(e.Err)
		fmt.Fprintf(&b, ": %s", text)
	}
	return clean(b.String())
}

// hostRules is a flag for hosts and domains.
type hostRules []string

func (r *hostRules) Type() string   { return "hosts" }
func (r *hostRules) String() string { return strings.Join(*r, ",") }

func (r *hostRules) Set(s string) error {
	for rule := range strings.SplitSeq(s, ",") {
		rule = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(rule)), ".")
		name := strings.Trim(strings.TrimPrefix(rule, "."), "[]")
		switch {
		case name == "" || strings.ContainsAny(name, "*/@ "):
			return errors.New("it is a host, or a domain with a dot before it: a token for everybody is not wise")
		case strings.Contains(name, ":") && net.ParseIP(name) == nil:
			return errors.New("it is a host without port")
		}
		if !strings.HasPrefix(rule, ".") {
			rule = name // without brackets
		}
		*r = append(*r, rule)
	}
	return nil
}

// match reports whether a host is named, or is in a domain that is. A host in lower case, without a dot at its end.
func (r hostRules) match(host string) bool {
	for _, rule := range r {
		if host == rule || strings.HasPrefix(rule, ".") && (host == rule[1:] || strings.HasSuffix(host, rule)) {
			return true
		}
	}
	return false
}

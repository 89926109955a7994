package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
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

Exit status, as with curl: 2 usage, 3 bad URL, 6 host not found, 7 cannot connect, 18 body cut short,
22 status 400 or more with -f, 23 cannot write, 28 timeout, 35 TLS handshake, 47 too many redirects,
52 empty reply, 55 cannot send, 56 cannot receive, 60 certificate, 77 file of certificates, 94 authentication.`,
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
	cmd.Flags().VarP(&o.maxTime, "max-time", "m", "give up on a URL after so many `seconds`")
	cmd.Flags().Var(&o.mutual, "mutual", "make the server prove itself: disabled, optional or required")
	cmd.Flags().StringVar(&o.target, "target", "", "the `name` of the service: HTTP@host or a principal (default: HTTP at the URL's host)")
	cmd.Flags().StringVar(&o.mech, "mech", "spnego", "the `mechanism`: spnego, krb5 or an OID")
	cmd.Flags().StringVar(&o.ccache, "ccache", "", "the ticket `cache` to use (default: KRB5CCNAME, or what krb5.conf says)")
	cmd.Flags().BoolVar(&o.strict, "strict", false, "a failed authentication is an error, exit status 94, and not just a 401")
	cmd.Flags().StringVar(&o.outcomeTo, "outcome", "", "how signing on went, in JSON, a line for each URL, to `file`; - is standard error")
	for name, values := range map[string][]string{"mutual": o.mutual.allowed, "mech": {"spnego", "krb5"}} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
	}
	return cmd
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

// messages says whether errors are written.
func (o *fetchOptions) messages() bool { return !o.silent || o.showError }

// quiet makes -s take the text of an error away, and leave its exit status.
func (o *fetchOptions) quiet(err error) error {
	if err == nil || o.messages() {
		return err
	}
	return silenced(err)
}

// fetcher fetches URLs one after the other.
type fetcher struct {
	*fetchOptions
	client  *http.Client
	cred    *gssapi.Credential
	outcome *os.File
	msg     *output
}

func newFetcher(cmd *cobra.Command, o *fetchOptions) (_ *fetcher, err error) {
	f := &fetcher{fetchOptions: o, msg: newOutput(os.Stderr)}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	mech, err := parseMech(o.mech)
	if err != nil {
		return nil, usageError(cmd, err)
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.DisableCompression = true // the body is to be what the server has
	base.TLSClientConfig = &tls.Config{InsecureSkipVerify: o.insecure}
	if o.cacert != "" {
		if base.TLSClientConfig.RootCAs, err = readCertificates(o.cacert); err != nil {
			return nil, &failure{err: err, status: statusCACert}
		}
	}
	t := &negotiate.Transport{Base: base, Mech: mech, Strict: o.strict}
	if o.verbose {
		// As any RoundTripper that is no *http.Transport, wire is used as it is; nobody else has its connections.
		w := &wire{base: base, out: f.msg}
		t.Base = w
		t.Trace = &negotiate.Trace{GSS: func(_ context.Context, i negotiate.GSSInfo) { w.gss(i) }}
	}
	switch o.mutual.value {
	case "optional":
		t.Mutual = negotiate.MutualOptional
	case "required":
		t.Mutual = negotiate.MutualRequired
	}
	if o.target != "" {
		name := parseTarget(o.target)
		t.Target = func(*url.URL) gssapi.Name { return name }
	}
	if o.ccache != "" {
		f.cred, err = gssapi.Acquire(cmd.Context(), &gssapi.CredentialOptions{Store: gssapi.Store{CCache: o.ccache}})
		if err != nil {
			return nil, &failure{err: err, status: statusAuth}
		}
		t.Credential = f.cred
	}
	switch o.outcomeTo {
	case "":
	case "-":
		f.outcome = os.Stderr
	default:
		if f.outcome, err = os.Create(o.outcomeTo); err != nil {
			return nil, &failure{err: err, status: statusWrite}
		}
	}
	f.client = &http.Client{Transport: t}
	return f, nil
}

func (f *fetcher) close() {
	if f.client != nil {
		f.client.CloseIdleConnections()
	}
	if f.cred != nil {
		_ = f.cred.Close() // always nil
	}
	if f.outcome != nil && f.outcome != os.Stderr {
		_ = f.outcome.Close() // each line has been written by a call of its own
	}
}

func parseMech(s string) (gssapi.OID, error) {
	switch s {
	case "spnego":
		return gssapi.SPNEGO, nil
	case "krb5":
		return gssapi.KRB5, nil
	}
	mech, err := gssapi.ParseOID(s)
	if err != nil {
		return "", fmt.Errorf("invalid argument %q for %q flag: it is spnego, krb5 or an OID such as 1.3.6.1.5.5.2", s, "--mech")
	}
	return mech, nil
}

// mechName is what parseMech reads.
func mechName(mech gssapi.OID) string {
	switch mech {
	case "":
		return ""
	case gssapi.SPNEGO:
		return "spnego"
	case gssapi.KRB5:
		return "krb5"
	}
	return mech.String()
}

// parseTarget reads service@host, which krb5.conf completes, and everything else as a principal.
func parseTarget(s string) gssapi.Name {
	if service, host, ok := strings.Cut(s, "@"); ok && !strings.Contains(service, "/") {
		return gssapi.Service(service, host)
	}
	return gssapi.Principal(s)
}

func readCertificates(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM format", file)
	}
	return pool, nil
}

// all fetches all URLs, whatever comes of each, and returns the last failure.
func (f *fetcher) all(ctx context.Context, urls []string) error {
	var last error
	for i, u := range urls {
		file := "-"
		if i < len(f.output) {
			file = f.output[i]
		}
		if err := f.one(ctx, u, file); err != nil {
			if f.messages() {
				report(f.msg, err)
			}
			last = silenced(err)
		}
	}
	return last
}

// transfer is what there is to know about one URL.
type transfer struct {
	outcome   negotiate.Outcome
	status    int
	tlsFailed atomic.Bool // set by any goroutine, and also when nobody waits any more
	maxTime   seconds
}

func (f *fetcher) one(ctx context.Context, rawURL, file string) (err error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return err
	}
	t := &transfer{maxTime: f.maxTime}
	if f.outcome != nil {
		defer func() { err = also(err, f.writeOutcome(t, err)) }()
	}
	if f.maxTime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(f.maxTime))
		defer cancel()
	}
	ctx = negotiate.WithOutcome(ctx, &t.outcome)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) { t.tlsFailed.Store(err != nil) },
	})
	out := &body{name: file}
	defer func() { err = also(err, out.close()) }()

	method := http.MethodGet
	if f.head {
		method = http.MethodHead
	}
	req, err := http.NewRequestWithContext(ctx, method, u, nil)
	if err != nil {
		return &failure{err: err, status: statusURL}
	}
	req.Header.Set("Accept", "*/*")
	req.Header.Set("User-Agent", userAgent())
	f.client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if !f.location {
			return http.ErrUseLastResponse
		}
		if len(via) > maxRedirects {
			return errTooManyRedirects
		}
		if f.include || f.head {
			return writeHead(out, req.Response)
		}
		return nil
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return requestFailed(err, t)
	}
	defer resp.Body.Close()
	t.status = resp.StatusCode

	if f.fail && resp.StatusCode >= 400 {
		// Read, within bounds, so that the next URL can have the connection.
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
		return &failure{err: refused(resp, t.outcome), status: statusHTTP}
	}
	if (resp.StatusCode == http.StatusUnauthorized || t.outcome.Err != nil) && f.messages() {
		explain(f.msg, refused(resp, t.outcome))
	}
	if f.include || f.head {
		if err := writeHead(out, resp); err != nil {
			return bodyFailed(err, t)
		}
	}
	if err := out.open(); err != nil { // an empty body makes an empty file
		return bodyFailed(err, t)
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return bodyFailed(err, t)
	}
	return nil
}

// parseURL reads a URL, which as with curl may lack http://.
func parseURL(s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return "", badURL(s, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", unsupportedScheme(u.Scheme)
	}
	return s, nil
}

// writeHead writes status and header as HTTP/1 has them, in alphabetical order: net/http keeps no other.
func writeHead(w io.Writer, resp *http.Response) error {
	_, err := io.WriteString(w, strings.Join(slices.Concat([]string{resp.Proto + " " + resp.Status}, headerLines(resp.Header), []string{"", ""}), "\r\n"))
	return err
}

func headerLines(h http.Header) []string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(h)) {
		name := key
		if key == "Www-Authenticate" {
			name = "WWW-Authenticate" // as everybody else writes it
		}
		for _, v := range h[key] {
			lines = append(lines, name+": "+v)
		}
	}
	return lines
}

// body is where a body goes. A file is made when there is something for it, so that a failed transfer
// leaves the one of last time as it was.
type body struct {
	name string // - is standard output
	f    *os.File
}

func (b *body) open() (err error) {
	if b.f != nil {
		return nil
	}
	if b.name == "-" {
		b.f = os.Stdout
		return nil
	}
	if b.f, err = os.Create(b.name); err != nil {
		return writeError{err}
	}
	return nil
}

func (b *body) Write(p []byte) (int, error) {
	if err := b.open(); err != nil {
		return 0, err
	}
	n, err := b.f.Write(p)
	if err != nil {
		err = writeError{err}
	}
	return n, err
}

func (b *body) close() error {
	if b.f == nil || b.f == os.Stdout {
		return nil
	}
	if err := b.f.Close(); err != nil {
		return bodyFailed(writeError{err}, nil)
	}
	return nil
}

// outcomeJSON is what scripts depend on.
type outcomeJSON struct {
	Status       int    `json:"status"` // 0: no response
	Legs         int    `json:"legs"`
	Mutual       bool   `json:"mutual"`
	Delegated    bool   `json:"delegated"`     // false: fetch delegates nothing
	ChannelBound bool   `json:"channel_bound"` // false: fetch sends no bindings
	Target       string `json:"target"`
	Mech         string `json:"mech"`
	Error        string `json:"error"`
}

func (f *fetcher) writeOutcome(t *transfer, failed error) error {
	o := t.outcome
	j := outcomeJSON{Status: t.status, Legs: o.Legs, Mutual: o.Mutual,
		Target: o.Target.String(), Mech: mechName(o.Mech)}
	if o.Err != nil {
		failed = o.Err
	}
	if failed != nil {
		j.Error, _ = describe(failed)
	}
	if e, ok := errors.AsType[*negotiate.Error](failed); ok && j.Status == 0 {
		j.Status = e.Status // of the response that was not good enough
	}
	if err := json.NewEncoder(f.outcome).Encode(j); err != nil {
		return bodyFailed(writeError{err}, nil)
	}
	return nil
}

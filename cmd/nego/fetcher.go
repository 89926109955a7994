package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
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

// fetcher fetches URLs one after the other.
type fetcher struct {
	*fetchOptions
	mech     gssapi.OID
	fields   []field  // of -H
	form     *payload // of -d; nil: none
	formErr  error
	client   *http.Client       // nil until the first URL
	cred     *gssapi.Credential // nil: the default one, unless
	credErr  error              // there is none, which is told where a server asks for it
	outcomes *os.File
	wire     *wire // nil: without -v
	msg      *output
}

func newFetcher(cmd *cobra.Command, o *fetchOptions) (f *fetcher, err error) {
	f = &fetcher{fetchOptions: o, msg: newOutput(os.Stderr)}
	if f.mech, err = parseMech(o.mech); err != nil {
		return nil, usageError(cmd, err)
	}
	if err := o.check(cmd); err != nil {
		return nil, err
	}
	switch o.outcomeTo {
	case "":
	case "-":
		f.outcomes = os.Stderr
	default:
		if f.outcomes, err = os.Create(o.outcomeTo); err != nil {
			return nil, &failure{err: err, status: statusWrite}
		}
	}
	if f.fields, err = parseFields(o.header); err != nil {
		if _, ok := errors.AsType[*failure](err); ok {
			f.formErr = err // for each URL
			return f, nil
		}
		f.close()
		return nil, usageError(cmd, err)
	}
	if len(o.data) > 0 {
		f.form, f.formErr = newForm(o.data)
	}
	return f, nil
}

func (f *fetcher) close() {
	if f.client != nil {
		f.client.CloseIdleConnections()
	}
	if f.cred != nil {
		_ = f.cred.Close() // always nil
	}
	if f.outcomes != nil && f.outcomes != os.Stderr {
		_ = f.outcomes.Close() // each line has been written by a call of its own
	}
}

// start makes the client. It is called for each URL, so that the time for one bounds it and its failures are those of
// a URL.
func (f *fetcher) start(ctx context.Context) error {
	if f.client != nil {
		return nil
	}
	if f.formErr != nil {
		return f.formErr
	}
	base, err := f.base()
	if err != nil {
		return err
	}
	if err := f.acquire(ctx); err != nil {
		return err
	}
	if f.verbose {
		f.wire = &wire{base: base, out: f.msg}
	}
	f.client = &http.Client{Transport: misdirected{f.transport(base)}, CheckRedirect: checkRedirect}
	return nil
}

// base is everything about connections.
func (f *fetcher) base() (*http.Transport, error) {
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.DisableCompression = true // the body is to be what the server has
	base.TLSClientConfig = &tls.Config{InsecureSkipVerify: f.insecure}
	if f.cacert != "" {
		var err error
		if base.TLSClientConfig.RootCAs, err = readCertificates(f.cacert); err != nil {
			return nil, &failure{err: err, status: statusCACert}
		}
	}
	if f.http11 || f.overTLS() { // else net/http would speak HTTP/2 to a proxy that offers it, and CONNECT is of HTTP/1.1
		base.Protocols = new(http.Protocols)
		base.Protocols.SetHTTP1(true)
	}
	base.Proxy = func(req *http.Request) (*url.URL, error) { return f.proxy(req.URL) }
	base.OnProxyConnectResponse = f.connected
	return base, nil
}

// acquire gets the credential that the flags name. Where there is none, that is no reason to fail before a server has
// asked for it.
func (f *fetcher) acquire(ctx context.Context) error {
	f.cred, f.credErr = f.identityOptions.acquire(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// transport is everything about authentication.
func (f *fetcher) transport(base *http.Transport) *negotiate.Transport {
	t := &negotiate.Transport{Base: base, Credential: f.cred, Mech: f.mech, Strict: f.strict}
	if f.credErr != nil {
		// Not the default credential in its place: that would be somebody else.
		t.Allow = func(*url.URL) bool { return false }
	}
	if f.wire != nil {
		t.Trace = &negotiate.Trace{Response: f.wire.response, GSS: f.wire.gss}
	}
	t.KeepErrorBody, t.ProxyAuth = f.keepErrorBody, f.negotiatesWithProxy()
	t.Mutual = negotiate.Mutual(f.mutual.index())
	t.Preemptive = negotiate.Preemption(f.preemptive.index())
	t.Delegate = negotiate.Delegation(f.delegate.index())
	t.ChannelBinding = negotiate.Binding(f.channelBinding.index())
	if f.target != "" {
		name := parseTarget(f.target)
		t.Target = func(*url.URL) gssapi.Name { return name }
	}
	return t
}

// because puts the reason why there is no credential in the place of the rule that stands for it.
func (f *fetcher) because(err error) error {
	e, ok := errors.AsType[*negotiate.Error](err)
	if !ok || f.credErr == nil || !errors.Is(err, negotiate.ErrNotAllowed) {
		return err
	}
	told := *e
	told.Err = f.credErr
	return &told
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
		t := &transfer{fetcher: f, url: shownURL(withScheme(u)), out: &body{name: file}}
		if i < len(f.upload) {
			t.uploads = f.upload[i]
		}
		if err := t.run(ctx, withScheme(u)); err != nil {
			if f.messages() {
				report(f.msg, err)
			}
			last = silenced(err)
		}
	}
	return last
}

// transfer is what becomes of one URL.
type transfer struct {
	*fetcher
	url       string // to show
	uploads   string // the file of -T; empty: none
	kind      kind   // of the request that is under way
	payload   *payload
	first     *url.URL
	hopURL    *url.URL // of the request that is under way; nil: there is none yet
	out       *body
	going     *progress // of the file of -T; nil: it is not shown
	outcome   negotiate.Outcome
	status    int
	kept      *http.Response // by misdirected; nil: no response is
	why       error          // what is wrong with the response, where that is no failure
	tlsFailed atomic.Bool    // set by any goroutine, and even when nobody waits any more
}

func (t *transfer) run(ctx context.Context, url string) (err error) {
	if t.outcomes != nil {
		defer func() { err = also(err, t.writeOutcome(t, err)) }()
	}
	defer func() { err = also(err, t.out.close()) }()
	if err := checkURL(url); err != nil {
		return err
	}
	if t.maxTime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(t.maxTime))
		defer cancel()
	}
	if err := t.start(ctx); err != nil {
		if _, ok := errors.AsType[*failure](err); ok {
			return err
		}
		return t.requestFailed(err)
	}
	if err := t.chooseBody(); err != nil {
		return err
	}
	resp, err := t.request(ctx, url)
	t.going.end()
	t.outcome.Err = t.because(t.outcome.Err)
	if err != nil {
		return t.requestFailed(t.because(err))
	}
	defer resp.Body.Close()
	t.status = resp.StatusCode
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		t.why = t.refusedByProxy(resp)
	case resp.StatusCode == http.StatusUnauthorized, t.outcome.Err != nil, t.fail && resp.StatusCode >= 400:
		t.why = refused(resp, t.outcome)
	}
	if t.fail && resp.StatusCode >= 400 {
		// Read, within bounds, so that the next URL can have the connection.
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
		if err := t.deliverHead(resp); err != nil {
			return t.bodyFailed(err)
		}
		return &failure{err: t.why, status: statusHTTP}
	}
	if t.location && resp.Header.Get("Location") != "" && (resp.StatusCode == 307 || resp.StatusCode == 308) {
		return t.failed(errNotAgain, statusRewind) // else http.Client had followed it
	}
	if t.why != nil && t.messages() {
		explain(t.msg, t.why)
	}
	return t.deliver(resp)
}

// chooseBody finds out what is to be sent.
func (t *transfer) chooseBody() (err error) {
	switch {
	case t.head:
		t.kind = head
	case t.uploads != "":
		t.kind = put
		if t.payload, err = newUpload(t.uploads); err != nil {
			return err
		}
		t.going = t.newProgress(t.uploads, t.payload.length)
		t.payload.watch(t.going)
	case t.form != nil:
		form := *t.form
		t.kind, t.payload = post, &form
	default:
		return nil
	}
	if t.payload != nil {
		t.payload.chunked = slices.ContainsFunc(t.fields, func(f field) bool { return f.name == "Transfer-Encoding" })
	}
	return nil
}

func (t *transfer) request(ctx context.Context, url string) (*http.Response, error) {
	ctx = context.WithValue(ctx, transferKey{}, t)
	ctx = negotiate.WithOutcome(ctx, &t.outcome)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) { t.tlsFailed.Store(err != nil) },
	})
	if t.wire != nil {
		ctx = t.wire.watch(ctx)
	}
	req, err := t.newRequest(ctx, url)
	if err != nil {
		return nil, err
	}
	if t.wire != nil {
		t.wire.request(req)
	}
	resp, err := t.client.Do(req)
	if errors.Is(err, errMisdirected) {
		return t.kept, nil
	}
	return resp, err
}

// viaProxy is the proxy of the request that is under way.
func (t *transfer) viaProxy() *url.URL {
	if t.hopURL == nil {
		return nil
	}
	proxy, _ := t.proxy(t.hopURL) // one that cannot be used has been told already
	return proxy
}

func (t *transfer) refusedByProxy(resp *http.Response) error {
	e, ok := errors.AsType[*negotiate.Error](t.outcome.Err)
	if ok && e.Status == http.StatusProxyAuthRequired {
		return t.proxyRefused(t.viaProxy(), resp, e.Err)
	}
	return t.proxyRefused(t.viaProxy(), resp, nil)
}

// transferKey is for the context of the requests of a transfer.
type transferKey struct{}

// misdirected keeps redirects whose Location is no URL from http.Client, for which they are errors even where it is not to
// follow them.
type misdirected struct{ *negotiate.Transport }

var errMisdirected = errors.New("a redirect that is not followed has a Location that is no URL")

func (m misdirected) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := m.Transport.RoundTrip(req)
	if err != nil || resp.StatusCode/100 != 3 {
		return resp, err
	}
	location := resp.Header.Get("Location")
	_, bad := req.URL.Parse(location)
	if bad == nil {
		return resp, nil
	}
	t := req.Context().Value(transferKey{}).(*transfer)
	if !t.location {
		t.kept = resp
		return nil, errMisdirected
	}
	resp.Body.Close()
	return nil, badURL(location, bad)
}

// checkRedirect is called with the request that is to follow a redirect.
func checkRedirect(req *http.Request, via []*http.Request) error {
	t := req.Context().Value(transferKey{}).(*transfer)
	if !t.location {
		return http.ErrUseLastResponse
	}
	if err := t.deliverHead(req.Response); err != nil {
		return err
	}
	if len(via) > maxRedirects {
		return errTooManyRedirects
	}
	t.hopURL = req.URL
	if err := checkURL(req.URL.String()); err != nil {
		return err
	}
	t.kind = t.kind.follow(req.Response.StatusCode)
	if err := t.fill(req); err != nil {
		return err
	}
	if t.wire != nil {
		t.wire.request(req)
	}
	return nil
}

// deliverHead writes status and header, where they are wanted.
func (t *transfer) deliverHead(resp *http.Response) error {
	if !t.include && !t.head {
		return nil
	}
	return writeHead(t.out, resp)
}

// deliver writes a response.
func (t *transfer) deliver(resp *http.Response) error {
	if err := t.deliverHead(resp); err != nil {
		return t.bodyFailed(err)
	}
	if t.head {
		return nil // -X may have asked for a body
	}
	if err := t.out.open(); err != nil { // an empty body makes an empty file
		return t.bodyFailed(err)
	}
	var coming *progress
	if t.out.name != "-" || !isTerminal(os.Stdout) {
		coming = t.newProgress(cmp.Or(strings.TrimPrefix(t.out.name, "-"), t.url), resp.ContentLength)
		defer coming.end()
	}
	if _, err := io.Copy(&watchedWriter{t.out, counter{p: coming}}, resp.Body); err != nil {
		return t.bodyFailed(err)
	}
	return nil
}

// withScheme completes a URL, which as with curl may lack http://.
func withScheme(s string) string {
	if !strings.Contains(s, "://") {
		return "http://" + s
	}
	return s
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return badURL(s, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return unsupportedScheme(u.Scheme)
	}
	if p := u.Port(); p != "" {
		if _, err := strconv.ParseUint(p, 10, 16); err != nil {
			return badURL(s, fmt.Errorf("invalid port %s", p))
		}
	}
	return nil
}

// shownURL is a URL for messages: without user, password, query and fragment, and even where it is malformed.
func shownURL(s string) string {
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		return displayURL(u)
	}
	scheme, rest, _ := strings.Cut(s, "://")
	rest = rest[strings.LastIndex(rest, "@")+1:]
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	return scheme + "://" + rest
}

func displayURL(u *url.URL) string {
	shown := *u
	shown.User, shown.RawQuery, shown.ForceQuery, shown.Fragment, shown.RawFragment = nil, "", false, "", ""
	return shown.String()
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
		return writeFailed(err)
	}
	return nil
}

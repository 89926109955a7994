package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
	"github.com/spf13/cobra"
)

// All that nego says about errors is said here: one line "nego: …", lower-case and without a full stop,
// then lines "hint: …" with what to do. Exit statuses are those of curl.
const (
	statusError    = 1 // where curl means a scheme it does not know, the only one of its own
	statusUsage    = 2
	statusURL      = 3
	statusProxyDNS = 5
	statusDNS      = 6
	statusConnect  = 7
	statusPartial  = 18
	statusHTTP     = 22
	statusWrite    = 23
	statusRead     = 26
	statusTimeout  = 28
	statusTLS      = 35
	statusRedirect = 47
	statusEmpty    = 52
	statusSend     = 55
	statusReceive  = 56
	statusCert     = 60
	statusRewind   = 65
	statusCACert   = 77
	statusAuth     = 94
	statusProxy    = 97
)

// failure is an error that knows more than its text: the exit status and what to do.
type failure struct {
	err    error // nil: all has been said
	status int
	hints  []string
}

func (f *failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit status %d", f.status)
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// report writes an error and returns the exit status.
func report(o *output, err error) int {
	if err == nil {
		return 0
	}
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = &failure{err: err, status: statusError}
	}
	if f.err != nil {
		explain(o, err)
	}
	return f.status
}

// explain writes the line of an error and its hints.
func explain(o *output, err error) {
	text, _ := describe(err)
	o.printf("%s %s\n", o.red("nego:"), text)
	for _, h := range hints(err) {
		o.printf("%s %s\n", o.yellow("hint:"), h)
	}
}

// hints says what to do about an error.
func hints(err error) (all []string) {
	for f, ok := errors.AsType[*failure](err); ok; f, ok = errors.AsType[*failure](f.err) {
		all = append(all, f.hints...)
	}
	if err != nil {
		if _, hint := describe(err); hint != "" {
			all = append(all, hint)
		}
	}
	return all
}

// also adds the error of cleaning up to the one before it, whose exit status stays.
func also(err, second error) error {
	switch {
	case second == nil:
		return err
	case err == nil:
		return second
	}
	if f, ok := errors.AsType[*failure](err); ok && f.err == nil {
		return &failure{err: second, status: f.status}
	}
	return errors.Join(err, second)
}

// describe splits an error into its text and the advice that gssapi has put at the end of it, and takes off
// the names of packages, which say nothing to a user of the command.
func describe(err error) (text, hint string) {
	text = err.Error()
	if g, ok := errors.AsType[*gssapi.Error](err); ok && g.Hint != "" {
		hint = g.Hint
		text = strings.Replace(text, "; "+hint, "", 1)
	}
	for _, name := range []string{"gssapi: ", "negotiate: ", "krbtest: "} {
		text = strings.ReplaceAll(text, name, "")
	}
	return clean(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }), "; ")), hint
}

// silenced is err without its words, which have been said or are not wanted.
func silenced(err error) error {
	status := statusError
	if f, ok := errors.AsType[*failure](err); ok {
		status = f.status
	}
	return &failure{status: status}
}

func usageError(cmd *cobra.Command, err error) error {
	return &failure{err: err, status: statusUsage, hints: []string{fmt.Sprintf("see %q", cmd.CommandPath()+" --help")}}
}

func unknownCommand(root *cobra.Command, name string) error {
	f := &failure{err: fmt.Errorf("unknown command %q", name), status: statusUsage}
	root.SuggestionsMinimumDistance = 2
	for _, s := range root.SuggestionsFor(name) {
		f.hints = append(f.hints, fmt.Sprintf("did you mean %q?", root.Name()+" "+s))
	}
	if f.hints == nil {
		f.hints = []string{fmt.Sprintf("%q lists the commands", root.Name()+" --help")}
	}
	return f
}

// cannotRun uses the exit statuses of a shell.
func cannotRun(name string, err error) error {
	status := 126
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		status = 127
	}
	if e, ok := errors.AsType[*exec.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return &failure{err: fmt.Errorf("cannot run %s: %w", name, err), status: status}
}

// cannotWrite is about what a command has to say. The status is the one that curl has for a body.
func cannotWrite(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return &failure{err: fmt.Errorf("cannot write to standard output: %w", err), status: statusWrite}
}

func keytabFailed(file string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return &failure{err: fmt.Errorf("the keytab %s exists already", file), status: statusError,
			hints: []string{"name a new file, which is removed with the realm"}}
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("cannot write the keytab %s: %w", file, err)
}

// childStatus ends this program as its child has ended, which has said why itself.
func childStatus(err error) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return signalled(ws.Signal())
	}
	return &failure{status: exit.ExitCode()}
}

func signalled(sig os.Signal) error {
	n, _ := sig.(syscall.Signal)
	return &failure{status: 128 + int(n)}
}

var errTooManyRedirects = fmt.Errorf("more than %d redirects", maxRedirects)

// writeError is an error of where the body goes, as opposed to where it comes from.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

func badURL(s string, err error) error {
	e, isParse := errors.AsType[*url.Error](err)
	if isParse {
		err = e.Err // the URL may have a password
	}
	switch {
	case err == nil:
		err = errors.New("it names no host")
	case isParse && strings.Contains(s, "@"):
		err = errors.New("the user or the password in it is malformed") // and that may be quoted in err
	}
	return &failure{err: fmt.Errorf("bad URL %q: %w", shownURL(s), err), status: statusURL}
}

func unsupportedScheme(scheme string) error {
	return &failure{err: fmt.Errorf("%s is not supported", scheme), status: statusError, hints: []string{"use http or https"}}
}

// refused says why a response is not what was asked for.
func refused(resp *http.Response, o negotiate.Outcome) error {
	err := fmt.Errorf("%s answered %s", resp.Request.URL.Host, resp.Status)
	switch {
	case errors.Is(o.Err, negotiate.ErrRefused):
		return &failure{err: fmt.Errorf("%w: it does not accept the token for %s", err, o.Target), hints: []string{
			"the server's log says why; often its keytab lacks the key of that name or has an old one, or its clock is wrong"}}
	case o.Err != nil:
		reason := o.Err
		if e, ok := errors.AsType[*negotiate.Error](reason); ok {
			reason = e.Err // which URL and status it was about has just been said
		}
		if errors.Is(reason, negotiate.ErrBody) {
			return &failure{err: fmt.Errorf("%w: it asked for a token when the body had been sent", err), hints: []string{
				"what is read from a pipe cannot be sent a second time: upload a file, or send the token first with --preemptive always"}}
		}
		return &failure{err: fmt.Errorf("%w: %w", err, reason), hints: proofHints(reason, o)}
	case resp.StatusCode != http.StatusUnauthorized:
		return err
	}
	schemes := offered(resp.Header.Values("WWW-Authenticate"))
	foreign := ""
	switch {
	case resp.Request.URL.User != nil:
		foreign = "the user and password of the URL were sent as Basic"
	case resp.Request.Header.Get("Authorization") != "":
		foreign = "the Authorization of -H was sent"
	}
	switch {
	case foreign != "" && offersNegotiate(schemes):
		return &failure{err: fmt.Errorf("%w: %s, so Negotiate was not tried", err, foreign), hints: []string{"leave that out to sign on with a ticket"}}
	case foreign != "":
		return fmt.Errorf("%w: %s, so Negotiate was not tried", err, foreign)
	case offersNegotiate(schemes):
		return fmt.Errorf("%w: it took the token, and does not let its user in", err)
	}
	return notOffered(err, schemes)
}

// offered are the schemes of challenges, as far as they stand at the beginning of a field.
func offered(fields []string) (schemes []string) {
	for _, v := range fields {
		scheme, _, _ := strings.Cut(v, " ")
		schemes = append(schemes, scheme)
	}
	return schemes
}

func offersNegotiate(schemes []string) bool {
	return slices.ContainsFunc(schemes, func(s string) bool { return strings.EqualFold(s, "Negotiate") })
}

func notOffered(err error, schemes []string) error {
	if len(schemes) == 0 {
		return fmt.Errorf("%w, and offers no way to sign on", err)
	}
	return fmt.Errorf("%w: it does not offer Negotiate but %s", err, strings.Join(schemes, ", "))
}

// proofHints is for a server that had no occasion to prove who it is.
func proofHints(err error, o negotiate.Outcome) []string {
	if !errors.Is(err, negotiate.ErrMutual) || o.Legs > 0 {
		return nil
	}
	return []string{"it did not ask for Negotiate, and without a token it cannot prove anything; --preemptive always sends one"}
}

// failed says which URL an error is about.
func (t *transfer) failed(err error, status int, hints ...string) error {
	url := t.url
	if t.hopURL != nil && t.hopURL != t.first {
		if hop := displayURL(t.hopURL); hop != url {
			url += ", redirected to " + hop
		}
	}
	return &failure{err: fmt.Errorf("cannot fetch %s: %w", url, err), status: status, hints: hints}
}

// requestFailed finds the exit status for what kept a response from coming.
func (t *transfer) requestFailed(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // names the method and the URL, with its query
	}
	f, isFailure := errors.AsType[*failure](err)
	dns, isDNS := errors.AsType[*net.DNSError](err)
	op, isOp := errors.AsType[*net.OpError](err)
	proxy := t.viaProxy()
	if isOp && op.Op == "proxyconnect" && proxy != nil {
		err = fmt.Errorf("the proxy %s: %w", proxy.Host, op.Err)
	}
	_, isCert := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case isFailure: // it has its reasons from the flags, and knows no URL
		return t.failed(f.err, f.status, f.hints...)
	case errors.Is(err, context.DeadlineExceeded):
		if t.maxTime > 0 {
			err = fmt.Errorf("timed out after %v", time.Duration(t.maxTime))
		}
		return t.failed(err, statusTimeout)
	case errors.Is(err, errTooManyRedirects):
		return t.failed(err, statusRedirect)
	case isWriteError(err):
		return writeFailed(err)
	case isAuth(err):
		return &failure{err: err, status: statusAuth, hints: proofHints(err, t.outcome)}
	case isDNS && proxy != nil && dns.Name == proxy.Hostname():
		return &failure{err: fmt.Errorf("cannot find the proxy %s: %s", dns.Name, dns.Err), status: statusProxyDNS}
	case isDNS:
		return &failure{err: fmt.Errorf("cannot find the host %s: %s", dns.Name, dns.Err), status: statusDNS}
	case isCert:
		return t.failed(err, statusCert, "--cacert names the certificates to trust; -k trusts any, and anybody")
	case t.tlsFailed.Load() || errors.Is(err, http.ErrSchemeMismatch):
		return t.failed(err, statusTLS)
	case isTimeout(err):
		return t.failed(err, statusTimeout)
	case isOp && op.Op == "socks connect" && proxy != nil:
		return t.failed(fmt.Errorf("the proxy %s: %w", proxy.Host, op.Err), statusProxy)
	case isOp && (op.Op == "dial" || op.Op == "proxyconnect"):
		return t.failed(err, statusConnect)
	case isOp && op.Op == "write":
		return t.failed(err, statusSend)
	case errors.Is(err, io.EOF):
		return t.failed(errors.New("the server closed the connection without an answer"), statusEmpty)
	}
	return t.failed(err, statusReceive)
}

// bodyFailed finds the exit status for what ended a body too early.
func (t *transfer) bodyFailed(err error) error {
	switch {
	case isWriteError(err):
		return writeFailed(err)
	case errors.Is(err, context.DeadlineExceeded):
		return t.failed(fmt.Errorf("timed out after %v, in the middle of the body", time.Duration(t.maxTime)), statusTimeout)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return t.failed(errors.New("the server closed the connection in the middle of the body"), statusPartial)
	}
	return t.failed(err, statusReceive)
}

func writeFailed(err error) error { return &failure{err: err, status: statusWrite} }

func isWriteError(err error) bool {
	_, ok := errors.AsType[writeError](err)
	return ok
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// isAuth reports whether authentication failed, as opposed to the connection.
func isAuth(err error) bool {
	_, ok := errors.AsType[*negotiate.Error](err)
	return ok
}

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
	statusDNS      = 6
	statusConnect  = 7
	statusPartial  = 18
	statusHTTP     = 22
	statusWrite    = 23
	statusTimeout  = 28
	statusTLS      = 35
	statusRedirect = 47
	statusEmpty    = 52
	statusSend     = 55
	statusReceive  = 56
	statusCert     = 60
	statusCACert   = 77
	statusAuth     = 94
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
	text, hint := describe(err)
	o.printf("%s %s\n", o.red("nego:"), text)
	var hints []string
	for f, ok := errors.AsType[*failure](err); ok; f, ok = errors.AsType[*failure](f.err) {
		hints = append(hints, f.hints...)
	}
	if hint != "" {
		hints = append(hints, hint)
	}
	for _, h := range hints {
		o.printf("%s %s\n", o.yellow("hint:"), h)
	}
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
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the URL may have a password
	}
	if err == nil {
		err = errors.New("it names no host")
	}
	return &failure{err: fmt.Errorf("bad URL: %w", err), status: statusURL}
}

func unsupportedScheme(scheme string) error {
	return &failure{err: fmt.Errorf("%s is not supported", scheme), status: statusError, hints: []string{"use http or https"}}
}

// refused says why a response is not what was asked for.
func refused(resp *http.Response, o negotiate.Outcome) error {
	err := fmt.Errorf("%s answered %s", resp.Request.URL.Host, resp.Status)
	var schemes []string
	for _, v := range resp.Header.Values("WWW-Authenticate") {
		scheme, _, _ := strings.Cut(v, " ")
		schemes = append(schemes, scheme)
	}
	switch {
	case errors.Is(o.Err, negotiate.ErrRefused):
		return &failure{err: fmt.Errorf("%w: it does not accept the token for %s", err, o.Target), hints: []string{
			"the server's log says why; often its keytab lacks the key of that name or has an old one, or its clock is wrong"}}
	case o.Err != nil:
		reason := o.Err
		if e, ok := errors.AsType[*negotiate.Error](reason); ok {
			reason = e.Err // which URL and status it was about has just been said
		}
		return fmt.Errorf("%w: %w", err, reason)
	case resp.StatusCode != http.StatusUnauthorized:
		return err
	case len(schemes) == 0:
		return fmt.Errorf("%w, and offers no way to sign on", err)
	}
	return fmt.Errorf("%w: it does not offer Negotiate but %s", err, strings.Join(schemes, ", "))
}

// requestFailed finds the exit status for what kept a response from coming.
func requestFailed(err error, t *transfer) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // names the method and the URL: the user has just typed it
	}
	f := &failure{err: err, status: statusReceive}
	dns, isDNS := errors.AsType[*net.DNSError](err)
	op, isOp := errors.AsType[*net.OpError](err)
	_, isCert := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		f.status = statusTimeout
		if t.maxTime > 0 {
			f.err = fmt.Errorf("timed out after %v", time.Duration(t.maxTime))
		}
	case errors.Is(err, errTooManyRedirects):
		f.status = statusRedirect
	case isWriteError(err):
		return bodyFailed(err, t)
	case isAuth(err):
		f.status = statusAuth
	case isDNS:
		f.status = statusDNS
		f.err = fmt.Errorf("cannot find the host %s: %s", dns.Name, dns.Err)
	case isCert:
		f.status = statusCert
		f.hints = []string{"--cacert names the certificates to trust; -k trusts any, and anybody"}
	case t.tlsFailed.Load() || errors.Is(err, http.ErrSchemeMismatch):
		f.status = statusTLS
	case isTimeout(err):
		f.status = statusTimeout
	case isOp && (op.Op == "dial" || op.Op == "proxyconnect"):
		f.status = statusConnect
		f.err = fmt.Errorf("cannot connect: %w", err)
	case isOp && op.Op == "write":
		f.status = statusSend
	case errors.Is(err, io.EOF):
		f.status = statusEmpty
		f.err = errors.New("the server closed the connection without an answer")
	}
	return f
}

// bodyFailed finds the exit status for what ended a body too early.
func bodyFailed(err error, t *transfer) error {
	f := &failure{err: err, status: statusReceive}
	switch {
	case isWriteError(err):
		f.status = statusWrite
	case errors.Is(err, context.DeadlineExceeded):
		f.status = statusTimeout
		f.err = fmt.Errorf("timed out after %v, in the middle of the body", time.Duration(t.maxTime))
	case errors.Is(err, io.ErrUnexpectedEOF):
		f.status = statusPartial
		f.err = errors.New("the server closed the connection in the middle of the body")
	}
	return f
}

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

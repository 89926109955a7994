package gssapi

import (
	"fmt"
	"strings"
)

// Code is the error part of a GSS-API major status: a routine error, a calling error or both
// (RFC 2743 section 1.2.1, RFC 2744 section 3.9.1). The constants are errors themselves:
//
//	if errors.Is(err, gssapi.ErrNoCred) { … }
//
// Minor codes have no constants: their numbers change from process to process.
type Code uint32

// Routine errors, in the order of RFC 2744, with what follows from each in practice.
const (
	ErrBadMech             Code = (iota + 1) << 16 // GSS_S_BAD_MECH
	ErrBadName                                     // GSS_S_BAD_NAME
	ErrBadNameType                                 // GSS_S_BAD_NAMETYPE
	ErrBadBindings                                 // GSS_S_BAD_BINDINGS
	ErrBadStatus                                   // GSS_S_BAD_STATUS
	ErrBadMIC                                      // GSS_S_BAD_MIC, GSS_S_BAD_SIG
	ErrNoCred                                      // GSS_S_NO_CRED
	ErrNoContext                                   // GSS_S_NO_CONTEXT
	ErrDefectiveToken                              // GSS_S_DEFECTIVE_TOKEN
	ErrDefectiveCredential                         // GSS_S_DEFECTIVE_CREDENTIAL
	ErrCredentialsExpired                          // GSS_S_CREDENTIALS_EXPIRED
	ErrContextExpired                              // GSS_S_CONTEXT_EXPIRED
	ErrFailure                                     // GSS_S_FAILURE: the text says what
	ErrBadQOP                                      // GSS_S_BAD_QOP
	ErrUnauthorized                                // GSS_S_UNAUTHORIZED
	ErrUnavailable                                 // GSS_S_UNAVAILABLE: the library, or this build, lacks it, or the context is AuthOnly
	ErrDuplicateElement                            // GSS_S_DUPLICATE_ELEMENT
	ErrNameNotMech                                 // GSS_S_NAME_NOT_MN
)

// ErrClosed is what a call on a closed Credential or SecContext returns. It is this package's own
// and not a status of the library.
const ErrClosed Code = 0xff << 16

const callingErrors Code = 0xff << 24

var codeTexts = [...]string{
	"",
	"the mechanism is not supported",
	"the name is not valid",
	"the type of the name is not supported",
	"the channel bindings do not match",
	"the status code is not valid",
	"the signature is not valid",
	"there are no credentials",
	"there is no context",
	"the token is not valid",
	"the credentials are not valid",
	"the credentials have expired",
	"the context has expired",
	"failure",
	"the quality of protection is not supported",
	"not authorised",
	"not available",
	"the element is there already",
	"the name is not a name of one mechanism",
}

func (c Code) Error() string {
	if c == ErrClosed {
		return "used after Close"
	}
	if r := int(c&^callingErrors) >> 16; r > 0 && r < len(codeTexts) {
		return codeTexts[r]
	}
	if c&callingErrors != 0 && c&^callingErrors == 0 {
		return "an argument is missing or malformed"
	}
	return fmt.Sprintf("major status %#x", uint32(c))
}

// Is lets errors.Is find a routine error also where the library added a calling error to it.
func (c Code) Is(target error) bool {
	t, ok := target.(Code)
	return ok && c&^callingErrors == t
}

// Error is the error of every call in this package. It unwraps to its Code, and after a cancelled
// context to context.Cause.
type Error struct {
	Op     string // what was tried, as in "initiate a context with"
	Name   string // the name it was about, as in "HTTP@www.example.com"; may be empty
	Code   Code
	Minor  uint32 // the mechanism's own number, to look at and not to compare
	Text   string // what the library said (gss_display_status, RFC 2743 section 2.4.1)
	Detail string // the cache, principal, keytab or file concerned, as libkrb5 sees it
	Hint   string // what to do about it

	cause   error
	expired bool
}

// Is reports an expired ticket as ErrCredentialsExpired also where the library has a general failure for it, as
// SPNEGO and Kerberos do in a step.
func (e *Error) Is(target error) bool { return e.expired && target == ErrCredentialsExpired }

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("gssapi: cannot ")
	b.WriteString(e.Op)
	if e.Name != "" {
		b.WriteString(" ")
		b.WriteString(e.Name)
	}
	b.WriteString(": ")
	switch {
	case e.cause != nil:
		b.WriteString(e.cause.Error())
	case e.Text != "" && e.Code&^callingErrors == ErrFailure:
		b.WriteString(e.Text) // the code says that it failed
	case e.Text != "":
		b.WriteString(e.Code.Error() + ": " + e.Text)
	default:
		b.WriteString(e.Code.Error())
	}
	if e.Detail != "" {
		b.WriteString(" (" + e.Detail + ")")
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

func (e *Error) Unwrap() error {
	if e.cause != nil {
		return e.cause
	}
	return e.Code
}

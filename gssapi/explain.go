package gssapi

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// explainStep adds to a failure what libkrb5 sees at the place that the library looked in, and what can
// be done. GSS-API has no words for that, and SPNEGO drops those that the mechanism had. It reads files only.
func (r *result) explainStep(usage Usage, s *Store, target Name) {
	switch {
	case !r.explicable():
	case usage == Accept:
		r.explainKeytab(s.Keytab)
	case r.explainCache(s.CCache):
		r.explainTarget(target)
	}
}

// explainAcquire does the same for a failed acquisition.
func (r *result) explainAcquire(usage Usage, s *Store, name Name) {
	switch {
	case !r.explicable():
	case usage == Accept:
		r.explainKeytab(s.Keytab)
	case s.Password != "":
		r.hint = "check the name and the password, and that a KDC of the realm answers"
	case s.ClientKeytab != "":
		r.explainKeytab(s.ClientKeytab)
	case r.explainCache(s.CCache) && !name.IsZero():
		r.hint = "run kinit for that principal, or name the cache that holds its ticket"
	}
}

// explicable says whether the place that was looked in may be to blame.
func (r *result) explicable() bool {
	switch Code(r.major&statusErrors) &^ callingErrors {
	case ErrNoCred, ErrCredentialsExpired, ErrDefectiveCredential, ErrFailure, ErrBadMech:
		return true
	}
	return false
}

// explainCache reports whether the cache holds a ticket that is good now, so that it is not to blame.
func (r *result) explainCache(name string) bool {
	facts := krb5Cache(name)
	c := readCache(&facts)
	if facts.failed() {
		r.blame("ticket cache", c.Name, &facts)
		if c.Name != "" {
			r.hint = "run kinit, or set KRB5CCNAME to the cache that holds your ticket"
		}
		return false
	}
	r.detail = fmt.Sprintf("ticket cache %s of %s", c.Name, c.Principal)
	tgt := c.tgt()
	switch {
	case tgt == nil:
		r.detail += " holds no ticket-granting ticket"
		r.hint = "run kinit"
	case !tgt.End.After(time.Now()):
		r.detail += ": its ticket expired at " + tgt.End.Format(time.RFC3339)
		r.hint = "run kinit"
	default:
		r.detail += ", valid until " + tgt.End.Format(time.RFC3339)
		return true
	}
	return false
}

func (r *result) explainTarget(target Name) {
	_, host, hostbased := strings.Cut(target.text, "@")
	switch {
	case target.typ != NTHostBased || !hostbased:
		r.hint = "check that the KDC knows the principal and answers"
	case isIP(host):
		r.hint = "no service principal matches an IP address: use the host's name"
	default:
		r.hint = "check that the host name is the one the service is registered under, and that a KDC of its realm answers"
	}
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func (r *result) explainKeytab(name string) {
	facts := krb5Keytab(name)
	u := unpack{facts.out}
	keytab := u.string()
	if facts.failed() {
		r.blame("keytab", keytab, &facts)
		if keytab != "" {
			r.hint = "put the service's key there (ktadd in kadmin), or set KRB5_KTNAME to the keytab that has it"
		}
		return
	}
	var keys []string
	for len(u.b) > 0 {
		principal, kvno := u.string(), u.u32()
		if key := fmt.Sprintf("%s (kvno %d)", principal, kvno); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	if n := len(keys); n > 8 {
		keys = append(keys[:8], fmt.Sprintf("%d more", n-8))
	}
	if len(keys) == 0 {
		keys = []string{"no keys"}
	}
	r.detail = fmt.Sprintf("keytab %s has %s", keytab, strings.Join(keys, ", "))
	r.hint = "if the service's key is missing or was changed, put it into the keytab again (ktadd in kadmin)"
}

// blame names the file that could not be read. Where not even its name is known, krb5.conf is wrong.
func (r *result) blame(what, name string, facts *result) {
	if Code(facts.major) == ErrUnavailable {
		return
	}
	if name == "" {
		r.detail = "krb5.conf: " + facts.text
		r.hint = "correct that file, or set KRB5_CONFIG to another"
		return
	}
	r.detail = fmt.Sprintf("%s %s: %s", what, name, facts.text)
}

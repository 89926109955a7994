package gssapi

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// explainStep adds to an initiator's failure what libkrb5 sees at the place that the library looked in, and what can
// be done. GSS-API has no words for that, and SPNEGO drops those that the mechanism had. It reads files only.
func (r *result) explainStep(s *Store, target Name) {
	switch {
	case !r.explicable():
	case !r.explainCache(s.CCache):
	case r.code() == ErrBadMech:
		r.hint = "Mechs lists the mechanisms that there are"
	case target.IsZero():
		r.hint = "name the service to authenticate to"
	default:
		r.explainTarget(target)
	}
}

// explainAcquire does the same for a failed acquisition.
func (r *result) explainAcquire(usage Usage, s *Store, name Name) {
	switch {
	case !r.explicable():
	case usage == Accept:
		r.explainKeytab(s.keytab(), keytabHint(s.keytab(), "KRB5_KTNAME", "the service's"))
	case r.explainConfig():
	case s.Password != "" && name.IsZero():
		r.hint = "say whose password it is: CredentialOptions.Name"
	case s.Password != "":
		r.hint = "check the name and the password, and that a KDC of the realm answers"
	case s.ClientKeytab != "":
		r.explainKeytab(s.ClientKeytab, keytabHint(s.ClientKeytab, "KRB5_CLIENT_KTNAME", "the client's"))
	case r.explainCache(s.CCache) && !name.IsZero():
		r.hint = "run kinit for that principal, or name the cache that holds its ticket"
	}
}

func (r *result) code() Code { return Code(r.major&statusErrors) &^ callingErrors }

// explicable says whether the place that was looked in may be to blame.
func (r *result) explicable() bool {
	switch r.code() {
	case ErrNoCred, ErrCredentialsExpired, ErrDefectiveCredential, ErrFailure, ErrBadMech, ErrBadName:
		return true
	}
	return false
}

// Why libkrb5 could not read something: what the C side puts into flags.
const (
	reasonOther = iota
	reasonMissing
	reasonPermission
	reasonDamaged
)

// explainConfig reports whether krb5.conf itself is to blame.
func (r *result) explainConfig() bool {
	facts := krb5Cache("")
	if !facts.failed() || len(facts.out) > 0 {
		return false
	}
	r.blame("", "", &facts)
	return true
}

// explainCache reports whether the cache holds a ticket that is good now, so that it is not to blame.
func (r *result) explainCache(name string) bool {
	facts := krb5Cache(name)
	c := readCache(&facts)
	if facts.failed() {
		r.blame("ticket cache", c.Name, &facts)
		switch {
		case c.Name == "":
		case facts.flags == reasonPermission:
			r.hint = "make it readable for this user, and for nobody else"
		case facts.flags == reasonDamaged && name == "":
			r.hint = "run kinit, which writes it anew"
		case facts.flags == reasonOther && name != "":
			r.hint = "correct the name of the cache"
		case facts.flags == reasonOther:
			r.hint = "correct the name of the cache, in KRB5CCNAME or in default_ccache_name of krb5.conf"
		case name != "":
			r.hint = "run kinit -c " + c.Name
		default:
			r.hint = "run kinit, or set KRB5CCNAME to the cache that holds your ticket"
		}
		return false
	}
	r.detail = fmt.Sprintf("ticket cache %s of %s", c.Name, c.Principal)
	tgt := c.tgt()
	switch {
	case tgt == nil:
		r.detail += " holds no ticket-granting ticket"
		r.hint = "run kinit " + c.Principal
	case !tgt.End.After(time.Now()):
		r.detail += ": its ticket expired at " + tgt.End.Format(time.RFC3339)
		r.hint = "run kinit " + c.Principal
		r.expired = true
	default:
		r.detail += ", valid until " + tgt.End.Format(time.RFC3339)
		return true
	}
	return false
}

func (r *result) explainTarget(target Name) {
	_, host, hostbased := strings.Cut(target.text, "@")
	if target.typ == NTHostBased && hostbased && isIP(host) {
		r.hint = "no service principal matches an IP address: use the host's name"
		return
	}
	r.hint = "if the KDC does not know the service, check the name; if no KDC is found or answers, check [realms] in krb5.conf, and the network"
}

// ask asks a credential that a call has failed with what may be the reason.
func (r *result) ask(cred box) {
	info, by := credInfo(cred), credImpersonator(cred)
	user := unpack{info.out}
	r.expired = info.code() == ErrCredentialsExpired
	r.user, r.impersonator = user.name().text, (&unpack{by.out}).string()
}

// explainDelegation explains why a service that acts for a user got no ticket.
func (r *result) explainDelegation(target Name) {
	r.detail = fmt.Sprintf("%s acts for %s", r.impersonator, r.user)
	r.hint = fmt.Sprintf("if the KDC refuses that, it must allow %s to delegate to %s (krbAllowedToDelegateTo in its LDAP "+
		"directory, msDS-AllowedToDelegateTo in Active Directory), and trust it with users who have not authenticated to it "+
		"(ok_to_auth_as_delegate), where that is so; if it does not know the service, check the name", r.impersonator, target.text)
}

// explainImpersonate explains why the credential of a service got none of a user.
func (r *result) explainImpersonate(p *credPool, cred box) {
	r.ask(cred)
	switch {
	case !r.explicable():
	case r.impersonator != "":
		r.detail = fmt.Sprintf("%s acts for %s", r.impersonator, r.user)
		r.hint = "impersonate with the credential of the service itself"
	case p.private && r.expired:
		r.hint = "the credential has expired: get another"
	case p.private || r.explainCache(p.store.CCache):
		r.hint = "check the name of the user, and that a KDC of the realm answers"
	}
}

// explainStore says which cache could not be written, and why.
func (r *result) explainStore(name string) {
	facts := krb5Cache(name)
	c := readCache(&facts)
	switch {
	case facts.failed() && c.Name == "":
		r.blame("", "", &facts)
		return
	case name == "":
		r.detail = "ticket cache " + c.Name
	}
	switch {
	case r.code() == ErrDuplicateElement:
		r.hint = "overwrite it, or name another cache"
	case r.code() == ErrCredentialsExpired:
		r.hint = "the credential has expired: get another"
	case facts.failed() && facts.flags != reasonOther:
		r.hint = "check that its directory is there, and writable for this user"
	}
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// keytabHint says what to do about a keytab, which is an explicit one or that of the environment.
func keytabHint(name, variable, whose string) string {
	hint := "put " + whose + " key there (ktadd in kadmin)"
	if name == "" {
		hint += ", or set " + variable + " to the keytab that has it"
	}
	return hint
}

// maxKeys bounds the keys that an error lists.
const maxKeys = 8

func (r *result) explainKeytab(name, hint string) {
	facts := krb5Keytab(name, Name{})
	keytab, keys := readKeytab(&facts)
	if facts.failed() {
		r.blame("keytab", keytab, &facts)
		switch {
		case keytab == "":
		case facts.flags == reasonPermission:
			r.hint = "make it readable for this user"
		default:
			r.hint = hint
		}
		return
	}
	r.detail = fmt.Sprintf("keytab %s has %s", keytab, listKeys(keys))
	r.hint = "if the key is missing or was changed, " + hint
}

// blame names the file that could not be read. Where not even its name is known, krb5.conf is wrong.
func (r *result) blame(what, name string, facts *result) {
	switch {
	case facts.code() == ErrUnavailable:
	case name != "":
		r.detail = fmt.Sprintf("%s %s: %s", what, name, facts.text)
	case facts.flags == reasonPermission:
		r.detail = "krb5.conf: " + facts.text
		r.hint = "make that file readable for this user"
	default:
		r.detail = "krb5.conf: " + facts.text
		r.hint = "correct that file, or set KRB5_CONFIG to another"
	}
}

package gssapi

import (
	"fmt"
	"slices"
	"strings"
)

// explainTicket says of an acceptor's failure which key the client's ticket wants and which ones the keytab has. It
// tells no more than the ticket says in clear. libkrb5 names the ticket's principal in its own text.
func (r *result) explainTicket(s *Store, name Name, token []byte) {
	ticket := ticketIn(token)
	if ticket == nil || !r.explicable() {
		return
	}
	seal := krb5Ticket(s.keytab(), ticket)
	if seal.failed() || seal.flags != 0 && name.IsZero() {
		return
	}
	all := krb5Keytab(s.keytab(), Name{})
	if all.failed() {
		r.explainKeytab(s.keytab(), keytabHint(s.keytab(), "KRB5_KTNAME", "the service's"))
		return
	}
	admitted := all
	if !name.IsZero() {
		admitted = krb5Keytab(s.keytab(), name)
	}
	u := unpack{seal.out}
	want := u.entry()
	keytab, keys := readKeytab(&all)
	_, mine := readKeytab(&admitted)
	r.blameKey(keytab, keys, mine, want, name, seal.flags != 0)
}

// blameKey compares the key that a ticket wants with all keys of a keytab and with those of the credential, mine. Where
// the keytab opens the ticket it is to blame only if the key is not the credential's.
func (r *result) blameKey(keytab string, keys, mine []entry, want entry, name Name, opens bool) {
	of := func(l []entry) (same []entry) {
		for _, k := range l {
			if k.Principal == want.Principal {
				same = append(same, k)
			}
		}
		return same
	}
	same := of(keys)
	version := slices.DeleteFunc(slices.Clone(same), func(k entry) bool { return want.KVNO != 0 && k.KVNO != want.KVNO })
	kvno := func(k entry) string { return fmt.Sprint(k.KVNO) }
	switch {
	case len(same) > 0 && len(of(mine)) == 0:
		r.detail = fmt.Sprintf("keytab %s has that key, but the credential is for %s alone", keytab, name)
		r.hint = "let the client ask for that name, or acquire the credential for the other"
	case opens:
	case len(same) == 0:
		r.detail = fmt.Sprintf("keytab %s has %s", keytab, listKeys(keys))
		r.hint = "if the client has asked for the right name, put the key of " + want.Principal.text + " there (ktadd in kadmin)"
	case len(version) == 0:
		r.detail = fmt.Sprintf("the ticket's key is version %d, %s; keytab %s has version %s", want.KVNO, want.Enctype, keytab, listed(same, kvno))
		r.hint = "the key was changed: install the new keytab"
		if !slices.ContainsFunc(same, func(k entry) bool { return k.KVNO < want.KVNO }) {
			r.hint = "the key was changed: the client is to get a new ticket (kinit), or keep the old key in the keytab until the old tickets have expired"
		}
	case !slices.ContainsFunc(version, func(k entry) bool { return k.enctype == want.enctype }):
		r.detail = fmt.Sprintf("the ticket's key is of type %s; keytab %s has version %s of it as %s", want.Enctype, keytab, listed(version, kvno), listed(version, func(k entry) string { return k.Enctype }))
		r.hint = "put the key of that type there too, or take the type from the principal in the KDC"
	default:
		r.detail = fmt.Sprintf("keytab %s has version %s, %s, of that principal's key, but another key than the ticket's", keytab, listed(version, kvno), want.Enctype)
		r.hint = "the principal was made anew in the KDC, or the keytab from another password: install a keytab from the KDC"
	}
}

// listed lists what keys have, each once.
func listed(keys []entry, what func(entry) string) string {
	var l []string
	for _, k := range keys {
		if s := what(k); !slices.Contains(l, s) {
			l = append(l, s)
		}
	}
	if n := len(l) - maxKeys; n > 0 {
		l = append(l[:maxKeys], fmt.Sprintf("%d more", n))
	}
	return strings.Join(l, ", ")
}

// listKeys lists principals and versions for an error.
func listKeys(keys []entry) string {
	if len(keys) == 0 {
		return "no keys"
	}
	return listed(keys, func(k entry) string { return fmt.Sprintf("%s (kvno %d)", k.Principal, k.KVNO) })
}

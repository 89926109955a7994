package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
)

func refuseAll(*url.URL) bool { return false }

// findTicket gets a ticket for the service.
func (c *checker) findTicket(ctx context.Context) finding {
	_, realm := cutRealm(c.principal)
	_, own := cutRealm(c.initiator)
	c.cached = c.cache != nil && slices.ContainsFunc(c.cache.Tickets, c.isForService)
	switch {
	case c.cred == nil:
		return skipped("not asked for, as there is no ticket of yours: see cache")
	case !c.cached && !c.reachable(own):
		return skipped("not asked for, as no KDC of %s answers: see kdc", own)
	}
	sc := gssapi.NewInitiator(c.target, &gssapi.Options{Credential: c.cred, Mech: gssapi.KRB5})
	defer sc.Close()
	token, err := sc.Step(ctx, nil)
	if err != nil {
		return c.noTicket(ctx, err, realm, own)
	}
	c.token = len(token)
	c.ticket = new(serviceTicket)
	if t, ok := readTicket(token); ok {
		c.ticket = t
	}
	text := "for " + c.ticket.service
	if c.ticket.service == "" {
		text = "for " + c.principal
	}
	if c.ticket.kvno > 0 {
		text += fmt.Sprintf(", version %d of its key (kvno)", c.ticket.kvno)
	}
	if c.ticket.encryption != "" {
		text += ", " + c.ticket.encryption
	}
	if c.cached {
		text += ", from the cache"
	}
	return found("%s", text).fact("service", c.ticket.service).fact("kvno", c.ticket.kvno).fact("encryption", c.ticket.encryption).fact("cached", c.cached)
}

// isForService reports whether a ticket of the cache would be used, which it is in any realm where none is known.
func (c *checker) isForService(t gssapi.Ticket) bool {
	server := t.Server
	if !strings.Contains(c.principal, "@") {
		server, _ = cutRealm(server)
	}
	return server == c.principal && t.End.After(time.Now())
}

// reachable reports whether a KDC of a realm answers, as far as one can see.
func (c *checker) reachable(realm string) bool {
	i := slices.IndexFunc(c.kdcs, func(r realmKDCs) bool { return r.realm == realm })
	return i < 0 || c.kdcs[i].answers()
}

// noTicket finds out why there is none. What libkrb5 says is shown; what the KDC says is certain.
func (c *checker) noTicket(ctx context.Context, err error, realm, own string) finding {
	f := failedWith(err)
	if realm == "" {
		realm = own
	}
	service, _ := cutRealm(c.principal)
	_, host, _ := strings.Cut(service, "/")
	i := slices.IndexFunc(c.kdcs, func(r realmKDCs) bool { return r.realm == realm })
	var hints []string
	switch {
	case ctx.Err() != nil:
		hints = []string{"libkrb5 asks every KDC for some seconds, and several times: see kdc; -m waits longer"}
	case len(c.skewed) > 0:
		hints = []string{"the clocks differ too much: see clock"}
	case c.host != "" && isAddress(host):
		hints = []string{"use the host's name in the URL: no service is registered under an IP address, " + host}
	case i >= 0 && c.kdcs[i].unknown(ctx, service):
		f.Found = fmt.Sprintf("the KDC of %s does not know %s (%s)", realm, service, f.Found)
		hints = []string{fmt.Sprintf("have %s registered there (setspn on Active Directory, addprinc on MIT), or use the name that is: the host in the URL, or --target", service)}
		if c.host != "" && !strings.EqualFold(host, c.host) {
			hints = append(hints, "krb5.conf made "+host+" of "+c.host+": rdns = false or dns_canonicalize_hostname = false keeps the name as it is")
		}
		if realm != own {
			hints = append(hints, "if the host is not in that realm, correct [domain_realm] in krb5.conf")
		}
	case realm != own:
		hints = []string{fmt.Sprintf("your ticket is of %s and the service of %s: see kdc; if the host is not in that realm, correct [domain_realm] in krb5.conf", own, realm)}
	case i >= 0 && (len(c.kdcs[i].kdcs) == 0 || !c.kdcs[i].answers()):
		hints = []string{"see kdc"}
	}
	if hints != nil {
		f.Hints = hints
	}
	return f
}

// attempt is a request with a token.
type attempt struct {
	resp    *http.Response // nil: err
	err     error
	outcome negotiate.Outcome
	token   int // bytes of the first one; 0: none was made
}

func (c *checker) attempt(ctx context.Context, cred *gssapi.Credential, mech gssapi.OID, binding negotiate.Binding) (a attempt) {
	var mu sync.Mutex
	t := &negotiate.Transport{Credential: cred, Mech: mech, Mutual: negotiate.MutualOptional, ChannelBinding: binding}
	if c.f.target != "" {
		t.Target = func(*url.URL) gssapi.Name { return c.target }
	}
	t.Trace = &negotiate.Trace{GSS: func(_ context.Context, i negotiate.GSSInfo) {
		mu.Lock()
		defer mu.Unlock()
		if i.In == 0 && i.Info.Acceptor == c.target { // and not the proxy
			a.token = i.Out
		}
	}}
	a.resp, a.err = c.send(negotiate.WithOutcome(ctx, &a.outcome), t)
	return a
}

// accepted reports whether the server took the token, whatever it then said to the request.
func (a *attempt) accepted() bool {
	if a.err != nil || a.outcome.Err != nil || a.outcome.Legs == 0 {
		return false
	}
	switch a.resp.StatusCode {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return false
	case http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge:
		return a.outcome.Mutual // else it was for the header, and who is asking had not been asked yet
	}
	return true
}

// findSignOn makes a request with a token.
func (c *checker) findSignOn(ctx context.Context) finding {
	switch {
	case c.challenge == nil:
		return skipped("not tried, as the server does not answer: see server")
	case !c.asks:
		return skipped("not tried, as the server does not ask for Negotiate: see server")
	}
	f := c.signOn(ctx)
	if f.Status == checkOK || f.Status == checkWarning {
		return f
	}
	if mechs, err := gssapi.Mechs(); err != nil || !slices.Contains(mechs, gssapi.NTLMSSP) || c.f.mech != gssapi.SPNEGO {
		return f
	}
	// SPNEGO falls back to it, with its own default credential and without a cache.
	if a := c.attempt(ctx, nil, gssapi.NTLMSSP, c.binding()); a.accepted() {
		return found("%s answers %s, by NTLM and not Kerberos; Kerberos: %s", c.url.Host, a.resp.Status, f.Found).
			warn("SPNEGO falls back to NTLM where Kerberos does not work, which servers turn off more and more: correct what keeps Kerberos from working").
			hint(f.Hints...).fact("status", a.resp.StatusCode).fact("mech", "NTLM").fact("legs", a.outcome.Legs)
	}
	return f
}

func (c *checker) binding() negotiate.Binding { return negotiate.Binding(c.f.channelBinding.index()) }

// signOn makes it with the ticket.
func (c *checker) signOn(ctx context.Context) finding {
	switch {
	case c.cred == nil:
		return skipped("not tried, as there is no ticket of yours: see cache")
	case c.ticket == nil:
		return skipped("not tried, as there is no ticket for the service: see ticket")
	}
	a := c.attempt(ctx, c.cred, c.f.mech, c.binding())
	c.signed, c.bound = a.accepted(), a.outcome.ChannelBound
	if a.token > 0 {
		c.token = a.token
	}
	if c.signed {
		return c.signedOn(a)
	}
	f := c.notSignedOn(a)
	if a.err == nil && !c.bound && c.binding() == negotiate.BindNever && c.url.Scheme == "https" && errors.Is(a.outcome.Err, negotiate.ErrRefused) {
		if b := c.attempt(ctx, c.cred, c.f.mech, negotiate.BindIfTLS); b.accepted() {
			c.bound = true
			f = found("%s refuses the token, and accepts one that is bound to the TLS connection (channel binding, Extended Protection)", c.url.Host).
				fail("turn channel binding on: --channel-binding tls with nego fetch, Transport.ChannelBinding in Go").
				fact("status", a.resp.StatusCode).fact("binding_required", true)
		}
	}
	return f
}

func (c *checker) signedOn(a attempt) finding {
	mech := mechName(a.outcome.Mech)
	text := fmt.Sprintf("%s answers %s to %s", c.url.Host, a.resp.Status, c.initiator)
	if mech != "" {
		text += ", by " + mech
	}
	if a.outcome.Mutual {
		text += "; it has proved who it is"
	}
	f := found("%s", text).fact("status", a.resp.StatusCode).fact("mech", mech).fact("mutual", a.outcome.Mutual).fact("legs", a.outcome.Legs)
	switch {
	case a.resp.StatusCode == http.StatusForbidden:
		f = f.warn("the server knows " + c.initiator + " and does not let that user in: its access list decides")
	case a.resp.StatusCode >= 400 && a.outcome.Mutual:
		f = f.warn("the token is accepted: what is wrong now is behind the sign-on, see the server's log")
	case a.resp.StatusCode >= 400:
		f = f.warn("whether the token was accepted is not known, as the answer does not say who it is from: see the server's log")
	}
	return f
}

func (c *checker) notSignedOn(a attempt) finding {
	if a.err != nil {
		return failedWith(a.err)
	}
	resp := a.resp
	switch {
	case a.outcome.Legs > 0 && (resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusRequestHeaderFieldsTooLarge):
		return found("%s answers %s to the token of %d bytes, and has asked for it", c.url.Host, resp.Status, a.token).
			fail("the header is too large for the server, or for a proxy before it: raise the limit (large_client_header_buffers of nginx, "+
				"LimitRequestFieldSize of Apache, MaxRequestBytes and MaxFieldLength of IIS, MaxHeaderBytes of Go), or put the user into fewer groups").
			fact("status", resp.StatusCode)
	case resp.StatusCode == http.StatusProxyAuthRequired:
		proxy, _ := c.f.proxy(c.url)
		return failedWith(c.f.proxyRefused(proxy, resp, errors.Unwrap(a.outcome.Err))).fact("status", resp.StatusCode)
	}
	f := failedWith(refused(resp, a.outcome)).fact("status", resp.StatusCode)
	if !errors.Is(a.outcome.Err, negotiate.ErrRefused) {
		return f
	}
	var hints []string
	if len(c.skewed) > 0 {
		f.Hints = []string{"the clocks differ too much: see clock"}
		return f
	}
	if c.cached {
		hints = append(hints, "the ticket is from the cache, and may be older than the server's key: run kinit, which drops it, and check again")
	}
	if c.ticket.service != "" {
		hints = append(hints, fmt.Sprintf("often the server's keytab lacks that key, or has an old one: klist -kte KEYTAB there has to list %s with kvno %d and %s", c.ticket.service, c.ticket.kvno, c.ticket.encryption))
	}
	if c.host != "" {
		hints = append(hints, fmt.Sprintf("on Active Directory the account that the server runs as has to be the one that setspn -Q HTTP/%s names", c.host))
	}
	f.Hints = append(hints, "the server's log says why")
	return f
}

// largeToken is where servers begin to refuse a header: 8 KiB for all of it is a common limit.
const largeToken = 7 << 10

// findTokenSize looks at the size of the token.
func (c *checker) findTokenSize(context.Context) finding {
	if c.token == 0 {
		return skipped("there is none")
	}
	header := len("Negotiate ") + (c.token+2)/3*4
	f := found("%d bytes, which are %d in the header", c.token, header).fact("bytes", c.token).fact("header_bytes", header)
	if header > largeToken {
		f = f.warn("many servers and proxies take 8 KiB for a whole header, some 16 KiB: raise their limits, or put the user into fewer groups")
	}
	return f
}

// findBinding finds out whether the server minds tokens that are bound to the TLS connection.
func (c *checker) findBinding(ctx context.Context) finding {
	switch {
	case c.url.Scheme != "https":
		return skipped("there is no TLS connection that a token could be bound to")
	case !c.signed && c.bound:
		return found("the server wants tokens that are bound to the TLS connection: see sign-on").fact("required", true)
	case !c.signed:
		return skipped("not tried, as the server accepts no token of Kerberos: see sign-on")
	case c.bound:
		return found("the token was bound to the TLS connection").fact("accepted", true)
	}
	a := c.attempt(ctx, c.cred, c.f.mech, negotiate.BindIfTLS)
	if a.accepted() {
		return found("the server also accepts a token that is bound to the TLS connection").fact("accepted", true)
	}
	return found("the server refuses a token that is bound to the TLS connection").fact("accepted", false).
		warn("leave channel binding off there: TLS ends at another machine, or with another certificate, than the server knows")
}

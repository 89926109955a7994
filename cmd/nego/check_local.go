package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"golang.org/x/net/idna"
)

// findConfig looks at krb5.conf.
func (c *checker) findConfig(ctx context.Context) finding {
	config, err := gssapi.ReadConfig(ctx)
	files := configFiles(config.Files)
	if err != nil {
		f := failedWith(err).fact("files", config.Files)
		if errors.Is(err, gssapi.ErrUnavailable) {
			f.Status = checkWarning // there is more to see
			return f
		}
		c.broken = true
		for _, file := range files {
			if file.includedBy != "" && file.err != nil {
				f = f.hint(fmt.Sprintf("%s includes %s, which cannot be read: %v", file.includedBy, file.name, errors.Unwrap(file.err)))
			}
		}
		return f
	}
	c.config = config
	var names []string
	for _, f := range files {
		switch {
		case f.err != nil:
		case f.includedBy != "":
			names = append(names, f.name+" (included)")
		default:
			names = append(names, f.name)
		}
	}
	f := found("%s; default realm %s", strings.Join(names, ", "), cmp.Or(config.DefaultRealm, "none")).
		fact("files", readable(files)).fact("default_realm", config.DefaultRealm)
	if len(names) == 0 {
		f = found("there is none: looked for %s", strings.Join(config.Files, ", ")).fact("files", []string{}).
			fact("default_realm", config.DefaultRealm).warn("create it, or set KRB5_CONFIG to the file that is meant")
	}
	if config.DefaultRealm == "" && len(names) > 0 {
		f = f.warn("set default_realm in [libdefaults]; without it names need their realm, as in kinit user@EXAMPLE.COM")
	}
	return f
}

// configFile is a file that krb5.conf consists of.
type configFile struct {
	name       string
	includedBy string // empty: by itself
	err        error
}

func readable(files []configFile) []string {
	names := []string{}
	for _, f := range files {
		if f.err == nil {
			names = append(names, f.name)
		}
	}
	return names
}

// configFiles lists the files that there are, each followed by those that it includes as libkrb5 does: lines "include
// FILE" and "includedir DIRECTORY" (krb5.conf(5)).
func configFiles(names []string) (files []configFile) {
	const most = 100 // files that include themselves are refused by libkrb5
	var add func(name, by string)
	add = func(name, by string) {
		if len(files) >= most {
			return
		}
		text, err := os.ReadFile(name)
		files = append(files, configFile{name, by, err})
		for line := range strings.Lines(string(text)) {
			word, rest, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
			rest = strings.TrimSpace(rest)
			switch {
			case word == "include" && rest != "":
				add(rest, name)
			case word == "includedir" && rest != "":
				entries, _ := os.ReadDir(rest) // libkrb5 has read it
				for _, e := range entries {
					if isIncluded(e.Name()) {
						add(filepath.Join(rest, e.Name()), name)
					}
				}
			}
		}
	}
	for _, name := range names {
		add(name, "")
	}
	return files
}

// isIncluded reports whether includedir takes a file of that name: letters, digits, dashes and underscores, or
// anything that ends in .conf and does not begin with a dot.
func isIncluded(name string) bool {
	if strings.HasSuffix(name, ".conf") && !strings.HasPrefix(name, ".") {
		return true
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

// soon is when a ticket is about to end.
const soon = 10 * time.Minute

// emptyKeytab is one that nobody has put a key into.
const emptyKeytab = "MEMORY:nego-check"

// findCache looks into the ticket cache, and gets a credential that leaves it as it is.
func (c *checker) findCache(ctx context.Context) finding {
	f := c.findCredential(ctx)
	if c.cred == nil {
		c.f.credErr = errors.New("there is no ticket of yours: see cache")
	}
	return f
}

func (c *checker) findCredential(ctx context.Context) finding {
	if c.broken {
		return skipped("libkrb5 does nothing without its configuration: see krb5.conf")
	}
	cache, err := gssapi.ReadCache(ctx, c.f.ccache)
	if err != nil {
		f := failedWith(err)
		f.Found += c.chosenBy()
		return c.orKeytab(ctx, f)
	}
	c.cache = cache
	f, usable := c.judgeCache(time.Now())
	if !usable {
		return c.orKeytab(ctx, f)
	}
	o := c.f.identityOptions.credential()
	o.Private = true
	o.Store.ClientKeytab = emptyKeytab // the library would renew tickets with another, and write to the cache
	if c.f.isDefault() {
		who, err := gssapi.DefaultInitiator(ctx, c.target)
		if err != nil {
			return failedWith(err)
		}
		o.Name = who
		if who.String() != cache.Principal {
			f.Found += "; for this service .k5identity or krb5.conf choose " + clean(who.String())
		}
	}
	if err := c.acquire(ctx, o); err != nil {
		return c.orKeytab(ctx, failedWith(err))
	}
	return f.fact("initiator", c.initiator)
}

// chosenBy says who has named the cache.
func (c *checker) chosenBy() string {
	name, given := os.LookupEnv("KRB5CCNAME")
	switch {
	case c.f.ccache != "":
		return ", as --ccache says"
	case given && name == "":
		return ", as KRB5CCNAME says, which is set and empty"
	case given:
		return ", as KRB5CCNAME says"
	}
	return fmt.Sprintf(", the default of libkrb5 and krb5.conf for user %d", os.Getuid())
}

// judgeCache says how good the tickets of the cache are.
func (c *checker) judgeCache(now time.Time) (f finding, usable bool) {
	cache := c.cache
	kinit := "run kinit"
	if c.f.ccache != "" {
		kinit += " -c " + c.f.ccache
	}
	kinit += " " + cache.Principal
	whose := cache.Name + " of " + cache.Principal
	tgt := grantingTicket(cache)
	switch {
	case tgt == nil && !slices.ContainsFunc(cache.Tickets, func(t gssapi.Ticket) bool { return t.End.After(now) }):
		f = found("%s is empty: it holds no ticket", whose).fail(kinit)
	case tgt == nil:
		f = found("%s holds no ticket-granting ticket, only some for services", whose).warn(kinit + ", to get tickets for others")
		usable = true
	case !tgt.End.After(now):
		f = found("%s: its ticket expired %s ago, at %s", whose, span(now.Sub(tgt.End)), clock(tgt.End)).fail(kinit)
	case tgt.Start.After(now.Add(maxSkew)):
		// libkrb5 may know by how much the KDC's clock was ahead, and use it all the same.
		usable = true
		f = found("%s: its ticket is not valid for another %s, until %s", whose, span(tgt.Start.Sub(now)), clock(tgt.Start)).
			warn("set the clock, of this machine or of the KDC, then " + kinit)
	default:
		usable = true
		text := span(tgt.End.Sub(now)) + " left"
		if tgt.Flags&gssapi.TicketForwardable != 0 {
			text += ", forwardable"
		}
		renewable := tgt.Flags&gssapi.TicketRenewable != 0 && tgt.RenewUntil.After(tgt.End)
		if renewable {
			text += ", renewable until " + clock(tgt.RenewUntil)
		}
		f = found("%s, %s", whose, text)
		if tgt.End.Before(now.Add(soon)) {
			if renewable {
				kinit = "run kinit -R"
			}
			f.Found = clean(whose) + ": its ticket is about to expire, at " + clock(tgt.End) + ", " + text
			f = f.warn(kinit + ", before it does")
		}
	}
	f = f.fact("cache", cache.Name).fact("principal", cache.Principal)
	if tgt != nil {
		f = f.fact("end", tgt.End.UTC()).fact("flags", flagNames(tgt.Flags))
	}
	return f, usable
}

// grantingTicket finds the ticket-granting ticket of the user's own realm.
func grantingTicket(c *gssapi.Cache) *gssapi.Ticket {
	_, realm := cutRealm(c.Principal)
	for i := range c.Tickets {
		if t := &c.Tickets[i]; t.Client == c.Principal && t.Server == "krbtgt/"+realm+"@"+realm {
			return t
		}
	}
	return nil
}

// cutRealm splits a principal.
func cutRealm(principal string) (name, realm string) {
	i := strings.LastIndex(principal, "@")
	if i < 0 {
		return principal, ""
	}
	return principal[:i], principal[i+1:]
}

// orKeytab is for a cache that is of no use: the library then uses a client keytab, if there is one. The tickets go into
// memory.
func (c *checker) orKeytab(ctx context.Context, f finding) finding {
	o := c.f.identityOptions.credential()
	o.Store.CCache = "MEMORY:nego-check"
	if err := c.acquire(ctx, o); err != nil {
		if c.f.clientKeytab != "" {
			return failedWith(err)
		}
		return f
	}
	return found("the client keytab has a ticket for %s: %s", c.initiator, f.Found).fact("initiator", c.initiator)
}

// acquire gets the credential, which is none where there is nothing for Kerberos.
func (c *checker) acquire(ctx context.Context, o *gssapi.CredentialOptions) error {
	o.Mechs = []gssapi.OID{gssapi.KRB5}
	cred, err := gssapi.Acquire(ctx, o)
	if err != nil {
		return err
	}
	info, err := cred.Info()
	if err != nil {
		_ = cred.Close() // always nil
		return err
	}
	c.cred, c.initiator = cred, info.Name.String()
	return nil
}

// serviceAt is the service at a host, as negotiate names it.
func serviceAt(host string) gssapi.Name {
	if a, err := idna.Lookup.ToASCII(host); err == nil {
		host = a
	}
	return gssapi.Service("HTTP", strings.TrimSuffix(strings.ToLower(host), "."))
}

// findName looks at what the service is called.
func (c *checker) findName(ctx context.Context) finding {
	if c.broken {
		return skipped("libkrb5 does nothing without its configuration: see krb5.conf")
	}
	name, err := c.target.Canonical(ctx, gssapi.KRB5)
	if err != nil {
		return failedWith(err)
	}
	c.principal = strings.TrimSuffix(name.String(), "@")
	service, realm := cutRealm(c.principal)
	text := fmt.Sprintf("%s is %s", c.target, c.principal)
	if port := c.url.Port(); port != "" && c.f.target == "" {
		text += fmt.Sprintf(" (the port %s is no part of it)", port)
	}
	if realm == "" {
		text += "; krb5.conf names no realm for the host, so yours is asked"
	}
	f := found("%s", text).fact("target", c.target.String()).fact("principal", c.principal)
	_, host, _ := strings.Cut(service, "/")
	switch {
	case c.host != "" && isAddress(host):
		f = f.warn("use the host's name in the URL: no service is registered under an IP address")
	case c.host != "" && !strings.EqualFold(host, c.host) && c.config != nil:
		f.Found += fmt.Sprintf("; krb5.conf made %s of %s (dns_canonicalize_hostname = %s, rdns = %t)", clean(host), clean(c.host), c.config.CanonicalizeHost, c.config.ReverseDNS)
	}
	return f
}

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"time"

	"github.com/nego-sso/nego/negotiate"
)

// send makes the request of the URL, whose body nobody wants, and does not follow redirects. The error is one of
// fetch's.
func (c *checker) send(ctx context.Context, t *negotiate.Transport) (*http.Response, error) {
	base, err := c.f.base()
	if err != nil {
		return nil, err
	}
	t.Base = base
	t.ProxyAuth = c.f.proxyNegotiate && c.cred != nil
	defer t.CloseIdleConnections()
	shown := displayURL(c.url)
	transfer := &transfer{fetcher: c.f, url: shown, hopURL: c.url, first: c.url}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) { transfer.tlsFailed.Store(err != nil) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url.String(), nil)
	if err != nil {
		return nil, badURL(shown, err)
	}
	req.Header.Set("User-Agent", userAgent())
	req.Header.Set("Accept", "*/*")
	resp, err := t.RoundTrip(req)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, transfer.requestFailed(err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // the connection may carry the rest of the handshake
	resp.Body.Close()
	return resp, nil
}

// findServer makes a request without a token.
func (c *checker) findServer(ctx context.Context) finding {
	resp, err := c.send(ctx, &negotiate.Transport{Credential: c.cred, Allow: refuseAll})
	if err != nil {
		return unreached(err)
	}
	c.challenge, c.received = resp, time.Now()
	proxy, _ := c.f.proxy(c.url) // one that cannot be used is an error above
	answers := fmt.Sprintf("%s answers %s", c.url.Host, resp.Status)
	if proxy != nil {
		answers += ", through the proxy " + proxy.Host
	}
	schemes := offered(resp.Header.Values("WWW-Authenticate"))
	f := c.judgeServer(answers, schemes)
	if resp.StatusCode == http.StatusProxyAuthRequired {
		f = failedWith(c.f.proxyRefused(proxy, resp, errors.Unwrap(negotiate.OutcomeOf(resp).Err)))
	}
	if c.basic {
		f = f.warn("leave user and password out of the URL: they would be sent as Basic, and Negotiate not be tried")
	}
	f = f.fact("status", resp.StatusCode).fact("schemes", append([]string{}, schemes...)).fact("protocol", resp.Proto)
	if proxy != nil {
		f = f.fact("proxy", proxy.Host)
	}
	return f
}

// unreached is about a server that there is no answer from.
func unreached(err error) finding {
	f := failedWith(err)
	e, _ := errors.AsType[*failure](err)
	_, slow := errors.AsType[errSlow](err)
	switch {
	case e == nil:
	case e.status == statusDNS, e.status == statusProxyDNS:
		f = f.hint("check the host's name; one that only a company's network knows takes its VPN or, with -x, its proxy")
	case e.status == statusConnect, e.status == statusTimeout, slow:
		f = f.hint("check that the server runs, that the port is right, and that this machine may reach it (VPN, firewall); -x names a proxy")
	}
	return f
}

func (c *checker) judgeServer(answers string, schemes []string) finding {
	resp := c.challenge
	others := slices.DeleteFunc(slices.Clone(schemes), func(s string) bool { return strings.EqualFold(s, "Negotiate") })
	switch {
	case resp.StatusCode == http.StatusUnauthorized && offersNegotiate(schemes):
		c.asks = true
		text := answers + ", and asks for Negotiate"
		if len(others) > 0 {
			text += " or " + strings.Join(others, ", ")
		}
		return found("%s", text)
	case resp.StatusCode == http.StatusUnauthorized && slices.ContainsFunc(schemes, func(s string) bool { return strings.EqualFold(s, "NTLM") }):
		return found("%s: it does not offer Negotiate but %s", answers, strings.Join(schemes, ", ")).
			fail("have Negotiate enabled on the server, for instance as a provider of Windows authentication on IIS; NTLM by itself is no single sign-on with Kerberos")
	case resp.StatusCode == http.StatusUnauthorized && len(schemes) > 0:
		return found("%s: it does not offer Negotiate but %s", answers, strings.Join(schemes, ", ")).
			fail("have Negotiate enabled on the server, or sign on in the way that it offers")
	case resp.StatusCode == http.StatusUnauthorized:
		return found("%s, and offers no way to sign on", answers).fail("have Negotiate enabled on the server: its 401 has no WWW-Authenticate")
	case resp.Header.Get("Location") != "" && resp.StatusCode >= 300 && resp.StatusCode < 400:
		to := resp.Header.Get("Location")
		if u, err := c.url.Parse(to); err == nil {
			u.User, u.RawQuery, u.Fragment = nil, "", ""
			to = u.String()
		}
		return found("%s, and asks for nothing: it redirects to %s", answers, to).warn("check where it leads: nego check " + to)
	case resp.StatusCode >= 400:
		return found("%s before it asks for anything", answers).fail("see the server's log: this is no matter of single sign-on, unless a proxy in front of it answers")
	}
	return found("%s, and asks for nothing", answers).warn("if a ticket should be needed there, protect the URL on the server; else there is nothing to sign on to")
}

// maxSkew is what Kerberos forgives, where nobody has changed it (clockskew in krb5.conf).
const maxSkew = 5 * time.Minute

// findClocks compares the clocks of KDCs and server with this one.
func (c *checker) findClocks(context.Context) finding {
	var right, wrong []string
	f := found("")
	look := func(who string, skew time.Duration) {
		direction := "ahead of"
		if skew < 0 {
			direction = "behind"
		}
		off := skew.Abs().Round(time.Second)
		if off <= 2*time.Second { // the header has whole seconds
			right = append(right, who)
			return
		}
		wrong = append(wrong, fmt.Sprintf("the clock of %s is %d s %s this machine's", who, off/time.Second, direction))
		switch {
		case off > maxSkew:
			c.skewed = append(c.skewed, who)
			f = f.fail()
		case off > time.Minute:
			f = f.warn()
		}
	}
	for _, r := range c.kdcs {
		for _, k := range r.kdcs {
			if k.clock {
				look("the KDC "+k.text, k.skew)
			}
		}
	}
	if c.challenge != nil {
		if date, err := http.ParseTime(c.challenge.Header.Get("Date")); err == nil {
			skew := date.Sub(c.received.Truncate(time.Second))
			look("the server", skew)
			f = f.fact("server_seconds", int(skew/time.Second))
		}
	}
	if len(right)+len(wrong) == 0 {
		return skipped("neither a KDC nor the server has told its time")
	}
	switch len(right) {
	case 0:
	case 1:
		wrong = append(wrong, "the clock of "+right[0]+" agrees with this machine's")
	default:
		wrong = append(wrong, "the clocks of "+strings.Join(right, " and ")+" agree with this machine's")
	}
	f.Found = clean(strings.Join(wrong, "; "))
	if f.Status != checkOK {
		f = f.hint(fmt.Sprintf("Kerberos forgives %d minutes: have all of them use NTP; if all but this machine agree, it is this one's that is wrong (%s)",
			maxSkew/time.Minute, clock(time.Now())))
	}
	return f
}

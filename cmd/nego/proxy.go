package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
)

// proxy finds the proxy for a URL by the rules of curl: net/http knows other variables, and never has a proxy for
// loopback.
func (f *fetcher) proxy(u *url.URL) (*url.URL, error) {
	p := f.proxyURL
	switch {
	case f.noProxy(u.Hostname()):
		return nil, nil
	case !f.proxyGiven:
		p = environmentProxy(u.Scheme)
	}
	if p == "" {
		return nil, nil
	}
	return parseProxy(p)
}

// noProxy reports whether a host is one of those that NO_PROXY has, which counts for -x too.
func (f *fetcher) noProxy(host string) bool {
	list := os.Getenv("no_proxy")
	if list == "" {
		list = os.Getenv("NO_PROXY")
	}
	return matchHost(list, host)
}

// matchHost reports whether a list has a host, a domain that it is in, or a network.
func matchHost(list, host string) bool {
	if list == "*" {
		return true
	}
	host = strings.TrimSuffix(host, ".")
	ip, err := netip.ParseAddr(host)
	isIP := err == nil
	for _, entry := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		if isIP {
			entry = strings.Trim(entry, "[]")
			if net, err := netip.ParsePrefix(entry); err == nil && net.Contains(ip) {
				return true
			}
			if a, err := netip.ParseAddr(entry); err == nil && a == ip {
				return true
			}
			continue
		}
		entry = strings.TrimSuffix(strings.TrimPrefix(entry, "."), ".")
		if n := len(host) - len(entry); entry != "" && n >= 0 && strings.EqualFold(host[n:], entry) && (n == 0 || host[n-1] == '.') {
			return true
		}
	}
	return false
}

// environmentProxy reads the variables. HTTP_PROXY is none of them: a CGI program has what the client wants there.
func environmentProxy(scheme string) string {
	names := []string{scheme + "_proxy"}
	if scheme != "http" {
		names = append(names, strings.ToUpper(scheme)+"_PROXY")
	}
	for _, name := range append(names, "all_proxy", "ALL_PROXY") {
		if p := os.Getenv(name); p != "" {
			return p
		}
	}
	return ""
}

// overTLS reports whether some proxy that could be used is an https one.
func (o *connectionOptions) overTLS() bool {
	names := []string{o.proxyURL}
	if !o.proxyGiven {
		names = []string{environmentProxy("http"), environmentProxy("https")}
	}
	return slices.ContainsFunc(names, func(name string) bool {
		scheme, _, _ := strings.Cut(name, "://")
		return strings.EqualFold(scheme, "https")
	})
}

// parseProxy reads [scheme://][user:password@]host[:port].
func parseProxy(s string) (*url.URL, error) {
	u, err := url.Parse(withScheme(s))
	switch {
	case err != nil || u.Hostname() == "":
		return nil, &failure{err: fmt.Errorf("the proxy %q is no URL", shownURL(withScheme(s))), status: statusProxyDNS}
	case !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme):
		return nil, &failure{err: fmt.Errorf("%s is not supported for a proxy", u.Scheme), status: statusConnect,
			hints: []string{"use one of http://, https://, socks5:// and socks5h://; it is named by -x, or by http_proxy, https_proxy or all_proxy"}}
	}
	p := &url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host}
	switch {
	case p.Port() != "":
	case p.Scheme == "https":
		p.Host = net.JoinHostPort(p.Hostname(), "443")
	default:
		p.Host = net.JoinHostPort(p.Hostname(), "1080")
	}
	return p, nil
}

// connected is called with what a proxy answers to CONNECT. A refused token is for negotiate to tell.
func (f *fetcher) connected(_ context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
	if f.wire != nil {
		f.wire.connected(req, resp)
	}
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	if resp.StatusCode != http.StatusProxyAuthRequired {
		return &failure{err: fmt.Errorf("the proxy %s answered %s", proxy.Host, resp.Status), status: statusReceive}
	}
	if f.negotiatesWithProxy() {
		return nil
	}
	err := f.proxyRefused(proxy, resp, nil)
	if f.proxyNegotiate {
		return &failure{err: err, status: statusAuth}
	}
	return &failure{err: err, status: statusReceive}
}

// negotiatesWithProxy reports whether the proxy gets a token: where the credential that the user wants is not there,
// it would get that of somebody else.
func (f *fetcher) negotiatesWithProxy() bool { return f.proxyNegotiate && f.credErr == nil }

// proxyRefused says why a proxy lets nobody through.
func (f *fetcher) proxyRefused(proxy *url.URL, resp *http.Response, reason error) error {
	who := "the proxy"
	if proxy != nil {
		who += " " + proxy.Host
	}
	err := fmt.Errorf("%s answered %s", who, resp.Status)
	schemes := offered(resp.Header.Values("Proxy-Authenticate"))
	switch {
	case reason != nil:
		return fmt.Errorf("%w: %w", err, reason)
	case !offersNegotiate(schemes):
		return notOffered(err, schemes)
	case proxy != nil && proxy.User != nil:
		return fmt.Errorf("%w: the user and password of its URL were sent as Basic, so Negotiate was not tried", err)
	case !f.proxyNegotiate:
		return &failure{err: err, hints: []string{"--proxy-negotiate answers it with a ticket"}}
	case f.credErr != nil:
		return fmt.Errorf("%w: %w", err, f.credErr)
	}
	return fmt.Errorf("%w: %w", err, errors.New("it does not accept the token"))
}

package forward

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"syscall"
)

// dial connects to a host. It is asked for each connection of this proxy, and refuses those that would lead back to
// the proxy itself, and for clients on other machines those to what listens on this one for itself.
func (p *Proxy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	upstream := p.Upstream != nil && addr == p.Upstream.Host
	d := net.Dialer{
		Timeout: dialTimeout,
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			to = netip.AddrPortFrom(to.Addr().Unmap().WithZone(""), to.Port())
			switch {
			case p.isSelf(to):
				return refuse(http.StatusLoopDetected, "%s is this proxy itself", addr)
			case !upstream && !p.listener.IP.IsLoopback() && isInner(to.Addr()):
				return refuse(http.StatusForbidden, "%s is an address of the proxy's own machine, which clients of other machines do not get to", addr)
			}
			return nil
		},
	}
	return d.DialContext(ctx, network, addr)
}

// isInner reports whether an address means this machine, or what is known to it alone.
func isInner(a netip.Addr) bool { return a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() }

// isSelf reports whether a connection to an address would end at this proxy.
func (p *Proxy) isSelf(to netip.AddrPort) bool {
	own := p.listener.AddrPort()
	own = netip.AddrPortFrom(own.Addr().Unmap().WithZone(""), own.Port())
	switch {
	case to.Port() != own.Port():
		return false
	case to.Addr() == own.Addr(), to.Addr().IsUnspecified():
		return true
	case !own.Addr().IsUnspecified():
		return false
	case to.Addr().IsLoopback():
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true // rather than go round
	}
	for _, a := range addrs {
		if n, err := netip.ParsePrefix(a.String()); err == nil && n.Addr().Unmap() == to.Addr() {
			return true
		}
	}
	return false
}

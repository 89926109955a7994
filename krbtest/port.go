package krbtest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// A reservation is a loopback port that is kept for one realm.
//
// krb5kdc binds with SO_REUSEPORT: two KDCs of one user can have the same port,
// and the kernel then shares the requests among them, seen as "client not
// found in database" now and then. So a port which a socket of ours has
// reserved, and given back, can be taken by another realm at the wrong moment,
// which neither KDC would notice. The guard prevents this: it is an ordinary
// listener, which cannot be shared, on the same port of another loopback
// address, held as long as the realm lives, also while its KDC is stopped.
type reservation struct {
	addr string
	held []io.Closer // sockets on addr itself
	// guard is nil if the machine has no other loopback address. Then only the
	// proof by [probe] is left.
	guard io.Closer
}

// guardHosts are loopback addresses other than 127.0.0.1, in the same order
// for all realms of a machine. Linux has all of 127.0.0.0/8; macOS has ::1.
var guardHosts = [...]string{"127.0.0.2", "::1"}

// reserve takes a port from the system, which is free for TCP and UDP and which
// no other realm has.
func reserve() (*reservation, error) {
	var last error
	for range 20 {
		p, err := reserveOnce()
		if err == nil {
			return p, nil
		}
		last = err
	}
	return nil, fmt.Errorf("krbtest: no free loopback port: %w", last)
}

func reserveOnce() (_ *reservation, err error) {
	p := &reservation{}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.held = append(p.held, tcp)
	p.addr = tcp.Addr().String()
	udp, err := net.ListenPacket("udp4", p.addr)
	if err != nil {
		return nil, err
	}
	p.held = append(p.held, udp)
	port := strconv.Itoa(tcp.Addr().(*net.TCPAddr).Port)
	for _, host := range guardHosts {
		guard, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err == nil {
			p.guard = guard
			break
		}
		if errors.Is(err, errInUse) {
			return nil, err // another realm has this port
		}
		// Otherwise the machine does not have this address.
	}
	return p, nil
}

// free gives the port to the KDC. The guard stays.
func (p *reservation) free() {
	for _, c := range p.held {
		_ = c.Close()
	}
	p.held = nil
}

// close gives everything back.
func (p *reservation) close() {
	p.free()
	if p.guard != nil {
		_ = p.guard.Close()
	}
}

package forward

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
)

// loopback is the machine's: a container often has no ::1.
func loopback(t *testing.T) (all []string) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsLoopback() {
			all = append(all, net.JoinHostPort(n.IP.String(), "0"))
		}
	}
	if len(all) == 0 {
		t.Fatal("there is no loopback address")
	}
	return all
}

func TestSocketOwner(t *testing.T) {
	for _, addr := range loopback(t) {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if uid, err := socketOwner(server); uid != os.Getuid() || err != nil {
			t.Errorf("%s: %d, %v", addr, uid, err)
		}
		// Of a socket that nobody has any more the kernel says that it is root's.
		c.Close()
		if uid, err := socketOwner(server); err == nil {
			t.Errorf("%s: closed, and %d's", addr, uid)
		}
	}
}

// The kernel is asked about IPv6 too, also where this machine has none.
func TestSocketOwnerIPv6(t *testing.T) {
	own, peer := netip.MustParseAddrPort("[2001:db8::1]:258"), netip.MustParseAddrPort("[2001:db8::2]:772")
	req := diagRequest(own, peer)[syscall.NLMSG_HDRLEN:]
	want := append(append([]byte{1, 2, 3, 4}, own.Addr().AsSlice()...), peer.Addr().AsSlice()...)
	if req[0] != syscall.AF_INET6 || req[1] != syscall.IPPROTO_TCP || !bytes.Equal(req[8:44], want) {
		t.Errorf("% x", req)
	}
}

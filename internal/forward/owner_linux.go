package forward

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
)

func self() int { return os.Getuid() }

// What syscall lacks of sock_diag(7).
const (
	netlinkSockDiag  = 4
	sockDiagByFamily = 20
	requestLength    = syscall.NLMSG_HDRLEN + 56 // struct inet_diag_req_v2
	answerLength     = 72                        // struct inet_diag_msg
)

var errGone = errors.New("it is closed at the other end")

// socketOwner asks the kernel for the user whose process has the other end of a connection of this machine.
func socketOwner(c net.Conn) (uid int, err error) {
	client, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return 0, err
	}
	server, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return 0, err
	}
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, netlinkSockDiag)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer syscall.Close(fd)
	kernel := &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}
	if err := syscall.Sendto(fd, diagRequest(client, server), 0, kernel); err != nil {
		return 0, os.NewSyscallError("sendto", err)
	}
	answer := make([]byte, 4096)
	n, _, err := syscall.Recvfrom(fd, answer, 0)
	if err != nil {
		return 0, os.NewSyscallError("recvfrom", err)
	}
	return diagAnswer(answer[:n])
}

// diagRequest asks for the socket that has these two addresses, its own first.
func diagRequest(own, peer netip.AddrPort) []byte {
	b := make([]byte, requestLength)
	native, network := binary.NativeEndian, binary.BigEndian
	native.PutUint32(b, requestLength)
	native.PutUint16(b[4:], sockDiagByFamily)
	native.PutUint16(b[6:], syscall.NLM_F_REQUEST)
	req := b[syscall.NLMSG_HDRLEN:]
	req[0], req[1] = syscall.AF_INET, syscall.IPPROTO_TCP
	if own.Addr().Unmap().Is6() {
		req[0] = syscall.AF_INET6
	}
	native.PutUint32(req[4:], 1<<32-1) // in every state
	network.PutUint16(req[8:], own.Port())
	network.PutUint16(req[10:], peer.Port())
	copy(req[12:28], own.Addr().Unmap().AsSlice())
	copy(req[28:44], peer.Addr().Unmap().AsSlice())
	native.PutUint64(req[48:], 1<<64-1) // no cookie
	return b
}

// diagAnswer reads the user out of the answer. A socket that no process has any more has the user 0 there, which is
// root's as well.
func diagAnswer(b []byte) (uid int, err error) {
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return 0, err
	}
	for _, m := range messages {
		switch {
		case m.Header.Type == syscall.NLMSG_ERROR && len(m.Data) >= 4:
			errno := syscall.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
			if errno == syscall.ENOENT {
				return 0, errGone
			}
			return 0, os.NewSyscallError("sock_diag", errno)
		case m.Header.Type == sockDiagByFamily && len(m.Data) >= answerLength:
			if inode := binary.NativeEndian.Uint32(m.Data[68:]); inode == 0 {
				return 0, errGone
			}
			return int(binary.NativeEndian.Uint32(m.Data[64:])), nil
		}
	}
	return 0, fmt.Errorf("sock_diag: no answer in %d bytes", len(b))
}

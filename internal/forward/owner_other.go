//go:build !linux

package forward

import "net"

func self() int { return -1 }

func socketOwner(net.Conn) (int, error) { return 0, errOwner }

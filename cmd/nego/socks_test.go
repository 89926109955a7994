package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
)

// socks is the helper command of scripts that need a SOCKS5 proxy (RFC 1928): it writes its address as its first line and
// lets everybody through, or with USER:PASSWORD as its argument those who know that (RFC 1929).
func socks() {
	secret := ""
	if len(os.Args) > 1 {
		secret = os.Args[1]
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(l.Addr())
	for {
		c, err := l.Accept()
		check(err)
		go func() {
			defer c.Close()
			socksConn(c, secret)
		}()
	}
}

// socksConn serves one client. What is malformed ends it.
func socksConn(c net.Conn, secret string) {
	r := bufio.NewReader(c)
	head := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(r, b) // zeroes where it ends, which mean nothing
		return b
	}
	text := func() string { return string(head(int(head(1)[0]))) }
	methods := head(2)
	head(int(methods[1]))
	if secret == "" {
		_, _ = c.Write([]byte{5, 0})
	} else {
		_, _ = c.Write([]byte{5, 2})
		head(1)
		if user, password := text(), text(); user+":"+password != secret {
			_, _ = c.Write([]byte{1, 1})
			return
		}
		_, _ = c.Write([]byte{1, 0})
	}
	request := head(4)
	host := ""
	switch request[3] {
	case 1:
		host = net.IP(head(4)).String()
	case 3:
		host = text()
	}
	port := head(2)
	to, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(int(port[0])<<8|int(port[1]))))
	if err != nil {
		_, _ = c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0}) // connection refused
		return
	}
	defer to.Close()
	_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	go func() { _, _ = io.Copy(to, r) }()
	_, _ = io.Copy(c, to)
}

package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"time"
)

// relay is the helper command of scripts that need a KDC other than a good one: it passes on to the KDC at ADDR what
// comes over UDP and TCP, on the address that it writes as its first line.
//
//	relay [-late DURATION] [-silent] ADDR
//	  -late     answers only after that time
//	  -silent   never answers
func relay() {
	late := flag.Duration("late", 0, "")
	silent := flag.Bool("silent", false, "")
	flag.Parse()
	l, u := listenBoth()
	fmt.Println(l.Addr())
	go func() {
		for {
			request := make([]byte, 64<<10)
			n, from, err := u.ReadFrom(request)
			if err != nil {
				panic(err)
			}
			if !*silent {
				time.AfterFunc(*late, func() { relayDatagram(u, from, flag.Arg(0), request[:n]) })
			}
		}
	}()
	for {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		if !*silent { // else it stays open
			time.AfterFunc(*late, func() { relayStream(c, flag.Arg(0)) })
		}
	}
}

// listenBoth listens on a port that is free for both.
func listenBoth() (net.Listener, net.PacketConn) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		u, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return l, u
		}
		l.Close()
	}
}

func relayDatagram(u net.PacketConn, from net.Addr, kdc string, request []byte) {
	c, err := net.Dial("udp", kdc)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	answer := make([]byte, 64<<10)
	if _, err := c.Write(request); err != nil {
		return
	}
	n, err := c.Read(answer)
	if err != nil {
		return // a KDC that has been stopped
	}
	_, _ = u.WriteTo(answer[:n], from) // who may have gone
}

func relayStream(c net.Conn, kdc string) {
	defer c.Close()
	k, err := net.Dial("tcp", kdc)
	if err != nil {
		return
	}
	defer k.Close()
	go io.Copy(k, c)
	_, _ = io.Copy(c, k)
}

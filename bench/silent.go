package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// measureWaiting takes the KDC away and listens in its place, without a word.
func (st *stage) measureWaiting(ctx context.Context, rows []*Row, p pace, show progress) (err error) {
	if _, err := st.cache(ctx, 1, 0); err != nil {
		return err
	}
	if err := st.realm.StopKDC(); err != nil {
		return err
	}
	udp, err := net.ListenPacket("udp", st.realm.Addr)
	if err != nil {
		return err
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp", st.realm.Addr)
	if err != nil {
		return err
	}
	defer tcp.Close()
	asked := make(chan net.Addr)
	done := make(chan struct{})
	defer close(done)
	go hear(asked, done, udp, tcp)
	defer func() { err = errors.Join(err, closeAll(rows)) }()
	if err := st.open(ctx, rows); err != nil {
		return err
	}
	if err := awaitCallers(asked); err != nil {
		return err
	}
	return measureAll(ctx, "tokens beside a silent KDC", rows, p, show)
}

// awaitCallers returns when all that are to be stuck have asked. One that gets no answer by one protocol tries the other,
// so they are counted by protocol.
func awaitCallers(asked <-chan net.Addr) error {
	callers := map[string]map[string]bool{"udp": {}, "tcp": {}}
	late := time.After(patience)
	for {
		select {
		case from := <-asked:
			by := callers[from.Network()]
			if by[from.String()] = true; len(by) == stuckCallers {
				return nil
			}
		case <-late:
			return fmt.Errorf("only %d by UDP and %d by TCP of %d callers have asked the silent KDC",
				len(callers["udp"]), len(callers["tcp"]), stuckCallers)
		}
	}
}

// hear tells who asks. A connection is kept, so that its caller waits.
func hear(asked chan<- net.Addr, done <-chan struct{}, udp net.PacketConn, tcp net.Listener) {
	tell := func(a net.Addr) {
		select {
		case asked <- a:
		case <-done:
		}
	}
	go func() {
		buf := make([]byte, 1<<16)
		for {
			_, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			tell(from)
		}
	}()
	for {
		c, err := tcp.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		tell(c.RemoteAddr())
	}
}

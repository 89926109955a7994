package main

import (
	"context"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
)

// protect is the helper command of the scripts: a server on loopback. It writes its URL as its first line and
// runs until it is killed. All paths but those of open need a ticket.
//
//	-tls FILE       over TLS; FILE is for its certificate
//	-keytab FILE    with other keys than those of KRB5_KTNAME
func protect() {
	certificate := flag.String("tls", "", "")
	keytab := flag.String("keytab", "", "")
	flag.Parse()
	auth := new(negotiate.Authenticator)
	if *keytab != "" {
		cred, err := gssapi.Acquire(context.Background(), &gssapi.CredentialOptions{Usage: gssapi.Accept, Store: gssapi.Store{Keytab: *keytab}})
		if err != nil {
			panic(err)
		}
		auth.Credential = cred
	}

	var connections atomic.Int64
	protected := http.NewServeMux()
	protected.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		who, _ := negotiate.FromContext(r.Context())
		fmt.Fprintf(w, "%s %s by %s\n", r.Method, r.URL.Path, who.Initiator)
	})
	protected.HandleFunc("/connections", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%d connections\n", connections.Load())
	})
	protected.HandleFunc("/forbidden", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "you are not on the list", http.StatusForbidden)
	})
	mux := http.NewServeMux()
	mux.Handle("/", auth.Handler(protected))
	open(mux)

	srv := httptest.NewUnstartedServer(mux)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	if *certificate == "" {
		srv.Start()
		// The service is HTTP/localhost.
		fmt.Println(strings.Replace(srv.URL, "127.0.0.1", "localhost", 1))
	} else {
		srv.EnableHTTP2 = true
		srv.StartTLS()
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
		if err := os.WriteFile(*certificate, block, 0o600); err != nil {
			panic(err)
		}
		fmt.Println(srv.URL) // the certificate is for 127.0.0.1
	}
	select {}
}

// open adds what needs no ticket, most of it broken.
func open(mux *http.ServeMux) {
	mux.HandleFunc("/open", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "open\n") })
	mux.HandleFunc("/gone", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "gone away", http.StatusGone) })
	mux.HandleFunc("/basic", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="old"`)
		http.Error(w, "password, please", http.StatusUnauthorized)
	})
	mux.HandleFunc("/refuses", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", "Negotiate")
		http.Error(w, "never", http.StatusUnauthorized)
	})
	mux.Handle("/redirect", http.RedirectHandler("/landing", http.StatusFound))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.Handle("/to-empty", http.RedirectHandler("/empty", http.StatusFound))
	mux.HandleFunc("/hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/stalls", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "the beginning\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/breaks", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "cut sh")
	})
	mux.HandleFunc("/empty", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/garbage", func(w http.ResponseWriter, _ *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		buf.WriteString("this is not HTTP\r\n\r\n")
		buf.Flush()
	})
}

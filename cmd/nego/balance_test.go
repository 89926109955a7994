package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
)

// certify is the helper command of scripts that need a certificate: it writes that of the demo.
func certify() { check(writeCertificate(".")) }

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// balance is the helper command of scripts with several servers: it ends the TLS of clients, with cert.pem and key.pem, and
// gives each server one request in turn. X-Balanced says which one it was, and whether the request had a token.
func balance() {
	cert, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	check(err)
	var servers []*url.URL
	for _, s := range os.Args[1:] {
		u, err := url.Parse(s)
		check(err)
		servers = append(servers, u)
	}
	var turn atomic.Int64
	srv := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		n := int(turn.Add(1)-1) % len(servers)
		r.SetURL(servers[n])
		r.Out.Host = r.In.Host
		r.SetXForwarded()
		scheme, _, _ := strings.Cut(r.In.Header.Get("Authorization"), " ")
		r.Out.Header.Set("X-Balanced", fmt.Sprintf("%d %s", n, scheme))
	}, ModifyResponse: func(resp *http.Response) error {
		resp.Header.Set("X-Balanced", resp.Request.Header.Get("X-Balanced"))
		return nil
	}})
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.StartTLS()
	fmt.Println(strings.Replace(srv.URL, "127.0.0.1", "localhost", 1))
	select {}
}

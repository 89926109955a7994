package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/negotiate"
)

// protect is the helper command of the scripts: a server on loopback. It writes its URL as its first line and
// runs until it is killed. All paths but those of open need a ticket.
//
//	-tls FILE       over TLS; FILE is for its certificate
//	-keytab FILE    with other keys than those of KRB5_KTNAME
//	-files DIR      with the files of DIR at /files, and at /open/files
//	-proxy          a proxy for http and https instead, which lets in whoever has a ticket; with -tls over TLS, with
//	                the certificate in FILE and key.pem
//	-open           with -proxy: everybody
//	-bind           with -tls: only for tokens that are bound to the certificate
//	-date OFFSET    with another time in its Date
//	-ntlm           for NTLM alone, which a plug-in has
//	-small          with no room for more than 4 KiB of header
func protect() {
	certificate := flag.String("tls", "", "")
	keytab := flag.String("keytab", "", "")
	files := flag.String("files", "", "")
	isProxy := flag.Bool("proxy", false, "")
	isOpen := flag.Bool("open", false, "")
	bind := flag.Bool("bind", false, "")
	date := flag.Duration("date", 0, "")
	ntlm := flag.Bool("ntlm", false, "")
	small := flag.Bool("small", false, "")
	flag.Parse()
	if *isProxy {
		srv := httptest.NewUnstartedServer(proxyHandler(*isOpen))
		if *certificate != "" {
			cert, err := tls.LoadX509KeyPair(*certificate, "key.pem")
			check(err)
			srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
			srv.EnableHTTP2 = true // which a client must not use: there is no CONNECT in it
			srv.StartTLS()
		} else {
			srv.Start()
		}
		fmt.Println(strings.Replace(srv.URL, "127.0.0.1", "localhost", 1))
		select {}
	}
	auth := new(negotiate.Authenticator)
	if *keytab != "" || *ntlm {
		o := &gssapi.CredentialOptions{Usage: gssapi.Accept, Store: gssapi.Store{Keytab: *keytab}}
		if *ntlm {
			o.Mechs = []gssapi.OID{gssapi.NTLMSSP}
		}
		cred, err := gssapi.Acquire(context.Background(), o)
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
	protected.HandleFunc("/echo", echo)
	protected.HandleFunc("/sink", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d bytes\n", n)
	})
	protected.HandleFunc("/zeroes/{length}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.ParseInt(r.PathValue("length"), 10, 64)
		_, _ = io.CopyN(w, zeroes{}, n) // fails where the client has gone
	})
	mux := http.NewServeMux()
	mux.Handle("/", auth.Handler(protected))
	open(mux)
	if *files != "" {
		protected.Handle("/files/", http.StripPrefix("/files/", http.FileServer(http.Dir(*files))))
		mux.Handle("/open/files/", http.StripPrefix("/open/files/", http.FileServer(http.Dir(*files))))
	}

	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if *date != 0 {
			w.Header().Set("Date", time.Now().Add(*date).UTC().Format(http.TimeFormat))
		}
		mux.ServeHTTP(w, r)
	}))
	if *bind {
		auth.ChannelBinding = negotiate.BindRequired
		spare := httptest.NewTLSServer(nil) // for its certificate
		spare.Close()
		srv.TLS = auth.TLSConfig(&tls.Config{Certificates: spare.TLS.Certificates})
	}
	srv.Config.ConnContext = auth.ConnContext
	if *small {
		srv.Config.MaxHeaderBytes = 1 // to which net/http adds those 4 KiB, and more where a connection is used again
		srv.Config.SetKeepAlivesEnabled(false)
	}
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

// startProtect starts protect for a test that is no script.
func startProtect(t *testing.T, env []string, args ...string) (url string) {
	t.Helper()
	server := exec.Command("protect", args...)
	server.Env = env
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	url, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(url)
}

// open adds what needs no ticket, most of it broken.
func open(mux *http.ServeMux) {
	mux.HandleFunc("/open", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "open\n") })
	mux.HandleFunc("/open/echo", echo)
	mux.HandleFunc("/redirect/{status}/{to...}", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		status, _ := strconv.Atoi(r.PathValue("status"))
		to := "/" + r.PathValue("to")
		if host := r.URL.Query().Get("host"); host != "" {
			to = "http://" + host + to
		}
		w.Header().Set("Location", to)
		w.WriteHeader(status)
	})
	mux.HandleFunc("/gone", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "gone away", http.StatusGone) })
	mux.HandleFunc("/basic", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="old"`)
		http.Error(w, "password, please", http.StatusUnauthorized)
	})
	mux.HandleFunc("/ntlm", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", "NTLM")
		http.Error(w, "a domain user, please", http.StatusUnauthorized)
	})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "nobody at home", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/refuses", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", "Negotiate")
		http.Error(w, "never", http.StatusUnauthorized)
	})
	mux.HandleFunc("/narrow", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		http.Error(w, "Request Header Or Cookie Too Large", http.StatusBadRequest) // as nginx says it
	})
	mux.Handle("/redirect", http.RedirectHandler("/landing", http.StatusFound))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.HandleFunc("/late", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			http.Error(w, "too late", http.StatusUnauthorized)
			return
		}
		late := new(negotiate.Authenticator)
		late.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who, _ := negotiate.FromContext(r.Context())
			fmt.Fprintf(w, "by %s, %d bytes\n", who.Initiator, n)
		})).ServeHTTP(w, r)
	})
	mux.Handle("/to-ftp", http.RedirectHandler("ftp://localhost/file", http.StatusFound))
	mux.HandleFunc("/to-nowhere", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://user:secret@host:port/")
		w.WriteHeader(http.StatusFound)
		io.WriteString(w, "nowhere\n")
	})
	mux.Handle("/to-empty", http.RedirectHandler("/empty", http.StatusFound))
	mux.HandleFunc("/hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/stalls", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "the beginning\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/slow/{length}", func(w http.ResponseWriter, r *http.Request) {
		if length := r.PathValue("length"); length != "unknown" {
			w.Header().Set("Content-Length", length)
		}
		_, _ = w.Write(make([]byte, 1024))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-time.After(2 * progressDelay): // the client may be late for the beginning
			_, _ = w.Write(make([]byte, 1024))
		}
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

// echo answers with what it was sent, of the body at most the beginning.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "%s %s to %s, %d of %d bytes %q: %.20q\n", r.Method, r.URL.Path, r.Host, len(body), r.ContentLength, r.TransferEncoding, body)
	if who, ok := negotiate.FromContext(r.Context()); ok {
		fmt.Fprintf(w, "by %s\n", who.Initiator)
	}
	for _, name := range []string{"Accept", "Authorization", "Content-Type", "Cookie", "Referer", "User-Agent", "X-Test"} {
		for _, v := range r.Header[name] {
			if !strings.HasPrefix(v, "Negotiate ") {
				fmt.Fprintf(w, "%s: %s\n", name, v)
			}
		}
	}
}

// proxyHandler is a proxy as Squid is one, without its package.
func proxyHandler(isOpen bool) http.Handler {
	forward := &httputil.ReverseProxy{
		Rewrite:        func(*httputil.ProxyRequest) {},
		ModifyResponse: func(r *http.Response) error { r.Header.Set("Via", "1.1 proxy"); return nil },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isOpen && !admit(r) {
			w.Header().Set("Proxy-Authenticate", "Negotiate")
			http.Error(w, "who are you?", http.StatusProxyAuthRequired)
			return
		}
		if r.Method != http.MethodConnect {
			forward.ServeHTTP(w, r)
			return
		}
		if strings.HasPrefix(r.Host, "forbidden") {
			http.Error(w, "not there", http.StatusForbidden)
			return
		}
		server, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer server.Close()
		w.WriteHeader(http.StatusOK)
		client, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer client.Close()
		go io.Copy(server, buf)
		io.Copy(client, server)
	})
}

// admit reports whether a request has a token for the proxy.
func admit(r *http.Request) bool {
	text, ok := strings.CutPrefix(r.Header.Get("Proxy-Authorization"), "Negotiate ")
	token, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return false
	}
	sc := gssapi.NewAcceptor(nil)
	defer sc.Close()
	_, err = sc.Step(r.Context(), token)
	return err == nil && sc.Established()
}

// zeroes is a body without an end.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

package negotiate

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

// oddServices are on hosts whose names are not usual ones.
var oddServices = sync.OnceValue(func() error {
	for _, spn := range []string{"HTTP/xn--bcher-kva.nego.test", "HTTP/::1", "HTTP/127.0.0.2"} {
		if err := realm.AddService(spn); err != nil {
			return err
		}
	}
	return nil
})

// The name of the service is made of the URL's host; Host and the connection are net/http's business.
func TestPoint15Hosts(t *testing.T) {
	if err := oddServices(); err != nil {
		t.Fatal(err)
	}
	host := newService(t)
	var a Authenticator
	s := newSite(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if id, err := a.Authenticate(w, r); err != nil {
			w.WriteHeader(401)
		} else {
			w.Header().Set("X-Service", id.Acceptor.String())
			w.Header().Set("X-Host", r.Host)
		}
	})
	for _, c := range []struct{ url, service, host string }{
		{"http://" + host, host, host},
		{"http://" + host + ".", host, host + "."},
		{"http://" + strings.ToUpper(host) + ":8080/x", host, strings.ToUpper(host) + ":8080"},
		{"http://bücher.nego.test", "xn--bcher-kva.nego.test", "xn--bcher-kva.nego.test"},
		{"http://BÜCHER.nego.test.:81", "xn--bcher-kva.nego.test", "xn--BCHER-2pa.nego.test.:81"}, // net/http does not know that this is the same
		{"http://xn--bcher-kva.nego.test", "xn--bcher-kva.nego.test", "xn--bcher-kva.nego.test"},
		{"http://[::1]:8080", "::1", "[::1]:8080"},
		{"http://127.0.0.2", "127.0.0.2", "127.0.0.2"},
	} {
		for _, preempt := range []Preemption{PreemptNever, PreemptAlways} {
			tr := &Transport{Base: sendTo(s.Listener.Addr().String()), Preemptive: preempt}
			resp, _ := get(t, &http.Client{Transport: tr}, c.url)
			o := OutcomeOf(resp)
			if c.service == "::1" && onHeimdal { // which does not survive the name
				if o.Target != gssapi.Service("HTTP", "::1") || resp.StatusCode != 401 || !errors.Is(o.Err, gssapi.ErrBadName) {
					t.Errorf("%s: %s, %+v", c.url, resp.Status, o)
				}
			} else if o.Target != gssapi.Service("HTTP", c.service) || resp.Header.Get("X-Service") != "HTTP/"+c.service+"@NEGO.TEST" || resp.Header.Get("X-Host") != c.host {
				t.Errorf("%s: %s, %v, %+v", c.url, resp.Status, resp.Header, o)
			}
			tr.CloseIdleConnections()
		}
	}
	// A Host of the caller's changes nothing about the service.
	req := newRequest(t, "GET", "http://"+host, nil)
	req.Host = "other.example"
	tr := &Transport{Base: sendTo(s.Listener.Addr().String())}
	defer tr.CloseIdleConnections()
	if resp, _ := do(t, &http.Client{Transport: tr}, req); resp.Header.Get("X-Service") != "HTTP/"+host+"@NEGO.TEST" || resp.Header.Get("X-Host") != "other.example" {
		t.Errorf("%s, %v, %+v", resp.Status, resp.Header, OutcomeOf(resp))
	}
}

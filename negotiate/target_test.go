package negotiate

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nego-sso/nego/gssapi"
)

func parse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestDefaultTarget(t *testing.T) {
	for raw, want := range map[string]string{
		"http://www.example.com/":             "HTTP@www.example.com",
		"https://WWW.Example.COM:8443/x?y=z":  "HTTP@www.example.com",
		"http://alice:secret@www.example.com": "HTTP@www.example.com",
		"http://www.example.com.:80/":         "HTTP@www.example.com",
		"http://[2001:DB8::1]:8080/":          "HTTP@2001:db8::1",
		"http://192.0.2.1/":                   "HTTP@192.0.2.1",
		"http://Bücher.example/":              "HTTP@xn--bcher-kva.example",
		"http://bücher.example./":             "HTTP@xn--bcher-kva.example",
		"http://faß.de/":                      "HTTP@xn--fa-hia.de",
		"http://under_score.example/":         "HTTP@under_score.example",
		"http://a\u0300\u0338\u2260_-.x/":     "HTTP@a\u0300\u0338\u2260_-.x", // no name that IDNA knows: as typed
	} {
		got, _ := new(Transport).target(parse(t, raw))
		if got != gssapi.Service("HTTP", strings.TrimPrefix(want, "HTTP@")) || got.Type() != gssapi.NTHostBased {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

func TestTargetFunc(t *testing.T) {
	special := gssapi.Principal("HTTP/special@NEGO.TEST")
	tr := &Transport{Target: func(u *url.URL) gssapi.Name {
		if u.Path == "/special" {
			return special
		}
		return gssapi.Name{}
	}}
	if got, named := tr.target(parse(t, "http://a/special")); got != special || !named {
		t.Errorf("got %s", got)
	}
	if got, named := tr.target(parse(t, "http://a/other")); got != gssapi.Service("HTTP", "a") || named {
		t.Errorf("a zero name gave %s", got)
	}
}

func TestRedirectRules(t *testing.T) {
	fixed := func(*url.URL) gssapi.Name { return gssapi.Service("HTTP", "files") }
	for _, c := range []struct {
		name   string
		hops   string
		target func(*url.URL) gssapi.Name
		ok     bool
	}{
		{"no redirect", "http://a/", nil, true},
		{"same host", "http://a/ http://a/x", nil, true},
		{"other host", "http://a/ http://b/", nil, true},
		{"to https", "http://a/ https://a/", nil, true},
		{"https to http", "https://a/ http://a/", nil, false},
		{"https to http to https", "https://a/ http://b/ https://a/", nil, false},
		{"https to http, long ago", "https://a/ http://b/ http://c/ http://d/", nil, false},
		{"https all the way", "https://a/ https://b/ https://c/", nil, true},
		{"fixed target, same host", "http://a/ http://a/x", fixed, true},
		{"fixed target, other port", "http://a/ http://a:8080/x", fixed, true},
		{"fixed target, other spelling", "http://a/ http://A.:8080/x", fixed, true},
		{"fixed target, other host", "http://a/ http://b/", fixed, false},
		{"fixed target, other host before", "http://a/ http://b/ http://b/x", fixed, false},
		{"fixed target, there and back", "http://a/ http://b/ http://a/", fixed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var req *http.Request
			for raw := range strings.FieldsSeq(c.hops) {
				next := &http.Request{URL: parse(t, raw)}
				if req != nil {
					next.Response = &http.Response{Request: req}
				}
				req = next
			}
			a := (&Transport{Target: c.target}).admit(req)
			err := a.err
			if (a.standing == ours) != c.ok {
				t.Errorf("standing %d", a.standing)
			}
			if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrNotAllowed) {
				t.Error(err)
			}
		})
	}
}

package main

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestMaskTokens(t *testing.T) {
	for _, test := range []struct{ key, value, want string }{
		{"Authorization", "Negotiate AAAA", "Negotiate [3 bytes]"},
		{"authorization", "Negotiate AAA=", "Negotiate [2 bytes]"},
		{"Authorization", "Negotiate AAA", "Negotiate [2 bytes]"},
		{"Authorization", "Bearer not.base64", "Bearer [10 bytes]"},
		{"Authorization", `Digest username="alice"`, "Digest [16 bytes]"},
		{"Authorization", "secret", "[6 bytes]"},
		{"Proxy-Authorization", "Basic YTpi", "Basic [3 bytes]"},
		{"WWW-Authenticate", "Negotiate", "Negotiate"},
		{"Www-Authenticate", "Negotiate AAAA", "Negotiate [3 bytes]"},
		{"WWW-Authenticate", `Negotiate AAAA, Basic realm="a, b"`, `Negotiate [3 bytes], Basic realm="a, b"`},
		{"WWW-Authenticate", `Basic realm="a", Negotiate AAA=`, `Basic realm="a", Negotiate [2 bytes]`},
		{"Proxy-Authenticate", "NTLM AAAA", "NTLM [3 bytes]"},
		{"Location", "Negotiate AAAA", "Negotiate AAAA"},
	} {
		if got := maskTokens(test.key, test.value); got != test.want {
			t.Errorf("maskTokens(%q, %q) = %q, want %q", test.key, test.value, got, test.want)
		}
	}
}

// TestVerboseBase has -v leave alone what sends the requests: of an *http.Transport negotiate knows the connections.
func TestVerboseBase(t *testing.T) {
	f := &fetcher{fetchOptions: &fetchOptions{verbose: true}}
	if err := f.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if base := f.client.Transport.(misdirected).Base; reflect.TypeOf(base) != reflect.TypeFor[*http.Transport]() {
		t.Errorf("Base is a %T", base)
	}
}

func TestRequestLines(t *testing.T) {
	post, err := http.NewRequest("POST", "http://a/b?c", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	token := headField{"Authorization", "Negotiate AAAA"}
	for _, test := range []struct {
		fields []headField
		want   string
	}{
		{[]headField{{"Host", "a"}, token, {"Content-Length", "4"}}, "POST /b?c HTTP/1.1|Host: a|Authorization: Negotiate [3 bytes]|Content-Length: 4|"},
		{[]headField{{"Host", "a"}, {"Transfer-Encoding", "chunked"}}, "POST /b?c HTTP/1.1|Host: a|Transfer-Encoding: chunked|"},
		{[]headField{{"Host", "a"}, token}, "HEAD /b?c HTTP/1.1|Host: a|Authorization: Negotiate [3 bytes]|"},
		{[]headField{{":authority", "a"}, {":method", "PUT"}, {":path", "/x"}, {":scheme", "https"}, {"accept", "*/*"}}, "PUT /x HTTP/2.0|host: a|accept: */*|"},
	} {
		if got := strings.Join(requestLines(test.fields, post, "/b?c"), "|"); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

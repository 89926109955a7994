package main

import "testing"

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

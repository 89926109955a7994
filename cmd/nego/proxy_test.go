package main

import "testing"

// TestMatchHost has the rules of curl 7.86 and later.
func TestMatchHost(t *testing.T) {
	for _, test := range []struct {
		list, host string
		want       bool
	}{
		{"", "a.example", false},
		{"*", "a.example", true},
		{"a.example", "a.example", true},
		{"A.example", "a.EXAMPLE", true},
		{"example", "a.example", true},
		{".example", "a.example", true},
		{".example.", "a.example.", true},
		{"ample", "a.example", false},
		{"b.example", "a.example", false},
		{"a.a.example", "a.example", false},
		{"x, a.example", "a.example", true},
		{"x a.example", "a.example", true},
		{",", "a.example", false},
		{"127.0.0.1", "127.0.0.1", true},
		{"127.0.0.0/8", "127.1.2.3", true},
		{"127.0.0.0/8", "128.1.2.3", false},
		{"0.0.1", "127.0.0.1", false},
		{"::1", "::1", true},
		{"[::1]", "::1", true},
		{"fe80::/16", "fe80::2", true},
		{"10.0.0.0/8", "a.example", false},
	} {
		if got := matchHost(test.list, test.host); got != test.want {
			t.Errorf("matchHost(%q, %q) = %t", test.list, test.host, got)
		}
	}
}

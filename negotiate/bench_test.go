package negotiate

import (
	"io"
	"net/http"
	"testing"
)

// One GET, challenge included: two requests on one connection, a token, and with mutual authentication its answer.
func BenchmarkRoundTrip(b *testing.B) {
	s := protect(b, new(Authenticator))
	for _, mutual := range []Mutual{MutualDisabled, MutualRequired} {
		b.Run(mutual.String(), func(b *testing.B) {
			tr := &Transport{Mutual: mutual}
			defer tr.CloseIdleConnections()
			benchmark(b, tr, s.URL)
		})
	}
}

// The same without authentication, to compare with: one request.
func BenchmarkPlainRoundTrip(b *testing.B) {
	s := newSite(b, func(w http.ResponseWriter, r *http.Request, _ int) { whoami(w, r) })
	tr := http.DefaultTransport.(*http.Transport).Clone()
	defer tr.CloseIdleConnections()
	for name, rt := range map[string]http.RoundTripper{"net/http": tr, "Transport": &Transport{}} {
		b.Run(name, func(b *testing.B) { benchmark(b, rt, s.URL) })
	}
}

func benchmark(b *testing.B, rt http.RoundTripper, url string) {
	b.ReportAllocs()
	for b.Loop() {
		resp, err := rt.RoundTrip(newRequest(b, "GET", url, nil))
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			b.Fatal(resp.Status, OutcomeOf(resp).Err)
		}
	}
}

func BenchmarkFindChallenge(b *testing.B) {
	lines := []string{`Basic realm="security" charset="UTF-8"`, "Negotiate"}
	b.ReportAllocs()
	for b.Loop() {
		if _, found, _ := findChallenge(lines); !found {
			b.Fatal("not found")
		}
	}
}

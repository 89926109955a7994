//go:build interop

package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The test binary is also its own workers and server.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		if err := run(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Everything that is measured gives a figure, and the report has all of them.
func TestEverythingIsMeasured(t *testing.T) {
	e := effort{pace{rounds: 2, round: 100 * time.Microsecond}, 50, 2}
	r, err := e.measure(t.Context(), progress{w: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.Rows {
		want := 2
		if row.Measure == initiator {
			want *= moreRounds
		}
		if len(row.Samples) != want {
			t.Errorf("%s: %d samples", row, len(row.Samples))
		}
		for _, s := range row.Samples {
			if s.N < 1 || s.Wall <= 0 || s.Failures > 0 || s.per() <= 0 {
				t.Errorf("%s: %+v", row, s)
			}
		}
	}
	for _, c := range r.Claims {
		if v := c.Value.Median; math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("%s: %v", c.Name, v)
		}
	}
	var text bytes.Buffer
	if err := r.print(&text); err != nil {
		t.Fatal(err)
	}
	if bad := text.String(); strings.Contains(bad, "NaN") || strings.Contains(bad, "Inf") {
		t.Error(bad)
	}
	checkFiles(t, r)
}

func checkFiles(t *testing.T, r *Results) {
	dir := t.TempDir()
	readme := filepath.Join(dir, "README.md")
	if err := os.WriteFile(readme, []byte("before\n"+tablesBegin+"old\n"+tablesEnd+"after\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var again Results
	if err := json.Unmarshal(read("results.json"), &again); err != nil || len(again.Rows) != len(r.Rows) || len(again.Claims) != len(r.Claims) {
		t.Errorf("results.json: %v, %d rows, %d claims", err, len(again.Rows), len(again.Claims))
	}
	svg := read("speed.svg")
	if err := wellFormed(svg); err != nil || !bytes.Contains(svg, []byte(negoDefault)) {
		t.Errorf("speed.svg: %v\n%s", err, svg)
	}
	text := string(read("README.md"))
	if !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, "after\n") || strings.Contains(text, "old\n") || !strings.Contains(text, r.Claims[0].Name) {
		t.Errorf("README.md:\n%s", text)
	}
}

func wellFormed(text []byte) error {
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestFigure(t *testing.T) {
	if got, want := figure([]float64{5, 1, 4, 2, 3}), (Figure{3, 2, 4}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := figure([]float64{2, 1}), (Figure{1.5, 1.25, 1.75}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

// A claim is about the value that is printed.
func TestClaimHolds(t *testing.T) {
	for _, tc := range []struct {
		is    string
		value float64
		want  bool
	}{
		{"≤", 0.904, true}, {"≤", 0.906, false}, {"≥", 0.896, true}, {"≥", 0.89, false}, {"=", 0.9, true}, {"=", 0.91, false},
	} {
		if got := (Claim{Is: tc.is, Limit: 0.9, Value: single(tc.value)}).holds(); got != tc.want {
			t.Errorf("%v %s 0.9: %v", tc.value, tc.is, got)
		}
	}
}

// A client that fails is an error that says what it said.
func TestFailingClient(t *testing.T) {
	p, err := start("a client", nil, "sh", "-c", "echo no ticket >&2; exit 1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.run(1); err == nil || !strings.Contains(err.Error(), "no ticket") {
		t.Errorf("%v", err)
	}
	if err := p.close(); err != nil {
		t.Errorf("told twice: %v", err)
	}
}

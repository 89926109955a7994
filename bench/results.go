package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Results are a whole run. Each row keeps all its samples.
type Results struct {
	Date     time.Time         `json:"date"`
	Machine  string            `json:"machine"`
	CPUs     int               `json:"cpus"`
	Load     float64           `json:"load"` // processes that wanted a CPU in the minute before
	Versions map[string]string `json:"versions"`
	Rounds   int               `json:"rounds"`
	Claims   []Claim           `json:"claims"`
	Rows     []*Row            `json:"rows"`
}

func newResults(ctx context.Context) *Results {
	r := &Results{Date: time.Now().UTC().Truncate(time.Second), CPUs: runtime.NumCPU(), Load: load(), Machine: cpuModel(), Versions: map[string]string{
		"Go":       strings.TrimPrefix(runtime.Version(), "go"),
		"MIT krb5": firstWord(ctx, 0, "pkg-config", "--modversion", "mit-krb5"),
		"curl":     firstWord(ctx, 1, "curl", "--version"),
		"Apache":   strings.TrimPrefix(firstWord(ctx, 2, "/usr/sbin/apache2", "-v"), "Apache/"),
		python: firstWord(ctx, 0, "/usr/bin/python3", "-c",
			"import importlib.metadata as m; print(m.version('requests-kerberos'))"),
	}}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			switch m.Path {
			case "github.com/jcmturner/gokrb5/v8":
				r.Versions[gokrb5] = m.Version
			case "github.com/dpotapov/go-spnego":
				r.Versions[goSpnego] = m.Version
			}
		}
	}
	return r
}

// firstWord is the word at a place of what a program prints, or "" if it does not say.
func firstWord(ctx context.Context, at int, command ...string) string {
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).Output()
	words := strings.Fields(string(out))
	if err != nil || at >= len(words) {
		return ""
	}
	return words[at]
}

func load() (processes float64) {
	text, _ := os.ReadFile("/proc/loadavg") // only Linux has it
	_, _ = fmt.Sscan(string(text), &processes)
	return processes
}

func cpuModel() string {
	info, _ := os.ReadFile("/proc/cpuinfo") // only Linux has it
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// sum adds what follows from the samples.
func (r *Results) sum() {
	for _, row := range r.Rows {
		row.Time, row.CPU, row.Mallocs, row.Bytes = row.figure(wall), row.figure(cpu), row.figure(mallocs), row.figure(bytesOf)
	}
	r.Claims = r.claims()
}

// row finds the row of a subject, which the plan has.
func (r *Results) row(s Subject) *Row {
	for _, row := range r.Rows {
		if row.Subject == s {
			return row
		}
	}
	panic(fmt.Sprintf("nothing was measured of %s, %s", s.Measure, s))
}

// write writes results.json and speed.svg into a directory, and the tables into its README.md.
func (r *Results) write(dir string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), append(data, '\n'), 0o666); err != nil {
		return err
	}
	if err := r.chart(filepath.Join(dir, "speed.svg")); err != nil {
		return err
	}
	return r.document(filepath.Join(dir, "README.md"))
}

// The tables stand between these lines of README.md.
const (
	tablesBegin = "<!-- tables: make bench replaces all from here -->\n"
	tablesEnd   = "<!-- to here -->\n"
)

func (r *Results) document(file string) error {
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	before, rest, begins := bytes.Cut(text, []byte(tablesBegin))
	_, after, ends := bytes.Cut(rest, []byte(tablesEnd))
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the tables: the lines %q and %q", file, tablesBegin, tablesEnd)
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(tablesBegin)
	fmt.Fprintf(&b, "\n%s\n\n", r.about())
	for _, t := range r.tables() {
		t.markdown(&b)
	}
	b.WriteString(tablesEnd)
	b.Write(after)
	return os.WriteFile(file, b.Bytes(), 0o666)
}

package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// finding is what a step of a check has found. The names and forms of these fields are what scripts depend on.
type finding struct {
	Step   string         `json:"step"`
	Status string         `json:"status"` // ok, warning, failed, skipped
	Found  string         `json:"found"`
	Hints  []string       `json:"hints,omitempty"` // what to do
	Facts  map[string]any `json:"facts,omitempty"` // the same as Found, for programs
}

const (
	checkOK      = "ok"
	checkWarning = "warning"
	checkFailed  = "failed"
	checkSkipped = "skipped"
)

func found(format string, args ...any) finding {
	return finding{Status: checkOK, Found: clean(fmt.Sprintf(format, args...))}
}

// failedWith is a failure that an error explains.
func failedWith(err error) finding {
	text, _ := describe(err)
	return finding{Status: checkFailed, Found: text}.hint(hints(err)...)
}

// skipped is a step that makes no sense, for a reason.
func skipped(format string, args ...any) finding {
	f := found(format, args...)
	f.Status = checkSkipped
	return f
}

// warn makes it a warning, and fail a failure. Neither takes the other back.
func (f finding) warn(hints ...string) finding {
	if f.Status != checkFailed {
		f.Status = checkWarning
	}
	return f.hint(hints...)
}

func (f finding) fail(hints ...string) finding {
	f.Status = checkFailed
	return f.hint(hints...)
}

func (f finding) hint(hints ...string) finding {
	for _, h := range hints {
		f.Hints = append(f.Hints, clean(h))
	}
	return f
}

func (f finding) fact(name string, value any) finding {
	if f.Facts == nil {
		f.Facts = make(map[string]any)
	}
	f.Facts[name] = value
	return f
}

// checkReport is all that a check has found.
type checkReport struct {
	out    *output
	URL    string    `json:"url"`
	Failed bool      `json:"failed"`
	Steps  []finding `json:"steps"`
}

func (r *checkReport) keep(f finding) {
	r.Steps = append(r.Steps, f)
	r.Failed = r.Failed || f.Status == checkFailed
}

// show writes a step at once: the next one may take its time.
func (r *checkReport) show(f finding) {
	r.keep(f)
	paint := map[string]func(string) string{checkOK: r.out.green, checkWarning: r.out.yellow, checkFailed: r.out.red, checkSkipped: r.out.dim}[f.Status]
	text := f.Found
	if f.Status == checkSkipped {
		text = r.out.dim(text)
	}
	r.out.printf("%s  %s  %s\n", paint(fmt.Sprintf("%-7s", f.Status)), r.out.bold(fmt.Sprintf("%-9s", f.Step)), text)
	for _, h := range f.Hints {
		r.out.printf("%20s%s %s\n", "", r.out.yellow("hint:"), h)
	}
}

func (r *checkReport) writeJSON() error {
	enc := json.NewEncoder(r.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// verdict is the error of a check in which a step failed.
func (r *checkReport) verdict() error {
	var failed []string
	for _, f := range r.Steps {
		if f.Status == checkFailed {
			failed = append(failed, f.Step)
		}
	}
	if failed == nil {
		return nil
	}
	return &failure{err: fmt.Errorf("single sign-on to %s fails: see %s", r.URL, strings.Join(failed, ", ")), status: statusAuth}
}

package main

import (
	"bytes"
	"strings"
)

// manWriter writes the macros of man(7), which groff and mandoc know.
type manWriter struct {
	bytes.Buffer
	headed bool // by a heading, which begins a paragraph
}

// title begins a page of section 1. The date is not escaped: it is read, and shown as the reader likes it.
func (p *manWriter) title(name, date, source string) {
	p.WriteString(`.TH ` + manEscape(name) + ` 1 ` + date + ` "` + manEscape(source) + `" "User Commands"` + "\n")
}

// line writes text that is escaped already.
func (p *manWriter) line(s string) {
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s // no macro
	}
	p.WriteString(s + "\n")
	p.headed = false
}

func (p *manWriter) macro(name string, args ...string) {
	p.headed = name == "SH" || name == "SS"
	p.WriteString("." + name)
	for _, arg := range args {
		p.WriteString(` "` + manEscape(arg) + `"`)
	}
	p.WriteString("\n")
}

// text writes paragraphs, with empty lines between them. Lines that are indented stay as they are.
func (p *manWriter) text(s string) {
	var indented []string
	flush := func() {
		if len(indented) > 0 {
			p.example(indented)
			indented = nil
		}
	}
	begun := false
	for line := range strings.Lines(strings.TrimSpace(s)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "":
			flush()
			begun = false
		case line[0] == ' ' || line[0] == '\t':
			indented = append(indented, line)
		default:
			flush()
			if !begun {
				p.paragraph()
			}
			begun = true
			p.line(manEscape(strings.TrimPrefix(line, "#### "))) // cobra's text about completion has headings
		}
	}
	flush()
}

func (p *manWriter) paragraph() {
	if !p.headed {
		p.macro("PP")
	}
}

// example writes lines as they are.
func (p *manWriter) example(lines []string) {
	p.paragraph()
	p.macro("EX")
	for _, line := range lines {
		p.line(manEscape(strings.Replace(line, "\t", "    ", 1)))
	}
	p.macro("EE")
}

// manEscape keeps characters what they are: typesetting makes quotes, dashes and accents of them otherwise, which no
// shell takes.
func manEscape(s string) string {
	return strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`, `"`, `\(dq`).Replace(s)
}

func manBold(s string) string { return `\fB` + manEscape(s) + `\fR` }

package main

import (
	"encoding/json"
	"go/format"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// documentedKey is where a script keeps the commands that it has run: map[string]bool.
const documentedKey = "documented"

// commandsOf returns the commands of a document, without their comments: the lines that are indented by four spaces, those of
// blocks that are fenced as sh, and in other blocks those that begin with $.
func commandsOf(page string) (commands []string) {
	fence := ""
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		if language, ok := strings.CutPrefix(line, "```"); ok {
			if fence == "" {
				fence = "```" + language
			} else {
				fence = ""
			}
			continue
		}
		command, ok := line, line != ""
		switch fence {
		case "":
			command, ok = strings.CutPrefix(line, "    ")
		case "```sh":
		default:
			command, ok = strings.CutPrefix(line, "$ ")
		}
		if ok {
			command, _, _ = strings.Cut(command, " # ")
			command, _, _ = strings.Cut(command, "   ")
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	return commands
}

// documents are those that tell users what to type, and the examples in the help of each command.
func documents(ts *testscript.TestScript) (pages map[string]string) {
	pages = map[string]string{}
	root := newRoot(newOutput(os.Stdout))
	for _, c := range append(root.Commands(), root) {
		lines := strings.ReplaceAll("\n"+c.Example, "\\\n    ", "")
		pages["the help of "+c.CommandPath()] = strings.ReplaceAll(lines, "\n  ", "\n    ")
	}
	for _, pattern := range []string{"README.md", "CONTRIBUTING.md", "docs/*.md", "docker/*.md", "bench/*.md"} {
		files, err := filepath.Glob("../../" + pattern)
		ts.Check(err)
		for _, file := range files {
			b, err := os.ReadFile(file)
			ts.Check(err)
			pages[file] = string(b)
		}
	}
	return pages
}

// documented COMMAND [OLD NEW]... runs a command of a document, with what is different here. With -start VAR it is one that
// serves, as in start -stderr. With -output its output has to be what the document says: numbers and names of files may differ.
//
// documented -rest FILE has a command and a reason in each line of FILE: those that no script runs. It checks that the
// documents have no others.
func documented(ts *testscript.TestScript, neg bool, args []string) {
	var option, variable string
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		option, args = args[0], args[1:]
	}
	if option == "-start" && len(args) > 0 {
		variable, args = args[0], args[1:]
	}
	if neg || len(args)%2 != 1 {
		ts.Fatalf("usage: documented [-start VAR|-output] COMMAND [OLD NEW]..., or documented -rest FILE")
	}
	pages, run := documents(ts), ts.Value(documentedKey).(map[string]bool)
	if option == "-rest" {
		documentedRest(ts, pages, run, ts.ReadFile(args[0]))
		return
	}
	var page string
	for _, text := range pages {
		if slices.Contains(commandsOf(text), args[0]) {
			page = text
		}
	}
	if page == "" {
		ts.Fatalf("no document says %q", args[0])
	}
	run[args[0]] = true
	command := args[0]
	for i := 1; i < len(args); i += 2 {
		if !strings.Contains(command, args[i]) {
			ts.Fatalf("%q has no %q", command, args[i])
		}
		command = strings.ReplaceAll(command, args[i], args[i+1])
	}
	switch option {
	case "":
		ts.Check(ts.Exec("sh", "-euc", command))
	case "-start":
		start(ts, false, []string{"-stderr", variable, "sh", "-c", "exec " + command})
	case "-output":
		_ = ts.Exec("sh", "-c", command) // its status is not in the document
		sameOutput(ts, page, args[0], ts.ReadFile("stdout")+ts.ReadFile("stderr"))
	default:
		ts.Fatalf("documented has no option %s", option)
	}
}

func documentedRest(ts *testscript.TestScript, pages map[string]string, run map[string]bool, list string) {
	reasons := map[string]string{}
	for line := range strings.Lines(list) {
		if i := strings.LastIndex(line, " | "); i > 0 {
			reasons[line[:i]] = strings.TrimSpace(line[i+3:])
		}
	}
	unused := map[string]bool{}
	for command := range reasons {
		unused[command] = true
	}
	for file, page := range pages {
		for _, command := range commandsOf(page) {
			if !run[command] && reasons[command] == "" {
				ts.Fatalf("%s has the command %q, which is neither run here nor listed with a reason", file, command)
			}
			delete(unused, command)
		}
	}
	for command := range unused {
		ts.Fatalf("no document says %q", command)
	}
}

// varying is what may be different in an output each time.
var varying = regexp.MustCompile(`[0-9]+|/[^ ;]+`)

// sameOutput compares an output with what is below a command in a document.
func sameOutput(ts *testscript.TestScript, page, command, got string) {
	_, block, _ := strings.Cut(page, "$ "+command+"\n")
	want, _, _ := strings.Cut(block, "```")
	if plain := func(s string) string { return varying.ReplaceAllString(s, "N") }; plain(got) != plain(want) {
		ts.Fatalf("%s\n got: %s\nwant: %s", command, got, want)
	}
}

var programs = regexp.MustCompile("(?s)```go\n(package main\n.*?)```")

// buildDocumented NAME N [OLD NEW]... builds the program N of README.md, from 1 on, with what is different here: a test where it is one.
func buildDocumented(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args)%2 != 0 {
		ts.Fatalf("usage: build NAME N [OLD NEW]...")
	}
	page, err := os.ReadFile("../../README.md")
	ts.Check(err)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	found := programs.FindAllStringSubmatch(string(page), -1)
	if n < 1 || n > len(found) || strings.Count(string(page), "```go\n") != len(found) {
		ts.Fatalf("README.md has %d programs, and maybe other Go", len(found))
	}
	source := found[n-1][1]
	if formatted, err := format.Source([]byte(source)); err != nil || string(formatted) != source {
		ts.Fatalf("the program is not gofmt'ed: %v", err)
	}
	for i := 2; i < len(args); i += 2 {
		if !strings.Contains(source, args[i]) {
			ts.Fatalf("the program has no %q", args[i])
		}
		source = strings.ReplaceAll(source, args[i], args[i+1])
	}
	file, command := "main.go", []string{"build"}
	if strings.Contains(source, "*testing.T") {
		file, command = "main_test.go", []string{"test", "-c", "-vet=off"} // vet would go to where the package is not
	}
	// It is compiled as a package of this module, though it is not there.
	root, err := filepath.Abs("../..")
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(file), []byte(source), 0o600))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "documented", args[0], file): ts.MkAbs(file)}})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("overlay.json"), overlay, 0o600))
	cmd := exec.Command("go", append(command, "-overlay", ts.MkAbs("overlay.json"), "-o", ts.MkAbs(args[0]), "./documented/"+args[0])...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		ts.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// freePort VAR finds a port of loopback that nothing listens on.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: port VAR")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	ts.Check(l.Close())
	ts.Setenv(args[0], port)
}

// listening PORT waits until something listens on a port of loopback.
func listening(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listening PORT")
	}
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-ticker.C {
		if c, err := net.Dial("tcp", "127.0.0.1:"+args[0]); err == nil {
			ts.Check(c.Close())
			return
		}
	}
	ts.Fatalf("nothing listens on port %s", args[0])
}

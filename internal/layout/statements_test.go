package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	statementsFile = "../../docs/requests-gssapi.md"
	statements     = 68
)

var (
	row      = regexp.MustCompile(`^\| (\d+) \| (.+?) \| (.+?) \| (.+) \|$`)
	testName = regexp.MustCompile("`((?:\\w+\\.)?(?:Test|Example|Fuzz)\\w*)`")
	numbered = regexp.MustCompile(`^negotiate\.TestStatement(\d\d)`)
)

// The table of requests-gssapi's statements has each of them once, with a verdict and with tests that there are; and
// each test that is named after a statement is in its row.
func TestStatements(t *testing.T) {
	b, err := os.ReadFile(filepath.FromSlash(statementsFile))
	if err != nil {
		t.Fatal(err)
	}
	there := testsOfModule(t)
	next, rows := 1, map[int][]string{}
	for line := range strings.Lines(string(b)) {
		m := row.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			if strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "| # |") && !strings.HasPrefix(line, "|---") {
				t.Errorf("not a row: %s", line)
			}
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil || n != next {
			t.Errorf("row %s comes where %d is to be", m[1], next)
		}
		next++
		word, _, _ := strings.Cut(strings.NewReplacer(";", " ", ":", " ", ",", " ").Replace(m[4]), " ")
		if !slices.Contains([]string{"same", "better", "not"}, word) || word == "not" && !strings.HasPrefix(m[4], "not applicable: ") ||
			word == "better" && !strings.HasPrefix(m[4], "better: ") {
			t.Errorf("statement %d: %q is no verdict with its reason", n, m[4])
		}
		names := testName.FindAllStringSubmatch(m[3]+m[4], -1)
		if word != "not" && !testName.MatchString(m[3]) {
			t.Errorf("statement %d: no test", n)
		}
		for _, name := range names {
			full := name[1]
			if !strings.Contains(full, ".") {
				full = "negotiate." + full
			}
			if !there[full] {
				t.Errorf("statement %d: there is no test %s", n, full)
			}
			rows[n] = append(rows[n], full)
		}
	}
	if next != statements+1 {
		t.Errorf("%d statements, want %d", next-1, statements)
	}
	for name := range there {
		if m := numbered.FindStringSubmatch(name); m != nil {
			if n, err := strconv.Atoi(m[1]); err != nil || !slices.Contains(rows[n], name) {
				t.Errorf("%s is not in row %s", name, m[1])
			}
		}
	}
}

// A document names no test that is not there.
func TestDocuments(t *testing.T) {
	there := testsOfModule(t)
	files, err := filepath.Glob(filepath.FromSlash("../../docs/*.md"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range append(files, filepath.FromSlash("../../SECURITY.md")) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testName.FindAllStringSubmatch(string(b), -1) {
			full := m[1]
			if !strings.Contains(full, ".") {
				full = "negotiate." + full
			}
			if !there[full] {
				t.Errorf("%s: there is no test %s", filepath.Base(file), full)
			}
		}
	}
}

// testsOfModule returns the tests and examples of all packages, as in negotiate.TestGet.
func testsOfModule(t *testing.T) map[string]bool {
	names := map[string]bool{}
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				names[strings.TrimSuffix(f.Name.Name, "_test")+"."+fn.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

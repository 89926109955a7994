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
	"strings"
	"testing"
)

// Each line of the threat model has its tests; that there are such is TestDocuments' affair.
func TestThreatModel(t *testing.T) {
	b, err := os.ReadFile(filepath.FromSlash("../../SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "## Who can do what")
	if text, _, _ = strings.Cut(text, "\n## "); !ok {
		t.Fatal("no threat model")
	}
	lines := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| | tests") {
			lines++
			if !testName.MatchString(line) {
				t.Errorf("no test: %s", line)
			}
		}
	}
	if who := strings.Count(text, "\n### "); who != 5 || lines < 5*who {
		t.Errorf("%d lines about %d attackers", lines, who)
	}
}

// Each module that is required directly is listed with its reason, and no other is.
func TestDependencies(t *testing.T) {
	mod, err := os.ReadFile(filepath.FromSlash("../../go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.FromSlash("../../docs/dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	var required, listed []string
	for line := range strings.Lines(string(mod)) {
		if f := strings.Fields(line); len(f) == 2 && strings.HasPrefix(line, "\t") {
			required = append(required, f[0])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z0-9.-]+\.[a-z]+/\S+) \| .+ \| .+ \|$`).FindAllStringSubmatch(string(doc), -1) {
		listed = append(listed, m[1])
	}
	if len(required) == 0 || !slices.Equal(required, listed) {
		t.Errorf("go.mod requires %q, and docs/dependencies.md lists %q", required, listed)
	}
}

// No secret is compared with ==, which takes the longer the more of it is right: package subtle, or a seal, is for that. Whether there
// is one at all may be asked.
func TestSecretsAreCompared(t *testing.T) {
	secret := regexp.MustCompile(`(?i)secret|password|cookie$|hmac|digest|signature`)
	named := func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.Ident:
			return secret.MatchString(e.Name)
		case *ast.SelectorExpr:
			return secret.MatchString(e.Sel.Name)
		}
		return false
	}
	known := func(e ast.Expr) bool { // "" and nil
		switch e := e.(type) {
		case *ast.BasicLit:
			return e.Value == `""`
		case *ast.Ident:
			return e.Name == "nil"
		}
		return false
	}
	subtle := 0
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if (n.Op == token.EQL || n.Op == token.NEQ) && (named(n.X) && !known(n.Y) || named(n.Y) && !known(n.X)) {
					t.Errorf("%v: a secret is compared", files.Position(n.Pos()))
				}
			case *ast.SelectorExpr:
				if n.Sel.Name == "ConstantTimeCompare" {
					subtle++
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if subtle == 0 {
		t.Error("nothing is compared in constant time")
	}
}

// Package layout has no code. Its test keeps the rules of ARCHITECTURE.md about who imports whom and about
// what stands where.
package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/nego-sso/nego"

// allowed lists for each package of the library what it may import, directly or not, beside std.
var allowed = map[string][]string{
	module + "/gssapi":           nil,
	module + "/krbtest":          nil,
	module + "/negotiate":        {module + "/gssapi", "golang.org/x/net", "golang.org/x/text"},
	module + "/compat/kerberos":  {module + "/negotiate", module + "/gssapi", "golang.org/x/net", "golang.org/x/text"},
	module + "/compat/spnego":    {module + "/negotiate", module + "/gssapi", "golang.org/x/net", "golang.org/x/text"},
	module + "/internal/forward": {module + "/negotiate", module + "/gssapi", "golang.org/x/net", "golang.org/x/text"},
	module + "/internal/serve":   {module + "/negotiate", module + "/gssapi", "golang.org/x/net", "golang.org/x/text"},
}

// direct lists what a package may import itself, beside std, where that is less.
var direct = map[string][]string{
	module + "/compat/kerberos": {module + "/negotiate", module + "/gssapi"},
	module + "/compat/spnego":   {module + "/negotiate", module + "/gssapi"},
}

func TestDirectImports(t *testing.T) {
	for pkg, may := range direct {
		out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, pkg).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", pkg, err)
		}
		for dep := range strings.FieldsSeq(string(out)) {
			if strings.Contains(dep, ".") && !slices.Contains(may, dep) {
				t.Errorf("%s imports %s", pkg, dep)
			}
		}
	}
}

func TestImports(t *testing.T) {
	for pkg, may := range allowed {
		out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", pkg, err)
		}
		for dep := range strings.FieldsSeq(string(out)) {
			if dep != pkg && !slices.ContainsFunc(may, func(m string) bool { return dep == m || strings.HasPrefix(dep, m+"/") }) {
				t.Errorf("%s imports %s", pkg, dep)
			}
		}
	}
}

// banned are selectors that the library never uses, with the reason.
var banned = map[string]string{
	"os.Setenv":            "races with the C library's getenv",
	"os.Unsetenv":          "races with the C library's getenv",
	"runtime.LockOSThread": "errors are collected where they happen instead",
	"runtime.SetFinalizer": "AddCleanup is used instead",
	"time.Sleep":           "is no synchronisation",
}

func TestSources(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		checkFile(t, path, filepath.ToSlash(rel))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkFile(t *testing.T, path, rel string) {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return
	}
	test := strings.HasSuffix(rel, "_test.go")
	for _, imp := range f.Imports {
		name, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			t.Error(err)
		}
		if name == "C" && !(strings.HasPrefix(rel, "gssapi/c_") || strings.HasPrefix(rel, "bench/")) {
			t.Errorf(`%s: import "C" stands outside gssapi/c_*.go`, rel)
		}
	}
	inGSSAPI := strings.HasPrefix(rel, "gssapi/") && !test
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				break
			}
			sel := x.Name + "." + n.Sel.Name
			if why := banned[sel]; why != "" && (!test || sel == "time.Sleep") {
				t.Errorf("%s: %s: it %s", rel, sel, why)
			}
			if inGSSAPI && (sel == "os.Getenv" || sel == "os.LookupEnv") {
				t.Errorf("%s: %s: the C side reads the environment, as libkrb5 does", rel, sel)
			}
			if test && strings.HasPrefix(n.Sel.Name, "Skip") && (x.Name == "t" || x.Name == "b" || x.Name == "tb") {
				t.Errorf("%s: %s: a missing program is a failure", rel, sel)
			}
		case *ast.FuncDecl:
			if inGSSAPI && n.Recv == nil && n.Name.Name == "init" {
				t.Errorf("%s: gssapi has an init function", rel)
			}
		}
		return true
	})
}

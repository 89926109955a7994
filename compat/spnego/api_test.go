package spnego

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// apiFile lists what go-spnego's last commit, b7f82e4, exports. The version that the module proxy calls the newest, of
// March 2021, has no NoCanonicalize and no second argument of SetSPNEGOHeader.
const apiFile = "testdata/go-spnego.txt"

// original writes the list of go-spnego's API anew, from its source: go test -run TestAPI -original DIR.
var original = flag.String("original", "", "directory of go-spnego's source, to write "+apiFile+" from")

// added is what this package exports beyond go-spnego's API.
var added = []string{
	"func (*Error) Unwrap() error",
	"func (*Transport) CloseIdleConnections()", // an http.Transport's there, so that programs have it too
}

// The exported API is that of go-spnego, identifier by identifier, but for what is known to be added.
func TestAPI(t *testing.T) {
	if *original != "" {
		if err := os.WriteFile(apiFile, []byte(strings.Join(api(t, *original), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(apiFile)
	if err != nil {
		t.Fatal(err)
	}
	want := append(strings.Split(strings.TrimSpace(string(b)), "\n"), added...)
	slices.Sort(want)
	if got := api(t, "."); !slices.Equal(got, want) {
		t.Errorf("the API is\n%s\nand is to be\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// api lists the exported identifiers of the package in dir, with their types and without the names of parameters.
func api(t *testing.T, dir string) []string {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(dir, files, err)
	}
	set := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.FileExports(f)
		for _, d := range f.Decls {
			for _, line := range exports(d) {
				set[line] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func exports(d ast.Decl) (lines []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		s := "func "
		if d.Recv != nil {
			recv := show(d.Recv.List[0].Type)
			if !ast.IsExported(strings.TrimPrefix(recv, "*")) {
				return nil
			}
			s += "(" + recv + ") "
		}
		return []string{s + d.Name.Name + signature(d.Type)}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					lines = append(lines, d.Tok.String()+" "+name.Name)
				}
			case *ast.TypeSpec:
				lines = append(lines, members(spec)...)
			}
		}
	}
	return lines
}

func members(spec *ast.TypeSpec) (lines []string) {
	typ := "type " + spec.Name.Name + " "
	switch t := spec.Type.(type) {
	case *ast.StructType:
		lines = append(lines, typ+"struct")
		for _, f := range t.Fields.List {
			if len(f.Names) == 0 {
				lines = append(lines, typ+"struct: "+show(f.Type))
			}
			for _, name := range f.Names {
				lines = append(lines, typ+"struct: "+name.Name+" "+show(f.Type))
			}
		}
	case *ast.InterfaceType:
		lines = append(lines, typ+"interface")
		for _, f := range t.Methods.List {
			fn, ok := f.Type.(*ast.FuncType)
			if !ok {
				lines = append(lines, typ+"interface: "+show(f.Type))
				continue
			}
			lines = append(lines, typ+"interface: "+f.Names[0].Name+signature(fn))
		}
	default:
		lines = append(lines, typ+show(t))
	}
	return lines
}

func signature(t *ast.FuncType) string {
	list := func(l *ast.FieldList) (types []string) {
		if l == nil {
			return nil
		}
		for _, f := range l.List {
			for range max(1, len(f.Names)) {
				types = append(types, show(f.Type))
			}
		}
		return types
	}
	s := "(" + strings.Join(list(t.Params), ", ") + ")"
	switch out := list(t.Results); len(out) {
	case 0:
		return s
	case 1:
		return s + " " + out[0]
	default:
		return s + " (" + strings.Join(out, ", ") + ")"
	}
}

func show(n ast.Node) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, token.NewFileSet(), n); err != nil {
		panic(err)
	}
	return b.String()
}

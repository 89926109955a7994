//go:build cgo

package gssapi

import (
	"debug/elf"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Functions that one library has and the other has not: what the one that is not linked exports.
var (
	mitAlone = strings.Fields(`gss_acquire_cred_from gss_add_cred_from gss_store_cred_into gss_acquire_cred_impersonate_name
		gss_add_cred_impersonate_name gss_set_neg_mechs gss_get_mic_iov gss_get_mic_iov_length gss_verify_mic_iov
		gss_complete_auth_token gss_map_name_to_any gss_release_any_name_mapping gss_str_to_oid gss_krb5_set_cred_rcache
		gssspi_mech_invoke gssspi_set_cred_option krb5_gss_use_kdc_context gss_krb5int_make_seal_token_v3 gss_krb5int_unseal_token_v3`)
	heimdalAlone = strings.Fields(`gss_duplicate_oid gss_context_query_attributes gss_mo_get gss_mo_set gss_mo_list gss_mo_name
		gss_oid_to_name gss_name_to_oid gss_mg_collect_error gsskrb5_extract_service_keyblock gsskrb5_get_initiator_subkey
		gsskrb5_get_subkey gsskrb5_get_time_offset gsskrb5_set_time_offset gsskrb5_register_acceptor_identity
		gsskrb5_set_default_realm gsskrb5_set_dns_canonicalize gsskrb5_set_send_to_kdc`)
)

// linkedLibrary opens the GSSAPI library that this program is linked with, and returns what the other one has alone.
func linkedLibrary(t *testing.T) (library *elf.File, other []string) {
	t.Helper()
	self, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	needed, err := self.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	name, other := "libgssapi_krb5.so", heimdalAlone
	if !slices.ContainsFunc(needed, func(s string) bool { return strings.HasPrefix(s, name) }) {
		name, other = "libgssapi.so", mitAlone
	}
	loaded, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	path := regexp.MustCompile(`/\S*/` + regexp.QuoteMeta(name) + `\S*`).Find(loaded)
	if path == nil {
		t.Fatalf("no %s is loaded; linked are %v", name, needed)
	}
	library, err = elf.Open(string(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { library.Close() })
	return library, other
}

// exported lists the functions of GSSAPI in a library.
func exported(t *testing.T, library *elf.File) []string {
	t.Helper()
	symbols, err := library.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	ours := regexp.MustCompile(`^(gss|gsskrb5|gssspi|krb5_gss)_`)
	var l []string
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF && elf.ST_TYPE(s.Info) == elf.STT_FUNC && ours.MatchString(s.Name) {
			l = append(l, s.Name)
		}
	}
	return l
}

// declared parses the package and returns its comment, and the comments of what it exports: Func, Type, Type.Method, Type.Field.
func declared(t *testing.T) (doc string, names map[string]string) {
	t.Helper()
	names = map[string]string{}
	files, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if file == "doc.go" {
			doc = f.Doc.Text()
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				name := d.Name.Name
				if d.Recv != nil {
					typ := d.Recv.List[0].Type
					if star, ok := typ.(*ast.StarExpr); ok {
						typ = star.X
					}
					name = typ.(*ast.Ident).Name + "." + name
				}
				names[name] = "func " + d.Doc.Text()
			case *ast.GenDecl:
				for _, s := range d.Specs {
					spec, ok := s.(*ast.TypeSpec)
					if !ok {
						continue
					}
					names[spec.Name.Name] = "type " + d.Doc.Text()
					if st, ok := spec.Type.(*ast.StructType); ok {
						for _, field := range st.Fields.List {
							for _, id := range field.Names {
								names[spec.Name.Name+"."+id.Name] = "field " + field.Doc.Text() + field.Comment.Text()
							}
						}
					}
				}
			}
		}
	}
	return doc, names
}

// The table in the package's documentation is complete, and true.
func TestFunctions(t *testing.T) {
	library, other := linkedLibrary(t)
	doc, names := declared(t)
	_, table, _ := strings.Cut(doc, "# Every function in C")
	rows := map[string]string{}
	for line := range strings.Lines(table) {
		row, ok := strings.CutPrefix(line, "\t")
		if !ok {
			continue
		}
		function, is, _ := strings.Cut(strings.TrimSpace(row), " ")
		if rows[function] != "" {
			t.Errorf("%s is in the table twice", function)
		}
		rows[function] = strings.TrimSpace(is)
	}
	has := exported(t, library)
	if len(has) < 80 || len(rows) < len(has) {
		t.Errorf("%d functions in the library, %d in the table", len(has), len(rows))
	}
	for _, function := range has {
		if rows[function] == "" {
			t.Errorf("%s is not in the table", function)
		}
	}
	field := regexp.MustCompile(`\b[A-Z]\w*\.[A-Z]\w*`)
	for _, function := range slices.Sorted(maps.Keys(rows)) {
		if !slices.Contains(has, function) && !slices.Contains(other, function) {
			t.Errorf("no library has %s", function)
		}
		is, reason, _ := strings.Cut(rows[function], "(")
		if is == "" && reason == "" {
			t.Errorf("%s is nothing, without a reason", function)
		}
		for name := range strings.SplitSeq(strings.TrimSpace(is), ", ") {
			if name != "" && names[name] == "" {
				t.Errorf("%s is said to be %s, which there is not", function, name)
			}
		}
		said := reason
		for _, name := range field.FindAllString(rows[function], -1) {
			if names[name] == "" {
				t.Errorf("%s: there is no %s", function, name)
			}
			owner, _, _ := strings.Cut(name, ".")
			said += names[name] + names[owner]
		}
		for name, doc := range names {
			if typ, _, _ := strings.Cut(name, "."); name == strings.TrimSpace(is) || typ == strings.TrimSpace(is) {
				said += doc
			}
		}
		if is != "" && !strings.Contains(said, function) {
			t.Errorf("nothing of %s says that it is %s", rows[function], function)
		}
	}
	// And whoever reads about a function in Go reads which one it is in C.
	c := regexp.MustCompile(`(?i)\b(gss|gsskrb5|krb5)_\w+`)
	std := regexp.MustCompile(`\.(String|Format|LogValue|IsZero|Error|Is|Unwrap)$`)
	public := regexp.MustCompile(`^([A-Z]\w*\.)?[A-Z]\w*$`)
	for name, doc := range names {
		if doc, ok := strings.CutPrefix(doc, "func "); !ok || !public.MatchString(name) || std.MatchString(name) || strings.Contains(doc, "no call of the library") {
			continue
		}
		if !c.MatchString(doc) {
			t.Errorf("%s does not say which function it is in C", name)
		}
		for _, function := range c.FindAllString(doc, -1) {
			if strings.HasPrefix(function, "gss") && rows[function] == "" {
				t.Errorf("%s is said to be %s, which is not in the table", name, function)
			}
		}
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// kind is what a request does with its body, and so what a redirect makes of it.
type kind int

const (
	get  kind = iota // also whatever else has no body
	head             // -I
	post             // -d
	put              // -T
)

func (k kind) method() string {
	switch k {
	case head:
		return http.MethodHead
	case post:
		return http.MethodPost
	case put:
		return http.MethodPut
	}
	return http.MethodGet
}

// follow is what curl makes of a request that a redirect of this status answers: a form is not sent again unless the
// server says so, and a file is.
func (k kind) follow(status int) kind {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound:
		if k == post {
			return get
		}
	case http.StatusSeeOther:
		if k != head {
			return get
		}
	}
	return k
}

// newRequest makes the first request of a transfer.
func (t *transfer) newRequest(ctx context.Context, rawURL string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, &failure{err: err, status: statusURL}
	}
	if t.payload != nil && t.payload.name != "" {
		appendName(req.URL, t.payload.name)
		t.url = displayURL(req.URL)
	}
	t.first = req.URL
	return req, t.fill(req)
}

// fill makes req what the flags say, whatever http.Client has made of it.
func (t *transfer) fill(req *http.Request) error {
	req.Method = t.kind.method()
	if t.method != "" {
		req.Method = t.method // to the end of all redirects
	}
	t.hopURL = req.URL
	if req.Body != nil {
		req.Body.Close() // of a body from GetBody nothing is lost
	}
	req.Body, req.GetBody, req.ContentLength, req.TransferEncoding = nil, nil, 0, nil
	req.Header = http.Header{"Accept": {"*/*"}, "User-Agent": {userAgent()}}
	if t.kind == post {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	t.setHeader(req)
	if t.kind != post && t.kind != put {
		return nil
	}
	return t.payload.attach(req)
}

// setHeader applies -H. A field replaces the one that was there, and is repeated if it is given twice.
func (t *transfer) setHeader(req *http.Request) {
	req.Host = ""
	seen := make(map[string]bool)
	for _, f := range t.fields {
		switch f.name {
		case "Authorization", "Cookie":
			if !sameOrigin(req.URL, t.first) {
				continue // it is for where the user sent it
			}
		case "Host":
			if strings.EqualFold(req.URL.Hostname(), t.first.Hostname()) {
				req.Host = f.value
			}
			continue
		case "Transfer-Encoding":
			continue // attach
		}
		if !seen[f.name] {
			seen[f.name] = true
			req.Header.Del(f.name)
		}
		switch {
		case !f.remove:
			req.Header.Add(f.name, f.value)
		case f.name == "User-Agent":
			req.Header.Set(f.name, "") // or net/http has one
		}
	}
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// field is a -H.
type field struct {
	name, value string
	remove      bool
}

// parseFields reads what -H has: "Name: value", "Name:" for no such field, "Name;" for one without a value, and @file.
func parseFields(args []string) (fields []field, err error) {
	for _, arg := range args {
		if file, ok := strings.CutPrefix(arg, "@"); ok {
			text, err := readAll(file)
			if err != nil {
				return nil, err
			}
			for line := range strings.Lines(string(text)) {
				line = strings.TrimRight(line, "\r\n")
				if line == "" {
					continue
				}
				f, err := parseField(line)
				if err != nil {
					return nil, err
				}
				fields = append(fields, f)
			}
			continue
		}
		f, err := parseField(arg)
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// parseField says nothing about a value: it may be secret.
func parseField(s string) (f field, err error) {
	name, value, ok := strings.Cut(s, ":")
	f = field{name: name, value: strings.TrimSpace(value)}
	f.remove = f.value == ""
	if !ok {
		if name, ok = strings.CutSuffix(s, ";"); !ok {
			return f, errors.New(`a header field of -H has the form "Name: value"`)
		}
		f = field{name: name}
	}
	if !httpguts.ValidHeaderFieldName(f.name) || !httpguts.ValidHeaderFieldValue(f.value) {
		return f, errors.New("a header field of -H has characters that are not allowed there")
	}
	f.name = http.CanonicalHeaderKey(f.name)
	switch {
	case f.name == "Content-Length", f.name == "Trailer",
		f.name == "Host" && f.value == "",
		f.name == "Transfer-Encoding" && !strings.EqualFold(f.value, "chunked"),
		f.name == "Expect" && f.remove:
		return f, fmt.Errorf("-H cannot change the header field %s in this way: it is decided where the body is sent", f.name)
	}
	return f, nil
}

// payload is the body of requests, which is not kept in memory where it is a file of its own.
type payload struct {
	name       string // of a file that goes to a URL that ends in a slash
	length     int64  // negative: it ends where it ends
	chunked    bool   // -H says so
	open       func() (io.ReadCloser, error)
	repeatable bool
	opened     bool
}

var errNotAgain = errors.New("the redirect wants the body once more, and what is not a file cannot be read again")

// attach gives the body to a request.
func (p *payload) attach(req *http.Request) (err error) {
	if p.opened && !p.repeatable {
		return &failure{err: errNotAgain, status: statusRewind}
	}
	p.opened = true
	if req.ContentLength = p.length; p.chunked {
		req.ContentLength = -1
	}
	if req.ContentLength == 0 {
		req.Body = http.NoBody
		return nil
	}
	if req.Body, err = p.open(); err != nil {
		return err
	}
	if p.repeatable {
		req.GetBody = p.open
	}
	return nil
}

// datum is a -d or a --data-binary.
type datum struct {
	text   string
	binary bool
}

// data is the flag for them, which share one list because their order matters.
type data struct {
	list   *[]datum
	binary bool
}

func (d data) Type() string   { return "data" }
func (d data) String() string { return "" }

func (d data) Set(s string) error {
	*d.list = append(*d.list, datum{s, d.binary})
	return nil
}

// newForm is the body that all of -d and --data-binary make.
func newForm(list []datum) (*payload, error) {
	var parts []part
	add := func(p part) {
		if n := len(parts); p.file == "" && n > 0 && parts[n-1].file == "" {
			parts[n-1].mem = append(parts[n-1].mem, p.mem...)
		} else {
			parts = append(parts, p)
		}
	}
	p := &payload{repeatable: true}
	for _, d := range list {
		next, err := d.read()
		if err != nil {
			return nil, err
		}
		if p.length > 0 {
			add(part{mem: []byte("&"), size: 1})
			p.length++
		}
		add(next)
		p.length += next.size
	}
	p.open = func() (io.ReadCloser, error) { return openParts(parts) }
	return p, nil
}

// part is one in memory, or a file.
type part struct {
	mem  []byte
	file string
	size int64
}

func (d *datum) read() (part, error) {
	name, isFile := strings.CutPrefix(d.text, "@")
	if !isFile {
		return part{mem: []byte(d.text), size: int64(len(d.text))}, nil
	}
	if d.binary && name != "-" {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			f, err := os.Open(name) // rather now than when a server waits for it
			if err != nil {
				return part{}, cannotRead(name, err)
			}
			return part{file: name, size: info.Size()}, f.Close()
		}
	}
	text, err := readAll(name)
	if err != nil {
		return part{}, err
	}
	if !d.binary {
		text = slices.DeleteFunc(text, func(b byte) bool { return b == '\r' || b == '\n' || b == 0 })
	}
	return part{mem: text, size: int64(len(text))}, nil
}

// openParts opens all of them at once, so that none is missing in the middle of a request.
func openParts(parts []part) (io.ReadCloser, error) {
	if len(parts) == 1 && parts[0].file == "" {
		return io.NopCloser(bytes.NewReader(parts[0].mem)), nil // which net/http sends with the header
	}
	all := &partsReader{}
	var readers []io.Reader
	for _, p := range parts {
		if p.file == "" {
			readers = append(readers, bytes.NewReader(p.mem))
			continue
		}
		f, err := openFile(p.file)
		if err != nil {
			all.Close()
			return nil, err
		}
		all.files = append(all.files, f)
		readers = append(readers, f)
	}
	all.Reader = io.MultiReader(readers...)
	return all, nil
}

type partsReader struct {
	io.Reader
	files []io.Closer
}

func (r *partsReader) Close() (err error) {
	for _, f := range r.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// newUpload is the body that -T makes.
func newUpload(name string) (*payload, error) {
	if name == "-" {
		return &payload{length: -1, open: func() (io.ReadCloser, error) { return localFile{unclosed{os.Stdin}}, nil }}, nil
	}
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		err = errors.New("it is a directory")
	}
	if err != nil {
		return nil, cannotRead(name, err)
	}
	p := &payload{name: filepath.Base(name), length: -1, open: func() (io.ReadCloser, error) { return openFile(name) }}
	if info.Mode().IsRegular() {
		p.length, p.repeatable = info.Size(), true
		f, err := os.Open(name) // rather now than when a server waits for it
		if err != nil {
			return nil, cannotRead(name, err)
		}
		return p, f.Close()
	}
	return p, nil
}

// watch has a progress see how much of the file has been read.
func (p *payload) watch(w *progress) {
	if w == nil {
		return
	}
	open := p.open
	p.open = func() (io.ReadCloser, error) {
		f, err := open()
		if err != nil {
			return nil, err
		}
		return &watchedFile{f.(io.ReadSeekCloser), counter{p: w}}, nil
	}
}

// appendName completes a URL that names a directory with the name of the file that goes there.
func appendName(u *url.URL, name string) {
	if u.Path == "" {
		u.Path = "/"
	}
	if !strings.HasSuffix(u.Path, "/") {
		return
	}
	u.Path += name
	if u.RawPath != "" {
		u.RawPath += url.PathEscape(name)
	}
}

func openFile(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, cannotRead(name, err)
	}
	return localFile{f}, nil
}

// localFile tells its errors from those of a connection.
type localFile struct{ file }

type file interface {
	io.ReadSeekCloser
	Name() string
}

func (f localFile) Read(p []byte) (int, error) {
	n, err := f.file.Read(p)
	if err != nil && err != io.EOF {
		err = cannotRead(f.Name(), err)
	}
	return n, err
}

// unclosed is a file that others may still need.
type unclosed struct{ *os.File }

func (unclosed) Close() error { return nil }

// readAll reads a file, - being standard input.
func readAll(name string) (text []byte, err error) {
	if name == "-" {
		text, err = io.ReadAll(os.Stdin)
		name = "standard input"
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, cannotRead(name, err)
	}
	return text, nil
}

func cannotRead(name string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return &failure{err: fmt.Errorf("cannot read %s: %w", name, err), status: statusRead}
}

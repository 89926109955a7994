package negotiate

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// router is as many of them are: it wraps handlers in what Use was given, the first one outermost.
type router struct {
	http.ServeMux
	use []func(http.Handler) http.Handler
}

func (r *router) Use(m ...func(http.Handler) http.Handler) { r.use = append(r.use, m...) }

func (r *router) Get(pattern string, h http.HandlerFunc) {
	wrapped := http.Handler(h)
	for i := len(r.use) - 1; i >= 0; i-- {
		wrapped = r.use[i](wrapped)
	}
	r.Handle("GET "+pattern, wrapped)
}

// The method value is a middleware, around single patterns as well as around a whole mux, and leaves to the mux what it does.
func TestRouters(t *testing.T) {
	a := new(Authenticator)
	item := func(w http.ResponseWriter, r *http.Request) {
		id, _ := FromContext(r.Context())
		fmt.Fprintf(w, "%s %s %s", id.Initiator, r.PathValue("id"), r.Pattern)
	}
	public := func(w http.ResponseWriter, r *http.Request) {
		_, ok := FromContext(r.Context())
		fmt.Fprint(w, "public ", ok)
	}

	within := http.NewServeMux()
	within.Handle("GET /items/{id}", a.Handler(http.HandlerFunc(item)))
	within.HandleFunc("GET /", public)
	around := http.NewServeMux()
	around.HandleFunc("GET /items/{id}", item)
	whole := http.NewServeMux()
	whole.Handle("/items/", a.Handler(around))
	whole.HandleFunc("/", public)
	middle := new(router)
	middle.Get("/", public)
	middle.Use(func(next http.Handler) http.Handler { return next }, a.Handler)
	middle.Get("/items/{id}", item)

	for name, h := range map[string]http.Handler{"within": within, "around": whole, "middleware": middle} {
		for _, c := range []struct {
			method, path, want string
			status             int
			token              bool
		}{
			{"GET", "/", "public false", 200, false},
			{"GET", "/items/7", "", 401, false},
			{"GET", "/items/7", "user@NEGO.TEST 7 GET /items/{id}", 200, true},
			{"HEAD", "/items/7", "user@NEGO.TEST 7 GET /items/{id}", 200, true},
			{"POST", "/items/7", "", 405, true},
		} {
			r, w := httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil), httptest.NewRecorder()
			if c.token {
				_, token := initiate(t, web, nil)
				r.Header.Set("Authorization", fieldValue(token))
			}
			h.ServeHTTP(w, r)
			resp := w.Result()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != c.status || c.status == 200 && string(body) != c.want {
				t.Errorf("%s, %s %s: %s, %q", name, c.method, c.path, resp.Status, body)
			}
		}
	}
}

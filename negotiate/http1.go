package negotiate

import (
	"errors"
	"strings"

	"golang.org/x/net/http2"
)

// wantsHTTP1 reports whether a server has refused HTTP/2 for a request, as those do that tie authentication to a
// connection. For a stream the code says so. For a whole connection it is only in the text of an error, whose
// type net/http keeps to itself.
func wantsHTTP1(err error) bool {
	var s http2.StreamError
	if errors.As(err, &s) {
		return s.Code == http2.ErrCodeHTTP11Required
	}
	return strings.Contains(err.Error(), "GOAWAY") && strings.Contains(err.Error(), "HTTP_1_1_REQUIRED")
}

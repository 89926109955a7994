package negotiate

import (
	"io"
	"net/http"
	"time"
)

// How much of a response that nobody wants is read, and how long, so that its connection can be used again.
const (
	drainBytes = 64 << 10
	drainTime  = time.Second
)

// drain reads an intermediate response to its end, and closes it.
func drain(resp *http.Response) {
	if resp.Body == nil {
		return
	}
	defer resp.Body.Close()
	if resp.ContentLength > drainBytes {
		return
	}
	t := time.AfterFunc(drainTime, func() { resp.Body.Close() })
	defer t.Stop()
	// One byte more, because the end is what counts, and it comes behind the last one.
	_, _ = io.CopyN(io.Discard, resp.Body, drainBytes+1)
}

// abandon closes a final response that the caller does not get. It may be one that goes on for ever, so it
// is read only if it says that it is short.
func abandon(resp *http.Response) {
	if resp.StatusCode != http.StatusSwitchingProtocols && resp.ContentLength >= 0 {
		drain(resp)
	} else if resp.Body != nil {
		resp.Body.Close()
	}
}

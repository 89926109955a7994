//go:build interop

package peers

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A Reply is what curl got for one URL.
type Reply struct {
	Exit        int         // curl's exit code; 0 is an answer of any status
	Status      int         // of the last response; 0 is none
	Header      http.Header // of the last response
	Body        []byte
	Statuses    []int  // of all responses in order, those to CONNECT and 100 too
	Version     string // of HTTP, such as 1.1 or 2
	Connections int    // how many were opened
	Stderr      string // with -v in the arguments, what curl did
}

// Curl runs curl with the environment of a client, the realm's Env, and the arguments, such as --negotiate -u : URL.
// A failure of curl is in the reply.
func Curl(tb testing.TB, env []string, args ...string) *Reply {
	tb.Helper()
	file, err := exec.LookPath("curl")
	if err != nil {
		tb.Fatalf("peers: %v; install the Debian package curl (scripts/deps interop)", err)
	}
	dir := tb.TempDir()
	header, body := filepath.Join(dir, "header"), filepath.Join(dir, "body")
	args = append([]string{
		"--disable", "--silent", "--show-error", "--max-time", "60",
		"--dump-header", header, "--output", body, "--write-out", "%{http_version} %{num_connects}",
	}, args...)
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(tb.Context(), file, args...)
	cmd.Env = clientEnv(env)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	r := &Reply{}
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !exit.Exited() {
			tb.Fatalf("peers: curl: %v\n%s", err, stderr.Bytes())
		}
		r.Exit = exit.ExitCode()
	}
	r.Stderr = stderr.String()
	_, _ = fmt.Sscan(stdout.String(), &r.Version, &r.Connections)
	r.Body, _ = os.ReadFile(body)  // not there without a body
	text, _ := os.ReadFile(header) // nor this without a response
	if err := r.parse(string(text)); err != nil {
		tb.Fatalf("peers: curl: %v in %q", err, text)
	}
	return r
}

// parse reads the header blocks of all responses.
func (r *Reply) parse(text string) error {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, "HTTP/"):
			fields := strings.Fields(line)
			if len(fields) < 2 {
				return errors.New("no status")
			}
			status, err := strconv.Atoi(fields[1])
			if err != nil {
				return err
			}
			r.Statuses = append(r.Statuses, status)
			r.Status, r.Header = status, http.Header{}
		case ok && r.Header != nil:
			r.Header.Add(name, strings.TrimSpace(value))
		case line != "":
			return errors.New("a line that is no header")
		}
	}
	return nil
}

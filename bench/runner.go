package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A runner runs a subject.
type runner interface {
	run(n int) (Sample, error)
	close() error
}

const patience = 3 * time.Minute // for one answer of a process

// A process reads numbers and writes Samples: a worker, or a client in another language.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *json.Decoder
	log   *bytes.Buffer
	ended bool
}

func start(name string, env []string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(args[0], args[1:]...), log: new(bytes.Buffer)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.log
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdin, p.out = in, json.NewDecoder(out)
	return p, p.cmd.Start()
}

// startSelf starts this program in another role.
func startSelf(name string, env []string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(name, env, append([]string{self}, args...)...)
}

// read decodes the next thing that the process writes.
func (p *process) read(v any) error {
	late := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	err := p.out.Decode(v)
	if !late.Stop() {
		err = fmt.Errorf("no answer after %v", patience)
	}
	if err != nil {
		return p.failed(err)
	}
	return nil
}

// failed ends the process and adds all of its log to an error.
func (p *process) failed(err error) error {
	p.ended = true
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	return fmt.Errorf("%s: %w\n%s", p.name, err, p.log)
}

func (p *process) run(n int) (s Sample, err error) {
	if _, err := fmt.Fprintln(p.stdin, n); err != nil {
		return s, p.failed(err)
	}
	return s, p.read(&s)
}

// close ends the process, which is done with its last answer.
func (p *process) close() error {
	if p.ended {
		return nil
	}
	_ = p.stdin.Close()
	late := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w\n%s", p.name, err, p.log)
	}
	return nil
}

// curlRequests are so many that the start of curl, which is in its figures, hardly matters.
const curlRequests = 300

// curl makes all requests of a run in one process.
type curl struct {
	env []string
	url string
}

func (c curl) close() error { return nil }

func (c curl) run(n int) (Sample, error) {
	cmd := exec.Command("curl", "--silent", "--show-error", "--negotiate", "--user", ":", "--output", os.DevNull,
		"--write-out", "%{http_code}\n", fmt.Sprintf("%s?[1-%d]", c.url, n))
	cmd.Env = append(os.Environ(), c.env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start := time.Now()
	out, err := cmd.Output()
	wall := time.Since(start)
	if err != nil {
		return Sample{}, fmt.Errorf("curl: %w\n%s", err, &stderr)
	}
	if want := strings.Repeat("200\n", n); string(out) != want {
		return Sample{}, errors.New("curl: not every answer was 200")
	}
	return Sample{N: n, Wall: wall, CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"time"

	"github.com/nego-sso/nego/gssapi"
	"github.com/rogpeppe/go-internal/testscript"
)

// expire FILE makes the tickets of a cache two days older.
func expire(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: expire FILE")
	}
	file := ts.MkAbs(args[0])
	cache, err := gssapi.ReadCache(context.Background(), "FILE:"+file)
	ts.Check(err)
	b, err := os.ReadFile(file)
	ts.Check(err)
	stamp := func(t time.Time) []byte { return binary.BigEndian.AppendUint32(nil, uint32(t.Unix())) }
	for _, t := range cache.Tickets {
		for _, at := range []time.Time{t.AuthTime, t.Start, t.End} {
			b = bytes.ReplaceAll(b, stamp(at), stamp(at.Add(-48*time.Hour)))
		}
	}
	ts.Check(os.WriteFile(file, b, 0o600))
}

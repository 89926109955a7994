package main

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/nego-sso/nego/negotiate"
)

// outcomeJSON is what scripts depend on.
type outcomeJSON struct {
	URL          string `json:"url"`    // the one that was asked for, without user, password, query and fragment
	Status       int    `json:"status"` // 0: no response
	Legs         int    `json:"legs"`
	Mutual       bool   `json:"mutual"`
	Delegated    bool   `json:"delegated"`
	ChannelBound bool   `json:"channel_bound"`
	Target       string `json:"target"`
	Mech         string `json:"mech"`
	Error        string `json:"error"`
	Hint         string `json:"hint,omitempty"`
}

// writeOutcome writes the line of one URL, whatever became of it.
func (f *fetcher) writeOutcome(t *transfer, failed error) error {
	o := t.outcome
	j := outcomeJSON{URL: t.url, Status: t.status, Legs: o.Legs, Mutual: o.Mutual, Delegated: o.Delegated,
		ChannelBound: o.ChannelBound, Target: o.Target.String(), Mech: mechName(o.Mech)}
	why := failed
	if why == nil {
		why = t.why
	}
	j.Hint = strings.Join(hints(why), "; ")
	if o.Err != nil {
		why = o.Err
	}
	if why != nil {
		j.Error, _ = describe(why)
	}
	if e, ok := errors.AsType[*negotiate.Error](why); ok && j.Status == 0 {
		j.Status = e.Status // of the response that was not good enough
	}
	enc := json.NewEncoder(f.outcomes)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(j); err != nil {
		return writeFailed(err)
	}
	return nil
}

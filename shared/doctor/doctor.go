// Package doctor looks at a node as a support engineer would, and says what is
// wrong and which command mends it.
//
// It is an open list of checks. A check looks at one thing, changes nothing that
// lasts, and answers within seconds whatever state the node is in; the daemon may
// run or not. What belongs to another part is handed in as a Check by whoever
// wires them: a check is a section, a name and a function.
package doctor

import (
	"context"
	"slices"
	"time"

	"primespark/shared/version"
)

// A Severity says how bad a result is.
type Severity string

// The severities, from good to bad.
const (
	OK      Severity = "ok"
	Info    Severity = "info"    // worth knowing
	Warning Severity = "warning" // works less well than it should, or will not for long
	Fault   Severity = "fault"   // does not work
)

var ranks = []Severity{OK, Info, Warning, Fault}

// Worse reports whether s is worse than t.
func (s Severity) Worse(t Severity) bool { return slices.Index(ranks, s) > slices.Index(ranks, t) }

// A Result is what a check found. A check may find several things.
type Result struct {
	Section  string   `json:"section"` // "power"
	Check    string   `json:"check"`   // "supply voltage"
	Severity Severity `json:"severity"`
	Code     string   `json:"code,omitempty"` // for programs, where there is one: "hailo.version_mismatch"
	Detail   string   `json:"detail"`         // one sentence, or a figure
	Remedy   string   `json:"remedy,omitempty"`
}

// A Check looks at one thing.
type Check struct {
	Section string
	Name    string
	// Look returns what it found; Section and Check are filled in. Nothing found
	// means that there is nothing to say.
	Look func(ctx context.Context) []Result
}

// A Report is the results of all checks, and the facts behind them.
type Report struct {
	Node    string         `json:"node"`
	At      time.Time      `json:"at"`
	Version version.Info   `json:"version"`
	Verdict Severity       `json:"verdict"` // the worst of the results
	Results []Result       `json:"results"`
	Facts   map[string]any `json:"facts,omitempty"` // by section
}

// patience is how long one check may take; a disk that hangs is a result, too.
const patience = 10 * time.Second

// Run does the checks one after the other, since some of them measure.
func Run(ctx context.Context, node string, checks []Check) Report {
	r := Report{Node: node, At: time.Now().UTC(), Version: version.Get(), Verdict: OK, Results: []Result{}, Facts: map[string]any{}}
	for _, c := range checks {
		for _, found := range look(ctx, c) {
			found.Section, found.Check = c.Section, c.Name
			found.Detail, found.Remedy = Redact(found.Detail), Redact(found.Remedy)
			r.Results = append(r.Results, found)
			if found.Severity.Worse(r.Verdict) {
				r.Verdict = found.Severity
			}
		}
	}
	return r
}

// look does one check, for as long as it may take.
func look(ctx context.Context, c Check) []Result {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found := make(chan []Result, 1)
	go func() { found <- c.Look(ctx) }() // one that hangs ends with the program
	select {
	case all := <-found:
		return all
	case <-ctx.Done():
		return []Result{{Severity: Fault, Detail: "It did not answer in time.", Remedy: "Look at sudo dmesg for what hangs, and try again."}}
	}
}

// One is a single result.
func One(s Severity, detail, remedy string) []Result {
	return []Result{{Severity: s, Detail: detail, Remedy: remedy}}
}

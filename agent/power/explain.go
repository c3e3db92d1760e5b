package power

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Explanation is why the node was away once.
type Explanation struct {
	Down     time.Time  `json:"down"`         // or the last time that it is known to have been up
	Up       *time.Time `json:"up,omitempty"` // the next start; nil if there was none
	Known    bool       `json:"known"`        // this program shut it down
	By       string     `json:"by,omitempty"` // battery, operator or site
	Why      string     `json:"why"`          // in sentences
	Before   []Entry    `json:"before"`       // what happened until then, oldest first
	Evidence Evidence   `json:"evidence,omitzero"`
}

// Explain tells of each time that the host went down, the newest first, by the
// entries of a book.
func Explain(all []Entry) (told []Explanation) {
	var before []Entry
	for i, e := range all {
		if e.Page == Booted && i > 0 && e.Boot != all[i-1].Boot {
			told = append(told, explain(before, &e.At))
			before = nil
		}
		before = append(before, e)
	}
	if n := len(before); n > 0 && slices.ContainsFunc(before, func(e Entry) bool { return e.Page == Halted && !e.Dry }) {
		told = append(told, explain(before, nil))
	}
	slices.Reverse(told)
	return told
}

// explain tells why a run of the host ended that these entries are of.
func explain(before []Entry, up *time.Time) Explanation {
	last := before[len(before)-1]
	x := Explanation{Down: last.At, Up: up, Before: before, Evidence: last.Evidence}
	for _, e := range before {
		if e.Page == Halted && !e.Dry {
			x.Known, x.By, x.Down, x.Why, x.Evidence = true, e.By, e.At, e.Why, e.Evidence
		}
		if e.Page == Restarted && x.Known {
			x.Why += " " + e.Why + " It was told to boot anew."
		}
	}
	if x.Known {
		return x
	}
	switch {
	case last.Mode.onBattery():
		x.Why = fmt.Sprintf("This program did not shut it down. It was on battery (%s: %s) when it was last heard of, so the power may have been cut: a loose plug, a board that cuts off by itself, or somebody's shutdown.", last.Mode, strings.TrimSuffix(last.Why, "."))
	default:
		x.Why = fmt.Sprintf("This program did not shut it down. Its power was last known to be %s; somebody shut it down or booted it, or it crashed. journalctl --boot=-1 --reverse tells more.", strings.ReplaceAll(string(last.Mode), "_", " "))
	}
	return x
}

// Around picks the time away that is nearest to a moment.
func Around(all []Explanation, at time.Time) (Explanation, bool) {
	if len(all) == 0 {
		return Explanation{}, false
	}
	return slices.MinFunc(all, func(a, b Explanation) int {
		return int(a.Down.Sub(at).Abs().Seconds() - b.Down.Sub(at).Abs().Seconds())
	}), true
}

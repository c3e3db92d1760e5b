package status

import (
	"fmt"
	"io"
	"time"

	"primespark/coordinator/status/chart"
	"primespark/shared/fleet"
	"primespark/shared/wire"
)

// A NodeView is all that the page of one node shows.
type NodeView struct {
	Self    string    // the coordinator that shows it
	At      time.Time // when
	Version string    // of this coordinator
	Cluster string
	Mode    fleet.Mode // of this coordinator
	Node    wire.NodeBody
	Range   Range
	Samples []wire.TelemetryMinute // of the range
	More    bool                   // there are others
	Trouble string                 // why there are no samples; empty if the history was read
}

// RenderNode writes the page of a node for one reader.
func RenderNode(w io.Writer, v NodeView, by Reader) error {
	return render(w, "node.html", struct {
		NodeView
		Reader Reader
	}{v, by})
}

// Deeds are what can be done to the node as it stands, as words of its address.
func (v NodeView) Deeds() []string {
	switch {
	case v.Mode != fleet.Normal:
		return nil
	case v.Node.State == "pending":
		return []string{"approve"}
	case v.Node.State == "approved" && v.Agent():
		return []string{"drain"}
	case v.Node.State == "draining":
		return []string{"undrain"}
	}
	return nil
}

// A Range is how far back charts go.
type Range struct {
	Name  string // as in the page's address
	Words string // after "the last"
	Step  time.Duration
	slots int
	mark  time.Duration
	texts string // layout of the marks
}

// Ranges are all there are, the usual one first.
var Ranges = []Range{
	{"1h", "hour", time.Minute, 60, 15 * time.Minute, "15:04"},
	{"24h", "24 hours", 10 * time.Minute, 144, 6 * time.Hour, "15:04"},
	{"30d", "30 days", 4 * time.Hour, 180, 7 * 24 * time.Hour, "2 Jan"},
}

// FindRange returns the range of a name; the usual one of no name.
func FindRange(name string) (Range, bool) {
	for _, r := range Ranges {
		if r.Name == name || name == "" {
			return r, true
		}
	}
	return Range{}, false
}

// Span is the range that ends with the slot of now.
func (r Range) Span(now time.Time) chart.Span {
	to := now.UTC().Truncate(r.Step).Add(r.Step)
	return chart.Span{From: to.Add(-time.Duration(r.slots) * r.Step), Step: r.Step, Slots: r.slots, Mark: r.mark, Layout: r.texts}
}

// Ranges are those that the page links to.
func (NodeView) Ranges() []Range { return Ranges }

// Row is the node as the main page has it.
func (v NodeView) Row() Row { return Row{NodeBody: v.Node, now: v.At} }

// Agent reports whether the node is one, and no coordinator.
func (v NodeView) Agent() bool { return v.Node.Role == fleet.Agent }

// Iso is the time of the view for machines.
func (v NodeView) Iso() string { return iso(v.At) }

// Clock is the time of the view for people.
func (v NodeView) Clock() string { return clock(v.At) }

// Reasons are what is wrong with the node by its own account.
func (v NodeView) Reasons() (all []Reason) {
	for _, code := range v.Node.Reasons {
		all = append(all, explain(code, v.Node.Name))
	}
	return all
}

// Resolution says what one point of the charts stands for.
func (v NodeView) Resolution() string {
	switch step := v.Range.Step; {
	case step < time.Hour:
		return fmt.Sprintf("%.0f min", step.Minutes())
	default:
		return fmt.Sprintf("%.0f h", step.Hours())
	}
}

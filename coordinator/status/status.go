// Package status is the page that shows a person the fleet: one sentence on
// top, then open alerts, agents, coordinators and what happened last; and for each
// node a page with what is known of it and charts of its history.
//
// The page of the fleet is made on the server and complete without a script; with one it
// follows the fleet by itself. The page and the streamed fragment are the same
// template. Nothing is fetched from elsewhere, and everything that a node says of
// itself is treated as text.
package status

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/wire"
)

//go:embed *.html
var texts embed.FS

var pages = template.Must(template.ParseFS(texts, "*.html"))

// A View is all that the page shows, at one moment. One that is shared is never changed.
type View struct {
	Self    string    // the coordinator that shows it
	At      time.Time // when
	Version string    // of this coordinator
	Status  wire.StatusBody
	Nodes   []wire.NodeBody
	Alerts  []wire.Alert // those that hold, the worst first
	Queue   Queue
	Mesh    *MeshView        // nil where there is none
	Events  []wire.Event     // newest last
	Beats   map[string]Beats // how the agents were, by name; see Pulse
	Trends  map[string]Trend // how full their batteries were, by name; see Trends
}

// shownEvents is how many events the page has room for.
const shownEvents = 12

// Render writes the whole page for one reader.
func Render(w io.Writer, sheet *Sheet, by Reader) error {
	live, err := sheet.pieces(by.Operate)
	if err != nil {
		return err
	}
	data := struct {
		View
		ID     string
		Reader Reader
	}{sheet.View, sheet.ID, by}
	var head, foot bytes.Buffer
	if err := errors.Join(render(&head, "page", data), render(&foot, "foot", data)); err != nil {
		return err
	}
	for _, part := range slices.Concat([]string{head.String()}, live.whole(), []string{foot.String()}) {
		if _, err := io.WriteString(w, part); err != nil {
			return err
		}
	}
	return nil
}

// A Shown is a view as some readers see it: those who may operate, or the others.
type Shown struct {
	View
	Operate bool
}

// RenderLogin writes the form for a token. Message, if any, says what was wrong.
func RenderLogin(w io.Writer, message string) error {
	return render(w, "login.html", struct{ Message string }{message})
}

// A Problem is an error that a person meets in a browser.
type Problem struct{ Title, Detail, Remedy string }

// RenderProblem writes a page about p.
func RenderProblem(w io.Writer, p Problem) error { return render(w, "problem.html", p) }

// render makes the whole text first: a template that fails must not send half
// a page.
func render(w io.Writer, name string, data any) error {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// agents are the rows of the agents that have not been revoked.
func (v Shown) agents() []Row {
	links := v.Mesh.links()
	var rows []Row
	for _, n := range v.Nodes {
		if r := (Row{NodeBody: n, Beats: v.Beats[n.Name], Trend: v.Trends[n.Name], Link: links[n.Name], Meshed: v.Mesh != nil, Operate: v.Operate, now: v.At}); r.shown() {
			rows = append(rows, r)
		}
	}
	return rows
}

// BeatsTitle heads the column of the bars.
func (View) BeatsTitle() string {
	return fmt.Sprintf("Last %.0f min", (beatsKept * beatsEach).Minutes())
}

// Coordinators are the rows of the group.
func (v View) Coordinators() []Member {
	var rows []Member
	for _, c := range v.Status.Coordinators {
		rows = append(rows, Member{c, c.Name == v.Self})
	}
	return rows
}

// A Member is one coordinator on the page.
type Member struct {
	wire.Coordinator
	Self bool
}

// Contact says how fresh the leader's word is, where that is known.
func (m Member) Contact() string {
	switch {
	case m.Role == wire.RoleLeader || m.LastContactMS == nil:
		return "–"
	case *m.LastContactMS < 1:
		return "now" // less than what the others round to
	case *m.LastContactMS < 1000:
		return fmt.Sprintf("%d ms ago", *m.LastContactMS)
	}
	return span(time.Duration(*m.LastContactMS)*time.Millisecond) + " ago"
}

// Behind is how many changes it has to catch up with.
func (m Member) Behind() string {
	switch {
	case m.Coordinator.Behind == nil:
		return "–"
	case *m.Coordinator.Behind == 0:
		return "no"
	}
	return fmt.Sprintf("%d changes", *m.Coordinator.Behind)
}

// Disk is how much room its disk has, and how quick it is.
func (m Member) Disk() string {
	if m.DiskFree == nil {
		return "–"
	}
	text := size(*m.DiskFree) + " free"
	if w := m.DiskWrite; w != nil && finite(*w) && *w > 0 {
		text += fmt.Sprintf(", %.0f ms a write", *w)
	}
	return text
}

// DiskTone marks a disk that raft waits for (health.SlowDisk) or that is nearly full.
func (m Member) DiskTone() string {
	if slices.Contains(m.Conditions, string(health.StorageFull)) || slices.Contains(m.Conditions, string(health.DiskStalled)) {
		return "bad"
	}
	if slices.Contains(m.Conditions, string(health.SlowDisk)) {
		return "warn"
	}
	return ""
}

// size is a number of bytes as people read it.
func size(n uint64) string {
	const gib = 1 << 30
	if n < 10*gib {
		return fmt.Sprintf("%.1f GiB", float64(n)/gib)
	}
	return fmt.Sprintf("%.0f GiB", float64(n)/gib)
}

// Trouble is what a coordinator that can be reached says is wrong with itself.
func (m Member) Trouble() string {
	if m.Role == wire.RoleUnreachable {
		return ""
	}
	return strings.ReplaceAll(strings.Join(m.Conditions, ", "), "_", " ")
}

// Recent are the last events, newest first.
func (v View) Recent() []Happening {
	var out []Happening
	for i := len(v.Events) - 1; i >= 0 && len(out) < shownEvents; i-- {
		out = append(out, Happening{v.Events[i], v.At})
	}
	return out
}

// A Happening is one event on the page.
type Happening struct {
	wire.Event
	now time.Time
}

// Ago is how long it is since the event.
func (h Happening) Ago() string { return span(h.now.Sub(h.At)) + " ago" }

// Iso is the time of the event for machines.
func (h Happening) Iso() string { return iso(h.At) }

// Iso is the time of the view for machines.
func (v View) Iso() string { return iso(v.At) }

// Clock is the time of the view for people.
func (v View) Clock() string { return clock(v.At) }

// Short is the beginning of the state's checksum: enough to compare two
// coordinators by eye.
func (v View) Short() string { return v.Status.StateChecksum[:min(12, len(v.Status.StateChecksum))] }

// Tone is the mood of the whole page: ok, warn or bad.
func (v View) Tone() string {
	s := v.Status.Summary
	switch {
	case v.Status.Mode != fleet.Normal:
		return "bad"
	case s.AgentsHealthy < s.AgentsTotal || s.QuorumHave < s.Voters || s.OnBattery > 0 || s.AgentsTotal == 0:
		return "warn"
	}
	return "ok"
}

func iso(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func clock(t time.Time) string { return t.UTC().Format("15:04:05") + " UTC" }

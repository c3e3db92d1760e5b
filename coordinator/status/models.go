package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"primespark/shared/fleet"
)

// shownModels is how many models the page has room for.
const shownModels = 20

// A Model is one that agents have ready, with the same version and backend.
type Model struct {
	fleet.Serving
	nodes []string
}

// Where names the agents that have it, or counts them.
func (m Model) Where() string {
	if len(m.nodes) > 4 {
		return fmt.Sprintf("%d agents", len(m.nodes))
	}
	return strings.Join(m.nodes, ", ")
}

// Latency is the mean time of an inference on the quickest of them.
func (m Model) Latency() string {
	text := Row{}.Latency(m.Serving)
	if text != "" && len(m.nodes) > 1 {
		text += " at best"
	}
	return text
}

// Models are those that agents have ready, by name.
func (v View) Models() []Model { all, _ := v.models(); return all }

// ModelsMore is how many the page has no room for.
func (v View) ModelsMore() int { _, more := v.models(); return more }

// ModelNames are the names of all, each once.
func (v View) ModelNames() []string {
	var names []string
	for _, m := range v.Models() {
		names = append(names, m.Name)
	}
	return slices.Compact(names)
}

func (v View) models() (all []Model, more int) {
	type key struct{ name, version, backend string }
	by := map[key]*Model{}
	for _, n := range v.Nodes {
		if n.Role != fleet.Agent || n.Liveness != fleet.Alive || n.State != "approved" {
			continue
		}
		for _, s := range n.Models {
			k := key{s.Name, s.Version, s.Backend}
			m := by[k]
			if m == nil {
				m = &Model{Serving: s}
				by[k] = m
			}
			if s.Millis > 0 && (s.Millis < m.Millis || !(m.Millis > 0)) {
				m.Millis = s.Millis
			}
			m.nodes = append(m.nodes, n.Name)
		}
	}
	for _, m := range by {
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b Model) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Backend, b.Backend))
	})
	most := min(len(all), shownModels)
	return all[:most], len(all) - most
}

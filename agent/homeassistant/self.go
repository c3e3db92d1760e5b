package homeassistant

import (
	"slices"
	"strings"

	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/model"
)

// A Self is the part of the state message that is no stream: what the templates
// of the entities read under "self".
type Self struct {
	Ready   bool               `json:"ready"`
	Mode    fleet.Mode         `json:"mode"`
	Problem Problem            `json:"problem"`
	Minutes *float64           `json:"minutes_left,omitempty"`
	Models  map[string]Release `json:"models"`
}

// A Problem is the worst that holds of a node, and what to do about it. Sentence
// is empty while nothing is wrong.
type Problem struct {
	Sentence string   `json:"sentence"`
	Remedy   string   `json:"remedy"`
	Codes    []string `json:"codes"` // all that holds
}

// A Release is what the update entity of a model shows.
type Release struct {
	Installed string `json:"installed_version"`
	Latest    string `json:"latest_version"`
}

// SelfOf puts the state of a node together. Of a model, what serves is installed,
// and what the node's store holds is the latest: they differ while a newer package
// waits to be loaded, or cannot be.
func SelfOf(v fleet.Vital, conditions health.List, index []model.Status) Self {
	s := Self{Ready: v.Ready, Mode: v.Mode, Minutes: v.Power.Minutes, Models: map[string]Release{}, Problem: problemOf(conditions)}
	for _, m := range v.Models {
		s.Models[m.Name] = Release{m.Version, m.Version}
	}
	for _, m := range index {
		if r, serves := s.Models[m.Name]; serves && m.Version != "" {
			r.Latest = m.Version
			s.Models[m.Name] = r
		}
	}
	return s
}

// problemOf words what is wrong: what makes the node unready first.
func problemOf(conditions health.List) Problem {
	p := Problem{Codes: []string{}}
	wrong := slices.DeleteFunc(slices.Clone(conditions), func(c health.Condition) bool { return c.Severity == health.Info })
	slices.SortStableFunc(wrong, func(a, b health.Condition) int { return rank(a) - rank(b) })
	var sentences []string
	for _, c := range wrong {
		sentences = append(sentences, c.Detail)
		p.Codes = append(p.Codes, string(c.Code))
	}
	if len(wrong) > 0 {
		p.Sentence, p.Remedy = strings.Join(sentences, " "), wrong[0].Remedy
	}
	return p
}

func rank(c health.Condition) int {
	if c.Severity == health.Unready {
		return 0
	}
	return 1
}

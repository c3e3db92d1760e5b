package status

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// A Sheet is a view and what is made of it, once for all who look at it. It is safe
// to share.
type Sheet struct {
	View View
	ID   string // by which a stream goes on from it; empty if none can
	made [2]struct {
		once   sync.Once
		pieces pieces
		err    error
	}
}

// NewSheet is a sheet of a view that is not changed any more.
func NewSheet(v View) *Sheet { return &Sheet{View: v} }

func (s *Sheet) pieces(operate bool) (*pieces, error) {
	m := &s.made[0]
	if operate {
		m = &s.made[1]
	}
	m.once.Do(func() { m.pieces, m.err = cut(Shown{View: s.View, Operate: operate}) })
	return &m.pieces, m.err
}

// sections are the parts of the page that change, in their order. Each is an element
// with its name as id.
var sections = []string{"lead", "alerts", "agents", "coordinators", "tasks", "models", "mesh", "events"}

// pieces are the changing part of the page, cut into what can be sent by itself: the
// sections, and the rows of the agents.
type pieces struct {
	sections []string // in HTML; of the agents what comes before the rows
	names    []string // of the agents, in the order of their rows
	rows     []string // in HTML, each an element of its own
	end      string   // of the agents' section
}

// cut renders all that changes.
func cut(v Shown) (p pieces, err error) {
	for _, r := range v.agents() {
		p.names, p.rows = append(p.names, r.Name), append(p.rows, r.html())
	}
	data := struct {
		Shown
		Rows int
	}{v, len(p.rows)}
	write := func(name string) string {
		var b bytes.Buffer
		if failed := pages.ExecuteTemplate(&b, name, data); failed != nil {
			err = errors.Join(err, fmt.Errorf("render %s: %w", name, failed))
		}
		return b.String()
	}
	for _, name := range sections {
		p.sections = append(p.sections, write(name))
	}
	p.end = write("agents-end")
	return p, err
}

// section is all of one section. Its parts are not put together, since a thousand
// rows take a while to be copied.
func (p *pieces) section(i int) []string {
	if sections[i] != "agents" {
		return p.sections[i : i+1]
	}
	return slices.Concat(p.sections[i:i+1], p.rows, []string{p.end})
}

// whole is all of it.
func (p *pieces) whole() (parts []string) {
	for i := range p.sections {
		parts = append(parts, p.section(i)...)
	}
	return parts
}

// since is what has changed since old: sections, and rows where the agents are the
// same.
func (p *pieces) since(old *pieces) (parts []string) {
	if old == nil {
		return p.whole()
	}
	for i, html := range p.sections {
		switch {
		case sections[i] == "agents" && html == old.sections[i] && p.end == old.end && sameNames(p.names, old.names):
			parts = append(parts, p.changed(old)...)
		case sections[i] == "agents" && len(p.names)+len(old.names) > 0, html != old.sections[i]:
			parts = append(parts, p.section(i)...)
		}
	}
	return parts
}

// changed are the rows that differ from old ones of the same agents.
func (p *pieces) changed(old *pieces) (parts []string) {
	for i, row := range p.rows {
		if row != old.rows[i] {
			parts = append(parts, row)
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return slices.Concat([]string{"<table>\n"}, parts, []string{"</table>\n"}) // outside of a table, a browser drops rows
}

// sameNames reports whether two pages have the same rows, one at least.
func sameNames(a, b []string) bool {
	if len(a) == 0 || len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

package status

import (
	"bytes"
	"fmt"
	"html/template"
	"strings"
	"sync"
)

// A Sheet is a view and what is made of it, once for all who look at it. It is safe
// to share.
type Sheet struct {
	View View
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
	sections []string // in HTML
	names    []string // of the agents, in the order of their rows
	rows     []string // in HTML, each an element of its own
}

// cut renders all that changes.
func cut(v Shown) (p pieces, err error) {
	var table strings.Builder
	for _, r := range v.agents() {
		html, err := r.html()
		if err != nil {
			return p, err
		}
		p.names, p.rows = append(p.names, r.Name), append(p.rows, html)
		table.WriteString(html)
	}
	data := struct {
		Shown
		Rows template.HTML // what the template of a row has escaped
	}{v, template.HTML(table.String())}
	for _, name := range sections {
		var b bytes.Buffer
		if err := pages.ExecuteTemplate(&b, name, data); err != nil {
			return p, fmt.Errorf("render %s: %w", name, err)
		}
		p.sections = append(p.sections, b.String())
	}
	return p, nil
}

// whole is all of it.
func (p *pieces) whole() template.HTML { return template.HTML(strings.Join(p.sections, "")) }

// since is what has changed since old: sections, and rows where the agents are the
// same. Equal strings of two sheets are mostly the same memory, so that comparing
// them is quick.
func (p *pieces) since(old *pieces) string {
	if old == nil {
		return string(p.whole())
	}
	var b strings.Builder
	for i, html := range p.sections {
		switch {
		case html == old.sections[i]:
		case sections[i] == "agents" && sameNames(p.names, old.names):
			b.WriteString("<table>\n") // outside of one, a browser drops rows
			for i, row := range p.rows {
				if row != old.rows[i] {
					b.WriteString(row)
				}
			}
			b.WriteString("</table>\n")
		default:
			b.WriteString(html)
		}
	}
	return b.String()
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

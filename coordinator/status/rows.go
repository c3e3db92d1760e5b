package status

import (
	"bytes"
	"fmt"
	"html/template"
	"reflect"
	"sync"
	"time"

	"primespark/shared/wire"
)

// A Table is the rows of the agents.
type Table []Row

// HTML is the table's body. What the template of a row escaped goes into the page
// as it is; what is added here is escaped here.
func (t Table) HTML() (template.HTML, error) {
	var b bytes.Buffer
	for _, r := range t {
		html, err := r.cells()
		if err != nil {
			return "", err
		}
		b.WriteString(html)
		b.WriteString(`<td data-name="Seen">`)
		template.HTMLEscape(&b, []byte(r.Seen()))
	}
	return template.HTML(b.String()), nil
}

// cells are the row in HTML, but for its last cell, which changes with the time.
func (r *Row) cells() (string, error) {
	of := made{of: r.NodeBody, gone: r.For()}
	of.of.LastSeen, of.of.Addresses = time.Time{}, nil // not in these cells
	if html, ok := r.kept.find(&of); ok {
		return html, nil
	}
	var b bytes.Buffer
	if err := cells.Execute(&b, r); err != nil {
		return "", fmt.Errorf("render the row of %s: %w", r.Name, err)
	}
	of.html = b.String()
	r.kept.keep(&of)
	return of.html, nil
}

// Rows keeps the agents' rows as they were shown last: in a large fleet few have
// changed since, and a template takes its time. It is safe to share. The zero
// value is ready; nil keeps none.
type Rows struct {
	mu   sync.Mutex
	rows map[string]*made
}

// made is a row in HTML, and what it was made of.
type made struct {
	of   wire.NodeBody
	gone string // how long the agent is
	html string
}

// maxRows is how many rows are kept; beyond, all are made anew.
const maxRows = 4096

func (k *Rows) find(of *made) (html string, ok bool) {
	if k == nil {
		return "", false
	}
	k.mu.Lock()
	old := k.rows[of.of.Name]
	k.mu.Unlock()
	if old == nil || old.gone != of.gone || !reflect.DeepEqual(&old.of, &of.of) {
		return "", false
	}
	return old.html, true
}

func (k *Rows) keep(m *made) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.rows == nil || len(k.rows) >= maxRows {
		k.rows = map[string]*made{}
	}
	k.rows[m.of.Name] = m
}

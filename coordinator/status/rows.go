package status

import (
	"bytes"
	"fmt"
	"reflect"
	"sync"
	"time"

	"primespark/shared/wire"
)

// html is the row as it goes into the page.
func (r *Row) html() (string, error) {
	of := made{of: r.NodeBody, gone: r.For(), seen: r.Seen(), beats: r.Beats, operate: r.Operate}
	of.of.LastSeen, of.of.Addresses = time.Time{}, nil // not in the row but by its age
	if html, ok := r.kept.find(&of); ok {
		return html, nil
	}
	var b bytes.Buffer
	if err := cells.ExecuteTemplate(&b, "cells.html", r); err != nil {
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
	rows [2]map[string]*made // for those who may not operate, and those who may
}

// made is a row in HTML, and what it was made of.
type made struct {
	of      wire.NodeBody
	gone    string // how long the agent is
	seen    string // how long ago it spoke
	beats   Beats
	operate bool
	html    string
}

// maxRows is how many rows are kept; beyond, all are made anew.
const maxRows = 4096

func (k *Rows) find(of *made) (html string, ok bool) {
	if k == nil {
		return "", false
	}
	k.mu.Lock()
	old := k.rows[which(of.operate)][of.of.Name]
	k.mu.Unlock()
	if old == nil || old.gone != of.gone || old.seen != of.seen || old.beats != of.beats || !reflect.DeepEqual(&old.of, &of.of) {
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
	rows := &k.rows[which(m.operate)]
	if *rows == nil || len(*rows) >= maxRows {
		*rows = map[string]*made{}
	}
	(*rows)[m.of.Name] = m
}

func which(operate bool) int {
	if operate {
		return 1
	}
	return 0
}

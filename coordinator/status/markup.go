package status

import (
	"html/template"
	"net/url"
)

// A markup is HTML that is written by hand, for what a page has a thousand of: a
// template takes ten times as long for it. The zero value is empty.
type markup struct{ made []byte }

// ours is text of this source, and never what a node says: a variable does not turn
// into it without being converted.
type ours string

// raw adds HTML.
func (m *markup) raw(html ours) *markup {
	m.made = append(m.made, html...)
	return m
}

// text adds what shows as it is, also in an attribute between quotes, whatever it holds.
func (m *markup) text(s string) *markup {
	m.made = append(m.made, template.HTMLEscapeString(s)...)
	return m
}

// step adds one step of a path, which stays what it is as an address.
func (m *markup) step(s string) *markup { return m.text(url.PathEscape(s)) }

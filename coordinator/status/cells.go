package status

import "strconv"

// html is the row as it goes into the page, an element of its own.
func (r *Row) html() string {
	var m markup
	m.made = make([]byte, 0, 1200) // as most are
	m.raw(`<tr id="node-`).text(r.Name).raw(`"`)
	if r.Old() {
		m.raw(` class="old"`)
	}
	m.raw(">\n")
	r.head(&m)
	m.raw("\n<td data-name=\"Heartbeat\">")
	r.Beats.draw(&m)
	m.raw("\n<td data-name=\"Power\"><span>")
	m.toned(r.SupplyTone(), r.Supply())
	r.Trend.draw(&m)
	m.raw("</span>\n<td data-name=\"Heat\">")
	m.toned(r.HeatTone(), r.Heat())
	m.raw("\n<td data-name=\"Processor, memory\"><span>")
	r.Processor().draw(&m, "processor")
	m.raw("<br>")
	r.Space().draw(&m, "memory")
	m.raw("</span>")
	if r.Meshed {
		m.raw("\n<td data-name=\"Mesh\">")
		r.Link.draw(&m)
	}
	m.raw("\n<td data-name=\"Busy / queue\">").text(r.Load())
	m.raw("\n<td data-name=\"Models\"><span>")
	r.models(&m)
	m.raw("</span>\n<td data-name=\"Seen\"><span>").text(r.Seen())
	if r.Version != "" {
		m.raw(" <small>version ").text(r.Version).raw("</small>")
	}
	m.raw("</span></tr>\n")
	return string(m.made)
}

// head is who the agent is, how it and its accelerator are, and what it waits for.
func (r *Row) head(m *markup) {
	m.raw(`<th scope="row"><span class="dot `).text(r.Tone()).raw(`"></span><a href="/nodes/`).step(r.Name).raw(`">`).text(r.Name)
	m.raw(`</a> <span class="word `).text(r.Tone()).raw(`">`).text(r.Word())
	if gone := r.For(); gone != "" {
		m.raw(" for ").text(gone)
	}
	m.raw("</span>")
	if chip := r.Chip(); chip != "" {
		m.raw(`<br><small class="chip `).text(r.ChipTone()).raw(`">`).text(chip).raw("</small>")
	}
	switch {
	case r.State != "pending":
	case r.Operate:
		m.raw(`<br><a class="button" href="/nodes/`).step(r.Name).raw(`/approve" aria-label="Approve `).text(r.Name).raw(`">Approve</a>`)
	default:
		m.raw("<br><code>prime-spark approve ").text(r.Name).raw("</code>")
	}
}

// models are those that it has ready, with their times.
func (r *Row) models(m *markup) {
	for _, s := range r.Models {
		m.raw(`<span class="model">`).text(s.Name)
		if took := r.Latency(s); took != "" {
			m.raw(" <small>").text(took).raw("</small>")
		}
		m.raw("</span> ")
	}
	if len(r.Models) == 0 {
		m.raw("none")
	}
}

// toned is a figure that is marked where something is wrong with it.
func (m *markup) toned(tone, text string) {
	m.raw(`<span class="`).text(tone).raw(`">`).text(text).raw("</span>")
}

// draw makes a bar with its number beside it.
func (g Gauge) draw(m *markup, of ours) {
	m.raw(`<span class="gauge `).text(g.Tone).raw(`"><meter min="0" max="1" value="`).text(g.Value).raw(`" aria-label="`).raw(of)
	m.raw(`">`).text(g.Text).raw("</meter> ").text(g.Text).raw("</span>")
}

// draw makes the bars.
func (b Beats) draw(m *markup) {
	m.raw(`<svg class="beats" viewBox="0 0 120 16" role="img" aria-label="`).text(b.Words()).raw(`">`)
	for _, bar := range b.Bars() {
		m.raw(`<path class="`).text(bar.Tone).raw(`" d="M`).text(strconv.Itoa(bar.X)).raw(" 8h").text(strconv.Itoa(bar.Width)).raw(`"/>`)
	}
	m.raw("</svg>")
}

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// JSON gives cmd the flag --json, which Output heeds.
func JSON(cmd *cobra.Command) { cmd.Flags().Bool("json", false, "print JSON for programs") }

// An Out is where a command writes its results. It knows whether a person or a
// program reads them.
type Out struct {
	w      io.Writer
	json   bool
	rows   bool // each value in JSON is one line
	colour bool
	width  int // columns; 0 if there is no end to a line
}

// Output returns the output of cmd. It has colours only on a terminal, and not
// when NO_COLOR is set (no-color.org).
func Output(cmd *cobra.Command) *Out {
	o := &Out{w: cmd.OutOrStdout()}
	if f := cmd.Flags().Lookup("json"); f != nil && f.Value.Type() == "bool" {
		o.json = f.Value.String() == "true"
	}
	if f, ok := terminal(o.w); ok {
		o.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			o.width = width
		}
	}
	return o
}

func terminal(w any) (*os.File, bool) {
	f, ok := w.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// Data writes v as JSON if that was asked for, and lets human write otherwise.
func (o *Out) Data(v any, human func()) error {
	if !o.json {
		human()
		return nil
	}
	e := json.NewEncoder(o.w)
	if !o.rows {
		e.SetIndent("", "  ")
	}
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Row writes v as one line of JSON if that was asked for, for results that come
// one by one, and lets human write otherwise.
func (o *Out) Row(v any, human func()) error {
	if !o.json {
		human()
		return nil
	}
	return json.NewEncoder(o.w).Encode(v)
}

// Line writes one line for a person; what it is given is made safe by Text,
// save a Styled, which is safe already.
func (o *Out) Line(format string, args ...any) {
	for i, a := range args {
		switch a := a.(type) {
		case Styled:
			args[i] = o.paint(a, a.text)
		case string:
			args[i] = Text(a)
		case error:
			args[i] = Text(a.Error())
		case fmt.Stringer:
			args[i] = Text(a.String())
		}
	}
	// A reader that went away is none of the command's business.
	fmt.Fprintln(o.w, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// Styled is a text with a meaning that a colour may show.
type Styled struct{ text, code string }

// Good, Warn, Bad, Faint and Strong mark a text, which they make safe.
func Good(s string) Styled   { return Styled{Text(s), "32"} }
func Warn(s string) Styled   { return Styled{Text(s), "33"} }
func Bad(s string) Styled    { return Styled{Text(s), "31"} }
func Faint(s string) Styled  { return Styled{Text(s), "2"} }
func Strong(s string) Styled { return Styled{Text(s), "1"} }

func (o *Out) paint(s Styled, text string) string {
	if !o.colour || s.code == "" || text == "" {
		return text
	}
	return "\x1b[" + s.code + "m" + text + "\x1b[0m"
}

// Table writes rows in columns, under a head unless all of it is empty; a cell is a string, a Styled, or
// whatever fmt prints. On a terminal that is too narrow, texts of several words go on
// in the next line, and of the rest the widest columns are cut, with an ellipsis.
func (o *Out) Table(head []string, rows [][]any) {
	cells := [][]Styled{make([]Styled, len(head))}
	for i, h := range head {
		cells[0][i] = Faint(h)
	}
	for _, row := range rows {
		line := make([]Styled, len(head))
		for i, c := range row[:min(len(row), len(head))] {
			if s, ok := c.(Styled); ok {
				line[i] = s
			} else {
				line[i] = Styled{text: Text(fmt.Sprint(c))}
			}
		}
		cells = append(cells, line)
	}
	widths := o.fit(cells)
	if strings.Join(head, "") == "" {
		cells = cells[1:]
	}
	for _, row := range cells {
		o.row(row, widths)
	}
}

// row writes one row, in as many lines as its longest cell takes.
func (o *Out) row(row []Styled, widths []int) {
	parts, lines := make([][]string, len(row)), 1
	for i, c := range row {
		parts[i] = wrap(c.text, widths[i])
		lines = max(lines, len(parts[i]))
	}
	for n := range lines {
		var b strings.Builder
		for i, c := range row {
			text := ""
			if n < len(parts[i]) {
				text = parts[i][n]
			}
			b.WriteString(o.paint(c, text))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-length(text)+gap))
			}
		}
		fmt.Fprintln(o.w, strings.TrimRight(b.String(), " "))
	}
}

// gap is the room between two columns.
const gap = 2

// fit returns the width of each column, so that a line fits the terminal: first
// columns of several words give way, down to their longest word, then all.
func (o *Out) fit(cells [][]Styled) []int {
	widths, words := make([]int, len(cells[0])), make([]int, len(cells[0]))
	total := gap * (len(widths) - 1)
	for i := range widths {
		for _, line := range cells {
			widths[i] = max(widths[i], length(line[i].text))
			for word := range strings.FieldsSeq(line[i].text) {
				words[i] = max(words[i], length(word))
			}
		}
		total += widths[i]
	}
	const least = 6
	for _, floors := range [][]int{words, nil} {
		for o.width > 0 && total > o.width {
			widest := -1
			for i, w := range widths {
				floor := least
				if floors != nil {
					floor = max(least, floors[i])
				}
				if w > floor && (widest < 0 || w >= widths[widest]) {
					widest = i
				}
			}
			if widest < 0 {
				break // so narrow a terminal has to wrap
			}
			widths[widest]--
			total--
		}
	}
	return widths
}

func length(s string) int { return utf8.RuneCountInString(s) }

// wrap is a text in lines of that width; a word that is longer is cut.
func wrap(s string, width int) (lines []string) {
	if length(s) <= width {
		return []string{s}
	}
	line := ""
	for word := range strings.FieldsSeq(s) {
		word = cut(word, width)
		switch {
		case line == "":
			line = word
		case length(line)+1+length(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

func cut(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}

package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"primespark/shared/run"
)

// The pace of --watch: as a rule, and at most.
const (
	watchEach  = 2 * time.Second
	watchLeast = 500 * time.Millisecond
)

// Watch gives cmd the flag --watch, which Again heeds.
func Watch(cmd *cobra.Command) {
	cmd.Flags().Duration("watch", 0, "show it anew each so often, until interrupted")
	cmd.Flags().Lookup("watch").NoOptDefVal = watchEach.String()
}

// Again has show write something to the output of cmd: once, or with --watch again
// and again until the user has had enough. Then an error for which passing is true
// ends nothing, save the first time: what was shown last stays, and the error
// stands above it.
//
// On a terminal the newer takes the place of the older; elsewhere it follows, after
// an empty line. With --json, each is one line.
func Again(cmd *cobra.Command, passing func(error) bool, show func(*Out) error) error {
	every, err := pace(cmd)
	if err != nil {
		return err
	}
	if every == 0 {
		return show(Output(cmd))
	}
	var s scene
	for first := true; ; first = false {
		var b bytes.Buffer
		out := Output(cmd)
		out.rows = true
		w := out.w
		out.w = &b
		switch err := show(out); {
		case cmd.Context().Err() != nil:
			return nil // interrupted, as it is meant to end
		case err != nil && (first || !passing(err)):
			return err
		case err != nil:
			s.failed(describe(cmd.Root().Name(), err))
		default:
			s.shows(b.String(), time.Now())
		}
		if f, ok := terminal(w); ok && !out.json {
			err = s.draw(w, out, fmt.Sprintf("%s, each %v", cmd.CommandPath(), every), height(f))
		} else {
			err = s.follow(w, cmd.ErrOrStderr(), out.json)
		}
		if err != nil {
			return fmt.Errorf("write the output: %w", err)
		}
		if !run.Sleep(cmd.Context(), every) {
			return nil
		}
	}
}

func pace(cmd *cobra.Command) (time.Duration, error) {
	if !cmd.Flags().Changed("watch") {
		return 0, nil
	}
	every, err := cmd.Flags().GetDuration("watch")
	if err != nil {
		return 0, fmt.Errorf("the flag --watch of %s: %w", cmd.CommandPath(), err)
	}
	if every < watchLeast || every > time.Hour {
		return 0, Misuse(cmd, "--watch is %v; give %v to %v, as in --watch=5s.", every, watchLeast, time.Hour)
	}
	return every, nil
}

// height is the lines of a terminal; 0 if that is not known.
func height(f *os.File) int {
	_, lines, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return lines
}

// A scene is what --watch has shown last.
type scene struct {
	text    string    // of the newest success
	at      time.Time // of that
	trouble string    // why there is no newer one; empty if there is
	told    string    // the trouble that was written last
	drawn   bool
}

func (s *scene) shows(text string, at time.Time) { s.text, s.at, s.trouble = text, at, "" }
func (s *scene) failed(why string)               { s.trouble = strings.TrimRight(why, "\n") }

// draw puts the scene in the place of the former one. What does not fit is left
// away, so that the terminal does not scroll.
func (s *scene) draw(w io.Writer, o *Out, title string, lines int) error {
	head := o.paint(Faint(title+", "+s.at.Format(time.TimeOnly)), Text(title+", "+s.at.Format(time.TimeOnly)))
	all := []string{head}
	if s.trouble != "" {
		all = []string{o.paint(Bad(""), "This is of "+s.at.Format(time.TimeOnly)+"; there is nothing newer."), s.trouble}
	}
	all = append(all, "")
	all = append(all, strings.Split(strings.TrimRight(s.text, "\n"), "\n")...)
	all = fitting(all, o.width, lines)
	var b strings.Builder
	if !s.drawn {
		b.WriteString("\x1b[2J")
	}
	b.WriteString("\x1b[H")
	for _, line := range all {
		b.WriteString(strings.ReplaceAll(line, "\n", "\x1b[K\n") + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	s.drawn = true
	_, err := io.WriteString(w, b.String())
	return err
}

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// fitting is as many of the lines as a terminal of that size has room for, with a
// word on how many are missing. A size of 0 has room for all.
func fitting(all []string, width, height int) []string {
	if height < 3 {
		return all
	}
	room := height - 2 // for that word, and for the cursor
	for i, line := range all {
		for part := range strings.SplitSeq(line, "\n") {
			room--
			if width > 0 {
				room -= max(0, length(colours.ReplaceAllString(part, ""))-1) / width
			}
		}
		if room < 0 {
			return append(all[:i:i], fmt.Sprintf("… and %d more lines", len(all)-i))
		}
	}
	return all
}

// follow writes the scene after the former one, and its trouble once.
func (s *scene) follow(w, stderr io.Writer, json bool) error {
	if s.trouble != "" {
		if s.trouble == s.told {
			return nil
		}
		s.told = s.trouble
		_, err := fmt.Fprintln(stderr, s.trouble)
		return err
	}
	s.told = ""
	if s.drawn && !json {
		s.text = "\n" + s.text
	}
	s.drawn = true
	_, err := io.WriteString(w, s.text)
	return err
}

package doctor

import (
	"primespark/shared/cli"
	"primespark/shared/problem"
)

// ErrTold ends a command whose output has said already what is wrong.
var ErrTold = cli.Exit(cli.Failed, problem.New(problem.Conflict, "Do what stands beside the faults above, the first one first.", "Something does not work."))

var marks = map[Severity]func(string) cli.Styled{OK: cli.Good, Info: cli.Faint, Warning: cli.Warn, Fault: cli.Bad}

// Mark is how a severity looks, or words of it.
func (s Severity) Mark(words string) cli.Styled { return marks[s](words) }

// Print prints the report, as JSON if that is asked for, else for people: a table, and
// below it what to do, the worst first. Its error is ErrTold if something does not work.
func (r Report) Print(out *cli.Out) error {
	if err := out.Data(r, func() { r.triage(out) }); err != nil {
		return err
	}
	if r.Verdict == Fault {
		return ErrTold
	}
	return nil
}

func (r Report) triage(out *cli.Out) {
	var rows [][]any
	section := ""
	for _, f := range r.Results {
		shown := ""
		if f.Section != section {
			section, shown = f.Section, f.Section
		}
		rows = append(rows, []any{cli.Strong(shown), f.Severity.Mark(string(f.Severity)), f.Check, f.Detail})
	}
	out.Table([]string{"SECTION", "STATE", "CHECK", "FINDING"}, rows)
	for _, s := range []Severity{Fault, Warning, Info} {
		for _, f := range r.Results {
			if f.Severity == s && f.Remedy != "" {
				out.Line("")
				out.Line("%s %s", s.Mark(string(s)+":"), f.Detail)
				out.Line("  %s", f.Remedy)
			}
		}
	}
}

package cli

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"primespark/shared/conf"
	"primespark/shared/problem"
)

// A checked is what the command check prints of a good file.
type checked struct {
	OK     bool     `json:"ok"`
	Name   string   `json:"name"`
	Old    []string `json:"old,omitempty"`    // keys of earlier releases, with their names now
	Backup string   `json:"backup,omitempty"` // the file as it was, if it was rewritten
}

// migrate looks for keys of earlier releases in a file, and rewrites it if so asked.
func (d Daemon) migrate(path string, rewrite bool) (c checked, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil // all defaults
	}
	var moves []conf.Move
	if err == nil {
		moves, err = d.Moves(data)
	}
	if err != nil || len(moves) == 0 {
		return c, err
	}
	for _, m := range moves {
		c.Old = append(c.Old, m.String())
	}
	if !rewrite {
		return c, nil
	}
	const remedy = "Change these keys by hand; nothing was written."
	fresh, err := conf.Migrate(data, moves)
	if err != nil {
		return c, problem.New(problem.Invalid, remedy, "%s: %v.", path, err)
	}
	if left, err := d.Moves(fresh); err != nil || len(left) > 0 {
		return c, problem.New(problem.Invalid, remedy, "%s would not be right after that: %v %v.", path, left, err)
	}
	c.Backup, err = conf.Rewrite(path, fresh, time.Now())
	return c, err
}

// told prints it.
func (d Daemon) told(out *Out, c checked) {
	for _, m := range c.Old {
		out.Line("%s", m)
	}
	switch {
	case c.Backup != "":
		out.Line("The file has been rewritten; as it was it is kept in %s.", c.Backup)
	case len(c.Old) > 0:
		out.Line("They are taken all the same; sudo %s check --migrate rewrites the file.", d.Program)
	}
}

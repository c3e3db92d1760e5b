package fsm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/model"
	"primespark/shared/problem"
	"primespark/shared/task"
)

// Bounds of models.
const (
	MaxModels       = 256
	maxModelObjects = 512 // of one model
	maxModelNodes   = 64  // that one model is for
	maxModelEngines = 16
)

// A Model is a package that the fleet is to serve. Its bytes are objects on the
// coordinators' disks, which are kept as long as the model is.
type Model struct {
	Name    string        `json:"name"`
	Version string        `json:"version"`
	Bill    task.Object   `json:"bill"`              // lists its files, and the objects of each
	Objects []task.Object `json:"objects,omitempty"` // all of these
	Size    int64         `json:"size"`              // of the files together, in bytes
	Engines []string      `json:"engines,omitempty"` // that can run it, the first choice first
	Nodes   []string      `json:"nodes,omitempty"`   // that are to serve it; none: all agents that can
	Added   time.Time     `json:"added"`
	By      string        `json:"by"` // the actor who added it
}

// For reports whether a node is to serve the model.
func (m Model) For(node string) bool { return len(m.Nodes) == 0 || slices.Contains(m.Nodes, node) }

// ModelList returns the models in the order of their names.
func (s State) ModelList() []Model {
	return slices.SortedFunc(maps.Values(s.Models), func(a, b Model) int { return cmp.Compare(a.Name, b.Name) })
}

// ModelPut adds a model, or puts a package in the place of the one there was. The
// same one again changes nothing.
type ModelPut struct {
	Name    string        `json:"name"`
	Version string        `json:"version"`
	Bill    task.Object   `json:"bill"`
	Objects []task.Object `json:"objects"`
	Size    int64         `json:"size"`
	Engines []string      `json:"engines,omitempty"`
	Nodes   []string      `json:"nodes,omitempty"`
}

// Kind is model.put.
func (ModelPut) Kind() Kind { return KindModelPut }

func (cmd ModelPut) check() error {
	bad := !model.ValidName(cmd.Name) || !model.ValidName(cmd.Version) || !cmd.Bill.Valid() || cmd.Size < 0 ||
		len(cmd.Objects) == 0 || len(cmd.Objects) > maxModelObjects || len(cmd.Nodes) > maxModelNodes || len(cmd.Engines) > maxModelEngines
	for _, o := range cmd.Objects {
		bad = bad || !o.Valid()
	}
	for _, n := range cmd.Nodes {
		bad = bad || !fleet.ValidName(n)
	}
	for _, e := range cmd.Engines {
		bad = bad || !model.ValidName(e)
	}
	if bad {
		return problem.New(problem.Invalid, "Hand it in with prime-spark models add, of the coordinators' version.", "The model %.64q is not described as one.", cmd.Name)
	}
	return nil
}

func (c *change) modelPut(cmd ModelPut) (any, error) {
	if err := cmd.check(); err != nil {
		return nil, err
	}
	old, known := c.Models[cmd.Name]
	if known && old.Bill == cmd.Bill && slices.Equal(old.Nodes, cmd.Nodes) {
		return old.brief(), nil
	}
	if !known && len(c.Models) >= MaxModels {
		return nil, problem.New(problem.NoCapacity, "Remove one that is not needed: prime-spark models remove NAME.", "There are %d models already.", MaxModels)
	}
	m := Model{
		Name: cmd.Name, Version: cmd.Version, Bill: cmd.Bill, Objects: cmd.Objects, Size: cmd.Size, Engines: cmd.Engines, Nodes: cmd.Nodes,
		Added: c.at.UTC(), By: c.actor,
	}
	c.Models = put(c.Models, m.Name, m)
	did, where := "added", "every agent that can run it"
	if known {
		did = "replaced"
	}
	if len(m.Nodes) > 0 {
		where = strings.Join(m.Nodes, ", ")
	}
	c.event(Info, m.Name, "The model %s, version %s, was %s for %s.", m.Name, m.Version, did, shortened(where))
	return m.brief(), nil
}

// brief is the model as an answer: without its objects, of which there may be many.
func (m Model) brief() Model {
	m.Objects = nil
	return m
}

// shortened cuts a list for an event.
func shortened(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// ModelDrop takes a model out of the fleet.
type ModelDrop struct {
	Name string `json:"name"`
}

// Kind is model.drop.
func (ModelDrop) Kind() Kind { return KindModelDrop }

func (c *change) modelDrop(cmd ModelDrop) (any, error) {
	m, known := c.Models[cmd.Name]
	if !known {
		return nil, unknownModel(cmd.Name, c.Models)
	}
	c.Models, _ = without(c.Models, func(name string, _ Model) bool { return name == cmd.Name })
	c.event(Info, m.Name, "The model %s was removed from the fleet.", m.Name)
	return m.brief(), nil
}

func unknownModel(name string, models map[string]Model) error {
	there := "none"
	if len(models) > 0 {
		there = shortened(strings.Join(slices.Sorted(maps.Keys(models)), ", "))
	}
	return problem.New(problem.NotFound, fmt.Sprintf("There are: %s. Those that a node has of its own are removed on that node.", there),
		"The fleet was given no model %.64q.", name)
}

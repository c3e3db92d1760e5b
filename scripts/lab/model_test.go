package lab_test

import (
	"fmt"
	"strings"

	"github.com/anishathalye/porcupine"

	"primespark/shared/task"
)

// The model of what clients may be told. Each node is a register that is drained
// and undrained; each task is something that one node at a time has a claim to, and
// that is done once. Both are checked key by key: nothing is promised across keys.

// The calls of a history.
const (
	readNode = "read"
	setNode  = "set" // drain or undrain
	getTask  = "get"
	claim    = "claim"    // the task was in the answer to a lease call
	complete = "complete" // its completion was reported
)

// An input is a call about one key.
type input struct {
	key  string // node/NAME or task/ID
	call string
	to   string // state that a node is set to; node that claims or completes
	with uint32 // epoch of the lease that is completed
}

// An output is what came of it.
type output struct {
	unknown bool // no answer, or one that leaves it open
	stale   bool // refused: the lease has ended
	state   string
	node    string
	epoch   uint32
}

// A status is a key's value in the model. The zero one is a node that is approved,
// or a task that nobody has claimed.
type status struct {
	state string // of a node: "draining"; of a task: held, lapsed or finished
	node  string
	epoch uint32
}

const (
	held     = "held"
	lapsed   = "lapsed" // it was held until its lease ended
	finished = "finished"
)

var clusterModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		at := map[string]int{}
		for _, op := range history {
			key := op.Input.(input).key
			i, known := at[key]
			if !known {
				i = len(parts)
				at[key] = i
				parts = append(parts, nil)
			}
			parts[i] = append(parts[i], op)
		}
		return parts
	},
	Init: func() any { return status{} },
	Step: func(state, in, out any) (bool, any) {
		s, i, o := state.(status), in.(input), out.(output)
		if strings.HasPrefix(i.key, "node/") {
			return stepNode(s, i, o)
		}
		return stepTask(s, i, o)
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
}

// stepNode says whether a node's register can give that answer, and what it is
// afterwards. A change of unknown outcome may be put off to the end, where it
// changes nothing that anybody saw.
func stepNode(s status, i input, o output) (bool, status) {
	if s.state == "" {
		s.state = "approved"
	}
	if i.call == setNode {
		s.state = i.to
		return true, s
	}
	return o.state == s.state, s
}

// stepTask is the same for a task. That a lease ends is nobody's call: it shows in
// what is told later, and is possible at any time while it is held.
func stepTask(s status, i input, o output) (bool, status) {
	mine := s.state == held && s.epoch == i.with && s.node == i.to
	switch i.call {
	case claim:
		return s.state != finished && o.epoch > s.epoch, status{held, i.to, o.epoch}
	case complete:
		switch {
		case o.unknown:
			if mine {
				s.state = finished
			}
			return true, s
		case o.stale:
			if mine {
				s.state = lapsed
			}
			return s.state != finished || s.epoch != i.with, s
		}
		ok := mine || s.state == finished && s.epoch == i.with
		s.state = finished
		return ok, s
	}
	if o.epoch != s.epoch {
		return false, s
	}
	switch o.state {
	case string(task.Done):
		return s.state == finished, s
	case string(task.Leased):
		return s.state == held && s.node == o.node, s
	}
	if s.state == held {
		s.state = lapsed
	}
	return s.state != finished, s
}

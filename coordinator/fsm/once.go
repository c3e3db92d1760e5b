package fsm

import (
	"encoding/json"
	"fmt"

	"primespark/shared/problem"
	"primespark/shared/task"
)

// A Call tells a call that has an Idempotency-Key from others. The zero Call has
// none.
type Call struct {
	Key  string
	Hash string // of the call: its method, path and body
}

// Once is a command that is carried out at most once for a call, for task.KeyFor.
// Whoever proposes it again gets the answer of the first time, whatever has
// happened since.
type Once struct {
	Command
	Call Call
}

// maxAnswer bounds the answer that is kept for a call.
const maxAnswer = 8 << 10

// recall finds what was done by a call. An error says that it is refused.
func (c *change) recall(i Idem) (done Idem, ok bool, err error) {
	if old, there := c.Tasks.keys.Get(i.name()); there && old.Until.After(c.at) {
		if old.Hash != i.Hash {
			return old, true, problem.New(problem.Conflict, "Use a fresh key for another call.",
				"The Idempotency-Key was used for another call within the last 24 hours.")
		}
		return old, true, nil
	}
	if c.Tasks.keys.Len() >= maxIdem {
		return done, false, problem.New(problem.Busy, "Try again later, or without an Idempotency-Key.", "There are %d keys of the last 24 hours, and more are not kept.", maxIdem)
	}
	return done, false, nil
}

// applyOnce is apply for an entry with a key.
func (c *change) applyOnce(h handler, e Entry) (v any, refused, bad error) {
	i := Idem{Actor: c.actor, Key: e.Key, Hash: e.Hash, Until: c.at.Add(task.KeyFor)}
	done, ok, err := c.recall(i)
	if err != nil || ok {
		return done.Answer, err, nil
	}
	v, refused, bad = h.apply(c, e.Body)
	if refused != nil || bad != nil {
		return v, refused, bad
	}
	answer, err := json.Marshal(v)
	if err == nil && len(answer) > maxAnswer {
		err = fmt.Errorf("the answer to %s has %d bytes", e.Kind, len(answer))
	}
	if err != nil {
		return nil, nil, err
	}
	i.Answer = answer
	c.Tasks.remember(i)
	return i.Answer, nil, nil
}

package fsm

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"primespark/shared/problem"
	"primespark/shared/watch"
)

// NewLight returns an FSM for a witness, which has to know the nodes and the
// denied keys, and none of what makes a state large: its State is the group's
// without the tasks, the calls about tasks, the events, the models and the record of backups.
// So its checksum is of no use, what it answers to a command is not the group's
// answer, and its own snapshot would not be one of the state.
func NewLight() *FSM { return &FSM{state: watch.New(State{}), light: true} }

// heavy are the commands that change only what a light FSM leaves out.
var heavy = []Kind{KindTasks, KindBackup, KindModelPut, KindModelDrop}

// errLight is the answer to whoever asks a light FSM.
var errLight = problem.New(problem.NotReady, "Ask another coordinator.", "A witness keeps the log, and knows little of what it says.")

// applyLight is Apply for what a light FSM keeps.
func (f *FSM) applyLight(old State, l *raft.Log) Result {
	e, err := openEntry(l.Data)
	if err != nil {
		panic(fmt.Sprintf("raft log %d is not a command: %v", l.Index, err))
	}
	next := old
	if !slices.Contains(heavy, e.Kind) {
		next, _, _ = old.apply(l.Index, e)
		next.Tasks.lapse(e.At.Add(-time.Hour)) // clocks differ
	}
	next.Index, next.Events = l.Index, nil
	f.state.Store(next)
	return Result{Err: errLight}
}

// ReadLight reads what WriteTo wrote as a light FSM keeps it, in little memory
// however large the state is. It refuses a snapshot of which a byte differs.
func ReadLight(r io.Reader) (State, error) {
	in := bufio.NewReaderSize(r, maxHeader)
	h, err := readHeader(in)
	if err != nil {
		return State{}, err
	}
	sum := sha256.New()
	body := &counted{in: io.TeeReader(io.LimitReader(in, h.Size+1), sum)}
	s, bad := lightly(body)
	if _, err := io.Copy(io.Discard, body); err != nil {
		return State{}, fmt.Errorf("read snapshot: %w", err)
	}
	switch {
	case body.size != h.Size || hex.EncodeToString(sum.Sum(nil)) != h.SHA256:
		return State{}, fmt.Errorf("%w: size or checksum differ from its header", ErrSnapshot)
	case bad != nil:
		return State{}, fmt.Errorf("%w: %w", ErrSnapshot, bad)
	case s.Index != h.Index:
		return State{}, fmt.Errorf("%w: index %d, its header says %d", ErrSnapshot, s.Index, h.Index)
	}
	return s, nil
}

// counted counts what is read through it.
type counted struct {
	in   io.Reader
	size int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	c.size += int64(n)
	return n, err
}

// lightly decodes a State field by field and skips those that are left out.
func lightly(r io.Reader) (s State, err error) {
	d := json.NewDecoder(r)
	fields := map[string]any{
		"index": &s.Index, "cluster": &s.Cluster, "nodes": &s.Nodes, "codes": &s.Codes, "tokens": &s.Tokens,
		"denied": &s.Denied, "former": &s.Former, "seq": &s.Seq, "gossip": &s.Gossip, "mesh": &s.Mesh,
	}
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return s, orNot(err, "it is not an object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return s, err
		}
		name, _ := t.(string) // the key of a field is nothing else
		switch into, kept := fields[name]; {
		case kept:
			err = d.Decode(into)
		case name == "tasks":
			err = s.Tasks.lightly(d)
		default:
			err = skip(d)
		}
		if err != nil {
			return s, err
		}
	}
	_, err = d.Token()
	return s, err
}

// lightly decodes of the tasks the calls that were about none, such as to revoke a
// node: these are done once, by a light FSM too.
func (ts *Tasks) lightly(d *json.Decoder) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return orNot(err, "its tasks are no object")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		if name != "keys" {
			err = skip(d)
		} else {
			err = ts.calls(d)
		}
		if err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func (ts *Tasks) calls(d *json.Decoder) error {
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return orNot(err, "its calls are no list")
	}
	for d.More() {
		var i Idem
		if err := d.Decode(&i); err != nil {
			return err
		}
		if i.Answer != nil {
			ts.remember(i)
		}
	}
	_, err := d.Token()
	return err
}

// lapse forgets the calls whose time is over.
func (ts *Tasks) lapse(at time.Time) {
	for when, name := range ts.lapses.From("") {
		if when >= stamp(at) {
			return
		}
		ts.forget(name)
	}
}

// skip reads one value, piece by piece.
func skip(d *json.Decoder) error {
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

func orNot(err error, text string) error {
	if err != nil {
		return err
	}
	return errors.New(text)
}

package fsm

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"

	"primespark/coordinator/fsm/ordered"
	"primespark/shared/task"
)

// Tasks are the task queue and what is remembered of it, as one version of the
// agreed state. Like a State, one that was handed out is never changed; the next
// shares nearly all of it.
type Tasks struct {
	rows   ordered.Map[*row]     // by id
	keys   ordered.Map[Idem]     // by actor and key
	leases uint64                // how many there have been
	states [len(task.States)]int // how many tasks are in each
	live   load                  // what is not final
	final  load
	digest digest // of all rows and keys

	// What follows finds rows; the keys end in the task's id.
	byState ordered.Map[struct{}] // state
	ready   ordered.Map[struct{}] // kind, model and rank
	timers  ordered.Map[struct{}] // when something happens by itself
	held    ordered.Map[struct{}] // node
	ended   ordered.Map[struct{}] // when it became final; the dead after all others
	lapses  ordered.Map[string]   // when a key of keys is forgotten -> that key
	objects ordered.Map[int]      // SHA-256 of an object -> how often it is referred to

	stand bool // these are no tasks: they stand for some that are written elsewhere
}

// A row is a task and its part of the digest.
type row struct {
	task.Task
	sum digest
}

// A load is how many tasks there are, and what they weigh.
type load struct{ count, bytes int }

func (l *load) add(t task.Task, n int) {
	l.count += n
	l.bytes += n * t.Size()
}

// Idem is what was done by a call with an Idempotency-Key.
type Idem struct {
	Actor string    `json:"actor"`
	Key   string    `json:"key"`
	Hash  string    `json:"hash"` // of the call
	ID    string    `json:"id"`   // of the task that it was about
	Until time.Time `json:"until"`
	// Answer is what was answered, if it was about no task.
	Answer json.RawMessage `json:"answer,omitempty"`
}

func (i Idem) name() string { return i.Actor + "\n" + i.Key }

// A digest is the exclusive or of the SHA-256 of all parts: it follows a change
// without a look at the rest, and equal sets have equal ones.
type digest [sha256.Size]byte

func (d *digest) flip(part digest) {
	for i := range d {
		d[i] ^= part[i]
	}
}

// digestOf is the part of one value. Inputs and results are in it by length and CRC.
func digestOf(v any, large ...[]byte) digest {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("a part of the state cannot be encoded: %v", err)) // its times are checked before they get in
	}
	for _, l := range large {
		b = binary.BigEndian.AppendUint32(b, uint32(len(l)))
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(l, castagnoli))
	}
	return sha256.Sum256(b)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum tells this version of the tasks from others; "" of none.
func (ts Tasks) Sum() string {
	if ts.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d-%s", ts.leases, hex.EncodeToString(ts.digest[:]))
}

// IsZero reports whether there has never been a task, as far as is remembered.
func (ts Tasks) IsZero() bool {
	return ts.rows.Len() == 0 && ts.keys.Len() == 0 && ts.leases == 0 && !ts.stand
}

// stamp is a time as part of an index key, in milliseconds.
func stamp(at time.Time) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(at.UnixMilli(), 0)))
	return string(b[:])
}

func queueOf(kind task.Kind, model string) string { return string(kind) + "/" + model + "\x00" }

// idIn is the task's id at the end of an index key.
func idIn(key string) string { return key[len(key)-task.IDLen:] }

// put adds a task or replaces it, in all indexes.
func (ts *Tasks) put(t task.Task) {
	ts.drop(t.ID)
	r := &row{t, digestOf(t.Head(), t.Input, t.Result)}
	ts.rows = ts.rows.With(t.ID, r)
	ts.index(r, 1, func(m *ordered.Map[struct{}], key string) { *m = m.With(key, struct{}{}) })
}

// drop forgets a task, which need not be there.
func (ts *Tasks) drop(id string) {
	if r, ok := ts.rows.Get(id); ok {
		ts.rows = ts.rows.Without(id)
		ts.index(r, -1, func(m *ordered.Map[struct{}], key string) { *m = m.Without(key) })
	}
}

// index enters a row into all that is kept besides rows, or takes it out.
func (ts *Tasks) index(r *row, n int, do func(*ordered.Map[struct{}], string)) {
	ts.digest.flip(r.sum)
	ts.states[ordinal(r.State)] += n
	for _, o := range r.Objects() {
		ts.refer(o.SHA256, n)
	}
	do(&ts.byState, string(r.State)+"/"+r.ID)
	if at := timer(r.Task); !at.IsZero() {
		do(&ts.timers, stamp(at)+r.ID)
	}
	switch {
	case r.State.Final():
		ts.final.add(r.Task, n)
		do(&ts.ended, endedKey(r.Task))
		return
	case r.State == task.Ready:
		do(&ts.ready, queueOf(r.Kind, r.Model)+stamp(r.Rank())+r.ID)
	case r.State == task.Leased:
		do(&ts.held, r.Node+"/"+r.ID)
	}
	ts.live.add(r.Task, n)
}

// refer counts who refers to an object.
func (ts *Tasks) refer(sha string, n int) {
	was, _ := ts.objects.Get(sha)
	if was+n == 0 {
		ts.objects = ts.objects.Without(sha)
		return
	}
	ts.objects = ts.objects.With(sha, was+n)
}

func ordinal(s task.State) int {
	for i, one := range task.States {
		if s == one {
			return i
		}
	}
	panic(fmt.Sprintf("task state %q", s)) // ReadState refuses such a thing
}

// endedKey puts the dead, which somebody may want to requeue, after the rest.
func endedKey(t task.Task) string {
	if t.State == task.Dead {
		return "b" + stamp(t.Changed) + t.ID
	}
	return "a" + stamp(t.Changed) + t.ID
}

// How long tasks are kept when they are final.
const (
	keepDone = 24 * time.Hour // as long as keys
	keepDead = 30 * 24 * time.Hour
)

// timer is when something happens to a task by itself; zero for never.
func timer(t task.Task) time.Time {
	switch t.State {
	case task.Scheduled, task.Retryable:
		if !t.Deadline.IsZero() && t.Deadline.Before(t.Due) {
			return t.Deadline
		}
		return t.Due
	case task.Done, task.Cancelled:
		return t.Changed.Add(keepDone)
	case task.Dead:
		return t.Changed.Add(keepDead)
	}
	return t.Deadline
}

// remember keeps what was done by a call with a key.
func (ts *Tasks) remember(i Idem) {
	ts.forget(i.name())
	ts.keys = ts.keys.With(i.name(), i)
	ts.lapses = ts.lapses.With(stamp(i.Until)+i.name(), i.name())
	ts.digest.flip(digestOf(i))
}

func (ts *Tasks) forget(name string) {
	if i, ok := ts.keys.Get(name); ok {
		ts.keys = ts.keys.Without(name)
		ts.lapses = ts.lapses.Without(stamp(i.Until) + name)
		ts.digest.flip(digestOf(i))
	}
}

// tasksJSON is how the tasks stand in a snapshot: the rest is made of these.
type tasksJSON struct {
	Leases uint64      `json:"leases"`
	List   []task.Task `json:"list,omitempty"`
	Keys   []Idem      `json:"keys,omitempty"`
}

// standIn is the JSON of tasks that stand for others.
const standIn = `"tasks"`

// encode writes what MarshalJSON gives.
func (ts Tasks) encode(w *bufio.Writer) error {
	fmt.Fprintf(w, `{"leases":%d`, ts.leases)
	l := list{to: w}
	l.json = json.NewEncoder(&l.element)
	for _, r := range ts.rows.From("") {
		if err := l.add(`,"list":[`, &r.Task); err != nil {
			return err
		}
	}
	l.end()
	for _, i := range ts.keys.From("") {
		if err := l.add(`,"keys":[`, &i); err != nil {
			return err
		}
	}
	l.end()
	return w.WriteByte('}')
}

// A list is written value by value, in the same memory.
type list struct {
	to      *bufio.Writer
	begun   bool
	element bytes.Buffer
	json    *json.Encoder // to element
}

// add writes one value; the first after the opening.
func (l *list) add(opening string, v any) error {
	l.element.Reset()
	if err := l.json.Encode(v); err != nil {
		return err
	}
	if l.begun {
		opening = ","
	}
	l.begun = true
	l.to.WriteString(opening) // a failure shows with the next
	_, err := l.to.Write(bytes.TrimSuffix(l.element.Bytes(), []byte("\n")))
	return err
}

// end ends a list, if there was one.
func (l *list) end() {
	if l.begun {
		l.to.WriteByte(']')
	}
	l.begun = false
}

// MarshalJSON writes the tasks in the order of their ids, and the keys in theirs.
func (ts Tasks) MarshalJSON() ([]byte, error) {
	if ts.stand {
		return []byte(standIn), nil
	}
	j := tasksJSON{Leases: ts.leases, List: make([]task.Task, 0, ts.rows.Len()), Keys: make([]Idem, 0, ts.keys.Len())}
	for _, r := range ts.rows.From("") {
		j.List = append(j.List, r.Task)
	}
	for _, i := range ts.keys.From("") {
		j.Keys = append(j.Keys, i)
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (ts *Tasks) UnmarshalJSON(b []byte) error {
	var j tasksJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*ts = Tasks{leases: j.Leases}
	for _, t := range j.List {
		if !task.ValidID(t.ID) || !t.State.Valid() {
			return fmt.Errorf("task %.40q in state %.20q is none", t.ID, t.State)
		}
		ts.put(t)
	}
	for _, i := range j.Keys {
		ts.remember(i)
	}
	return nil
}

package fsm

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// A snapshot is one line of JSON, the header, and then the State in JSON.
type header struct {
	Format   int    `json:"format"` // 1
	Index    uint64 `json:"index"`
	Size     int64  `json:"size"`               // of the state in bytes
	SHA256   string `json:"sha256"`             // of these bytes
	Checksum string `json:"checksum,omitempty"` // State.Checksum; without tasks it is SHA256
}

// Bounds of what is read.
const (
	snapshotFormat = 1
	maxHeader      = 1 << 10
	maxSnapshot    = 256 << 20
)

// ErrSnapshot is the kind of an error that lies in the bytes of a snapshot.
var ErrSnapshot = errors.New("the snapshot is damaged")

// WriteTo writes the state as a snapshot.
func (s State) WriteTo(w io.Writer) (int64, error) {
	return s.writeTo(w, func(w io.Writer) io.Writer { return w })
}

// writeTo is WriteTo by a writer of the caller's choice.
func (s State) writeTo(w io.Writer, by func(io.Writer) io.Writer) (int64, error) {
	// Its length and sum come first, so it is encoded twice: a queue that is full
	// would take 100 MiB and more if it were kept in between.
	sum := sha256.New()
	size, err := s.encode(by(sum))
	if err != nil {
		return 0, fmt.Errorf("encode snapshot: %w", err)
	}
	head, err := json.Marshal(header{snapshotFormat, s.Index, size, hex.EncodeToString(sum.Sum(nil)), s.Checksum()})
	if err != nil {
		return 0, fmt.Errorf("encode snapshot: %w", err)
	}
	n, err := w.Write(append(head, '\n'))
	if err != nil {
		return int64(n), fmt.Errorf("write snapshot: %w", err)
	}
	m, err := s.encode(by(w))
	if err != nil {
		err = fmt.Errorf("write snapshot: %w", err)
	}
	return int64(n) + m, err
}

// encode writes what json.Marshal of the state gives, task by task.
func (s State) encode(w io.Writer) (int64, error) {
	count := &counter{w: w}
	out := bufio.NewWriterSize(count, 64<<10)
	tasks := s.Tasks
	if !tasks.IsZero() {
		s.Tasks = Tasks{stand: true}
	}
	body, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	before, after, found := bytes.Cut(body, []byte(`"tasks":`+standIn)) // no string of JSON has a bare quote in it
	// What cannot be written shows when it is flushed.
	out.Write(before)
	if found {
		out.WriteString(`"tasks":`)
		if err := tasks.encode(out); err != nil {
			return count.n, err
		}
		out.Write(after)
	}
	err = out.Flush()
	return count.n, err
}

// A counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// ReadState reads what WriteTo wrote, and refuses it if a single byte differs.
func ReadState(r io.Reader) (State, error) {
	in := bufio.NewReaderSize(r, maxHeader)
	h, err := readHeader(in)
	if err != nil {
		return State{}, err
	}
	body, err := io.ReadAll(io.LimitReader(in, h.Size+1))
	if err != nil {
		return State{}, fmt.Errorf("read snapshot: %w", err)
	}
	sum := sha256.Sum256(body)
	if int64(len(body)) != h.Size || hex.EncodeToString(sum[:]) != h.SHA256 {
		return State{}, fmt.Errorf("%w: size or checksum differ from its header", ErrSnapshot)
	}
	var s State
	if err := json.Unmarshal(body, &s); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if s.Index != h.Index {
		return State{}, fmt.Errorf("%w: index %d, its header says %d", ErrSnapshot, s.Index, h.Index)
	}
	if h.Checksum != "" && s.Checksum() != h.Checksum {
		return State{}, fmt.Errorf("%w: the state that it makes is not the one that was saved", ErrSnapshot)
	}
	return s, nil
}

// readHeader reads the first line of a snapshot.
func readHeader(in *bufio.Reader) (h header, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return h, fmt.Errorf("%w: no header: %w", ErrSnapshot, err)
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return h, fmt.Errorf("%w: header: %w", ErrSnapshot, err)
	}
	if h.Format != snapshotFormat {
		return h, fmt.Errorf("snapshot format %d: this coordinator reads %d; update it", h.Format, snapshotFormat)
	}
	if h.Size < 0 || h.Size > maxSnapshot {
		return h, fmt.Errorf("%w: size %d", ErrSnapshot, h.Size)
	}
	return h, nil
}

// Snapshot hands out the current State, which no later Apply changes.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) { return snapshot{f.state.Get()}, nil }

// Restore replaces the whole state by that of a snapshot.
func (f *FSM) Restore(r io.ReadCloser) error {
	defer r.Close()
	read := ReadState
	if f.light {
		read = ReadLight
	}
	s, err := read(r)
	if err != nil {
		return err
	}
	f.ring = s.Events[:len(s.Events):len(s.Events)] // the next append copies
	f.state.Store(s)
	return nil
}

type snapshot struct{ state State }

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := s.state.writeTo(sink, func(w io.Writer) io.Writer { return &unhurried{to: w} }); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (snapshot) Release() {}

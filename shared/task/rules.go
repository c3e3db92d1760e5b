package task

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"time"

	"primespark/shared/model"
	"primespark/shared/problem"
)

// Check reports what is wrong with a spec at time at, as a *problem.Error.
func (s Spec) Check(at time.Time) error {
	switch {
	case !s.Kind.Valid():
		return problem.New(problem.Invalid, "Use infer or noop.", "There are no tasks of kind %.32q.", s.Kind)
	case len(s.Input) > MaxInput:
		return problem.New(problem.TooLarge, "Hand the image in as an object (PUT /v1/objects), and refer to it.", "The input has %d bytes, at most %d are allowed.", len(s.Input), MaxInput)
	case s.Priority != nil && (*s.Priority < 0 || *s.Priority > MaxPriority):
		return problem.New(problem.Invalid, "Give 0 (first) to 7.", "The priority %d is out of bounds.", *s.Priority)
	case s.MaxAttempts < 0 || s.MaxAttempts > MaxAttempts:
		return problem.New(problem.Invalid, "Give 1 to 100, or nothing for 10.", "There cannot be %d attempts.", s.MaxAttempts)
	case s.NotBefore.After(at.Add(MaxHorizon)) || s.Deadline.After(at.Add(MaxHorizon)):
		return problem.New(problem.Invalid, "Give a time within a year.", "not_before or deadline is too far off.")
	case !s.Deadline.IsZero() && (!s.Deadline.After(at) || !s.Deadline.After(s.NotBefore)):
		return problem.New(problem.Invalid, "Give a deadline that is still to come, after not_before.", "The task could not be done by its deadline.")
	}
	return s.checkInput()
}

func (s Spec) checkInput() error {
	if s.Kind == Noop {
		var in NoopInput
		if err := strict(s.Input, &in); len(s.Input) > 0 && err != nil || in.Millis < 0 || in.Millis > MaxNoop || len(in.Fail) > MaxError {
			return problem.New(problem.Invalid, `Send {"ms": 0, "fail": ""}, or nothing.`, "The input is not that of a noop.")
		}
		if s.Model != "" {
			return problem.New(problem.Invalid, "Leave the model out.", "A noop has no model.")
		}
		return nil
	}
	if !model.ValidName(s.Model) {
		return problem.New(problem.Invalid, "Give the name of a model; list them: prime-spark models.", "The model %.64q is not valid.", s.Model)
	}
	var in InferInput
	if err := strict(s.Input, &in); err != nil || (len(in.Image) == 0) == (in.Object == nil) {
		return problem.New(problem.Invalid, `Send {"image": "..."} with a JPEG, PNG, WebP, BMP or TIFF in base64, or {"object": {"sha256": "...", "size": 1}} of one that was handed in before.`, "The input is not that of an inference.")
	}
	if in.Object != nil {
		if _, ok := InputObject(s.Kind, s.Input); !ok {
			return problem.New(problem.Invalid, "Give it as PUT /v1/objects answered.", "The input refers to no possible object.")
		}
	}
	return nil
}

// strict decodes one JSON value whose fields v all has.
func strict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// New is the task of a checked spec that by submitted at time at.
func (s Spec) New(id, by string, at time.Time) Task {
	t := Task{
		ID: id, Kind: s.Kind, Model: s.Model, Input: s.Input, Priority: DefaultPrio,
		NotBefore: s.NotBefore.UTC(), Deadline: s.Deadline.UTC(), MaxAttempts: DefaultAttempt,
		State: Ready, By: by, Created: at, Changed: at, Due: at,
	}
	if s.Priority != nil {
		t.Priority = *s.Priority
	}
	if s.MaxAttempts > 0 {
		t.MaxAttempts = s.MaxAttempts
	}
	if s.NotBefore.After(at) {
		t.State, t.Due = Scheduled, t.NotBefore
	}
	return t
}

// Ageing is how long a task waits until it is worth as much as a fresh one of
// the next better priority. One of the last priority is overtaken for at most
// MaxPriority times as long.
const Ageing = time.Minute

// Rank orders ready tasks, the least first: priority, and age. As all tasks age
// alike, their order does not change with time.
func (t Task) Rank() time.Time { return t.Due.Add(time.Duration(t.Priority) * Ageing) }

// The pause after a failed attempt, before the next.
const (
	minBackoff = time.Second
	maxBackoff = 5 * time.Minute
)

// Backoff is the pause after the attempt of that number, 1 and up. It is drawn
// evenly from a window that doubles with each attempt, from 1 s to 5 min ("full
// jitter": tasks that failed together do not come back together). draw is a
// random number over all its range.
func Backoff(attempt int, draw uint32) time.Duration {
	window := float64(min(maxBackoff, minBackoff<<min(max(attempt-1, 0), 20)))
	return time.Duration(window * float64(draw) / (math.MaxUint32 + 1.0)).Truncate(time.Millisecond)
}

var ids = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// IDLen is the length of an id: 16 bytes in base32.
const IDLen = 26

// NewID makes an id: 48 bits of time, so that ids are in the order of
// submission, and 80 random ones.
func NewID(at time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(at.UnixMilli())<<16)
	rand.Read(b[6:]) // never fails
	return ids.EncodeToString(b[:])
}

// ValidID reports whether s looks like an id.
func ValidID(s string) bool {
	return len(s) == IDLen && strings.Trim(s, "0123456789abcdefghijklmnopqrstuv") == ""
}

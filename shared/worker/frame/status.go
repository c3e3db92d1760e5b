package frame

import (
	"encoding/json"
	"fmt"
)

// A Status tells what became of a request: 0 is done, a positive number is the
// engine's own, and a negative one is said by the worker, the same for every engine.
type Status int32

// What workers say.
const (
	OK          Status = 0
	Malformed   Status = -1  // the request is nonsense: a fault of the agent
	NoLibrary   Status = -2  // the engine's library is missing, or lacks functions
	Unknown     Status = -3  // a version of the library that the worker does not know
	Layout      Status = -4  // the library describes the model otherwise than its file does
	Full        Status = -5  // more inferences at a time than the model's depth
	Broken      Status = -6  // an inference of this model failed before; replace the worker
	Memory      Status = -7  // the worker has no memory left, or no threads
	Unsupported Status = -8  // the engine cannot do this
	NoDevice    Status = -9  // the library sees no accelerator
	Crashed     Status = -10 // the engine raised what its interface does not know
	TooLarge    Status = -11 // outputs whose sizes the data decide have no room in the arena
)

var statusNames = map[Status]string{
	OK: "ok", Malformed: "malformed request", NoLibrary: "no library", Unknown: "unknown library version",
	Layout: "library and model file disagree", Full: "too many at a time", Broken: "model is broken", Memory: "out of memory",
	Unsupported: "not supported", NoDevice: "no device", Crashed: "engine crashed",
	TooLarge: "outputs too large",
}

func (s Status) String() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return fmt.Sprintf("status %d", int32(s))
}

// A Failure is why a request failed, and the payload of such a reply.
type Failure struct {
	Type   Type   `json:"-"`
	Status Status `json:"-"`
	Call   string `json:"call,omitempty"`   // the library's function that failed
	Text   string `json:"text,omitempty"`   // the library's name for the status
	Detail string `json:"detail,omitempty"` // what else the worker knows
}

func (f *Failure) Error() string {
	s := fmt.Sprintf("worker: %v: ", f.Type)
	if f.Call != "" {
		s += f.Call + ": "
	}
	s += f.Status.String()
	if f.Text != "" {
		s += " (" + f.Text + ")"
	}
	if f.Detail != "" {
		s += ": " + f.Detail
	}
	return s
}

// Err returns the *Failure that a reply stands for, or nil.
func (m Message) Err() error {
	if m.Status == OK {
		return nil
	}
	f := &Failure{}
	if err := json.Unmarshal(m.Payload, f); err != nil && len(m.Payload) > 0 {
		f = &Failure{Detail: fmt.Sprintf("and its words are no JSON: %.80q", m.Payload)}
	}
	f.Type, f.Status = m.Type, m.Status
	return f
}

// Fail returns the reply to m that says f.
func (m Message) Fail(f Failure) Message {
	r := m.Answer(nil)
	r.Status = f.Status
	r.Payload, _ = json.Marshal(f) // three strings, so it cannot fail
	return r
}

// Answer returns the reply to m with a payload.
func (m Message) Answer(payload []byte) Message {
	return Message{Payload: payload, Header: Header{Type: m.Type, Reply: true, Seq: m.Seq, Model: m.Model}}
}

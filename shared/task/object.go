package task

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"primespark/shared/problem"
)

// An Object refers to bytes that are too large for the queue, such as a photo:
// the coordinators keep them on their disks, by what they are. It never changes.
type Object struct {
	SHA256 string `json:"sha256"` // hexadecimal, lower case
	Size   int64  `json:"size"`   // bytes
}

// MaxObject bounds an object, in bytes; it holds any photo.
const MaxObject = 32 << 20

// maxReference is more than the JSON of an input takes that refers to an object.
const maxReference = 256

// ObjectOf is the reference to these bytes.
func ObjectOf(b []byte) Object {
	sum := sha256.Sum256(b)
	return Object{hex.EncodeToString(sum[:]), int64(len(b))}
}

// Valid reports whether o can refer to anything.
func (o Object) Valid() bool { return ValidSHA256(o.SHA256) && o.Size > 0 && o.Size <= MaxObject }

// ValidSHA256 reports whether s looks like the name of an object.
func ValidSHA256(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}

// Check compares bytes that came from elsewhere with the reference to them.
func (o Object) Check(b []byte) error {
	if got := ObjectOf(b); got != o {
		return problem.New(problem.Unreachable, "Try again; another coordinator may have it whole.",
			"The object %.16s came with %d bytes that are not it.", o.SHA256, len(b))
	}
	return nil
}

// InputObject is the object that the input of a task refers to.
func InputObject(k Kind, input json.RawMessage) (Object, bool) {
	if k != Infer || len(input) > maxReference {
		return Object{}, false
	}
	var in InferInput
	if json.Unmarshal(input, &in) != nil || in.Object == nil || !in.Object.Valid() {
		return Object{}, false
	}
	return *in.Object, true
}

// Objects are what the task refers to: while it is kept, so are they.
func (t Task) Objects() (all []Object) {
	if o, ok := InputObject(t.Kind, t.Input); ok {
		all = append(all, o)
	}
	if t.ResultObject != nil {
		all = append(all, *t.ResultObject)
	}
	return all
}

package wire

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"primespark/shared/problem"
	"primespark/shared/task"
)

// PathObjects is where objects are handed in, and PathMissing where a coordinator
// asks another which of its objects that one lacks.
const (
	PathObjects = "/v1/objects"
	PathMissing = PathObjects + ":missing"
)

// ObjectPath is the path of one object.
func ObjectPath(sha256 string) string { return PathObjects + "/" + url.PathEscape(sha256) }

// ObjectBody answers PUT /v1/objects: what to refer to it by, and who keeps it.
type ObjectBody struct {
	task.Object
	Holders []string `json:"holders"` // coordinators that have it on their disks
}

// MissingBody is the body of POST /v1/objects:missing and its answer: the names
// of objects, and of these the ones that are not there.
type MissingBody struct {
	Objects []string `json:"objects"` // at most MaxMissing
}

// MaxMissing bounds the names in one such call.
const MaxMissing = 500

// PutObject hands bytes in, to be referred to. It may be sent twice: the same
// bytes are the same object.
func (c *Client) PutObject(ctx context.Context, data []byte) (b ObjectBody, err error) {
	if len(data) > task.MaxObject {
		return b, problem.New(problem.TooLarge, "Send a smaller image, or a JPEG instead of a PNG.",
			"There are %d bytes, at most %d are allowed.", len(data), task.MaxObject)
	}
	a, err := c.do(ctx, call{
		method: http.MethodPut, path: PathObjects, body: data, safe: true, header: http.Header{"Content-Type": {"application/octet-stream"}},
	})
	if err != nil {
		return b, err
	}
	if err = a.decode(&b); err != nil {
		return b, err
	}
	if b.Object != task.ObjectOf(data) {
		return b, problem.New(problem.Unexpected, "Try again; if it happens again, check this host's memory.", "%s keeps other bytes than were sent.", a.base)
	}
	return b, nil
}

// Object fetches an object, and returns it if it is the one that is meant.
func (c *Client) Object(ctx context.Context, o task.Object) ([]byte, error) {
	if !o.Valid() {
		return nil, problem.New(problem.Invalid, "Give it as PUT /v1/objects answered.", "The reference %.80q is of no possible object.", fmt.Sprint(o))
	}
	a, err := c.do(ctx, call{method: http.MethodGet, path: ObjectPath(o.SHA256), safe: true})
	if err != nil {
		return nil, err
	}
	return a.body, o.Check(a.body)
}

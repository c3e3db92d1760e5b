// Package problem is the shape of an error that crosses an API: what went
// wrong, and what the person in front of it can do.
package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// A Code names a kind of problem. Clients switch on it, so it never changes
// its meaning.
type Code string

// The codes. Status gives the HTTP status of each.
const (
	Invalid      Code = "invalid"      // 400: the request is wrong and stays wrong
	Unauthorized Code = "unauthorized" // 401: no, or no valid, token or certificate
	Forbidden    Code = "forbidden"    // 403: known, and not allowed
	NotFound     Code = "not_found"    // 404
	BadMethod    Code = "bad_method"   // 405
	Conflict     Code = "conflict"     // 409: the state of things forbids it
	StaleLease   Code = "stale_lease"  // 409: the lease has passed to another
	TooLarge     Code = "too_large"    // 413
	BadMedia     Code = "bad_media"    // 415: not an image or encoding that is understood
	Busy         Code = "busy"         // 429: the queue is full; later, or elsewhere
	Unexpected   Code = "unexpected"   // 500: a fault of ours
	Unreachable  Code = "unreachable"  // 502: the node that should answer does not
	NotReady     Code = "not_ready"    // 503: starting, draining or loading
	NoLeader     Code = "no_leader"    // 503
	NoQuorum     Code = "no_quorum"    // 503
	NoCapacity   Code = "no_capacity"  // 503: no node can do it now
	Deadline     Code = "deadline"     // 504: not done in the time that was given
)

var statuses = map[Code]int{
	Invalid: 400, Unauthorized: 401, Forbidden: 403, NotFound: 404, BadMethod: 405,
	Conflict: 409, StaleLease: 409, TooLarge: 413, BadMedia: 415, Busy: 429, Unexpected: 500,
	Unreachable: 502, NotReady: 503, NoLeader: 503, NoQuorum: 503, NoCapacity: 503, Deadline: 504,
}

// Codes are all codes, sorted.
func Codes() []Code { return slices.Sorted(maps.Keys(statuses)) }

// Status is the HTTP status of a code; 500 for one it does not know.
func (c Code) Status() int {
	if s, ok := statuses[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// An Error is a problem with its remedy.
type Error struct {
	Code       Code          `json:"code"`
	Detail     string        `json:"detail"`           // one sentence: what happened
	Remedy     string        `json:"remedy,omitempty"` // one sentence: what to do
	Err        error         `json:"-"`                // the cause, for the log; the client never sees it
	RetryAfter time.Duration `json:"-"`                // for busy and the 503s; 1 s if zero
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Detail
	}
	return e.Detail + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// New returns a problem; detail is formatted as by fmt.Sprintf.
func New(code Code, remedy, detail string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(detail, args...), Remedy: remedy}
}

// Of finds the problem in err. A cause that is none becomes an Unexpected one,
// of which a client sees only that it happened.
func Of(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Error{
			Code: TooLarge, Err: err,
			Detail: fmt.Sprintf("The request body is larger than %d bytes.", tooLarge.Limit),
			Remedy: "Send a smaller body; for images, a JPEG instead of raw tensors.",
		}
	}
	return &Error{
		Code: Unexpected, Detail: "Something unexpected happened on this node.",
		Remedy: "Its log says why; try again or report it.", Err: err,
	}
}

// Is reports whether err is a problem of the given code.
func Is(err error, code Code) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}

// Write answers a request with err, as {"error": {"code", "detail", "remedy"}}.
// The caller logs what is Unexpected.
func Write(w http.ResponseWriter, err error) {
	e := Of(err)
	Header(w, e)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Code.Status())
	// A client that went away is no fault of ours.
	_ = json.NewEncoder(w).Encode(map[string]*Error{"error": e})
}

// Header sets the headers that every error has, whatever its body: the code,
// and when to come back.
func Header(w http.ResponseWriter, e *Error) {
	w.Header().Set("X-Error-Code", string(e.Code))
	w.Header().Set("Cache-Control", "no-store")
	if s := e.Code.Status(); s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable {
		seconds := max(1, int(math.Ceil(e.RetryAfter.Seconds())))
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
}

// Read turns an answer's body back into a problem, for clients. It accepts the
// Open Inference Protocol's {"error": "text"} too.
func Read(status int, header http.Header, body []byte) *Error {
	var whole struct {
		Error json.RawMessage `json:"error"`
	}
	e := &Error{Code: Code(header.Get("X-Error-Code"))}
	if json.Unmarshal(body, &whole) == nil && len(whole.Error) > 0 {
		if json.Unmarshal(whole.Error, e) != nil {
			// The protocol's form: the error is a string.
			if json.Unmarshal(whole.Error, &e.Detail) != nil {
				e.Detail = ""
			}
		}
	}
	if e.Detail == "" {
		e.Detail = fmt.Sprintf("The server answered %d %s.", status, http.StatusText(status))
	}
	if e.Code == "" {
		e.Code = ofStatus(status)
	}
	if s, err := strconv.Atoi(header.Get("Retry-After")); err == nil && s > 0 && s < 3600 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

// ofStatus gives the plainest code of a status, for servers that name none.
func ofStatus(status int) Code {
	switch status {
	case 401:
		return Unauthorized
	case 403:
		return Forbidden
	case 404:
		return NotFound
	case 409:
		return Conflict
	case 413:
		return TooLarge
	case 429:
		return Busy
	case 502:
		return Unreachable
	case 503:
		return NotReady
	case 504:
		return Deadline
	}
	if status >= 400 && status < 500 {
		return Invalid
	}
	return Unexpected
}

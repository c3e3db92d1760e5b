package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"primespark/shared/problem"
)

// A Code is a gRPC status (grpc/grpc, doc/statuscodes.md).
type Code int

// The codes that are sent.
const (
	OK                 Code = 0
	Canceled           Code = 1
	InvalidArgument    Code = 3
	DeadlineExceeded   Code = 4
	NotFound           Code = 5
	PermissionDenied   Code = 7
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	Unimplemented      Code = 12
	Internal           Code = 13
	Unavailable        Code = 14
	Unauthenticated    Code = 16
)

// codes are the statuses of problems, as Triton has them: what another node may
// do is UNAVAILABLE, a full queue too. What is too large is RESOURCE_EXHAUSTED, the
// word of gRPC's own libraries.
var codes = map[problem.Code]Code{
	problem.Invalid: InvalidArgument, problem.BadMedia: InvalidArgument,
	problem.Unauthorized: Unauthenticated, problem.Forbidden: PermissionDenied,
	problem.NotFound: NotFound, problem.BadMethod: Unimplemented,
	problem.Conflict: FailedPrecondition, problem.StaleLease: FailedPrecondition,
	problem.TooLarge: ResourceExhausted, problem.Unexpected: Internal,
	problem.Busy: Unavailable, problem.Unreachable: Unavailable, problem.NotReady: Unavailable,
	problem.NoLeader: Unavailable, problem.NoQuorum: Unavailable, problem.NoCapacity: Unavailable,
	problem.Deadline: DeadlineExceeded,
}

// CodeOf is the status of a problem.
func CodeOf(c problem.Code) Code {
	if code, ok := codes[c]; ok {
		return code
	}
	return Internal
}

// errUnimplemented is the cause of a call that there is not.
var errUnimplemented = errors.New("no such method")

// verdict returns the status of a call that ended with err, and its message.
func verdict(ctx context.Context, err error) (Code, string) {
	if err == nil {
		return OK, ""
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return Canceled, "The call was cancelled."
	}
	e := problem.Of(err)
	code := CodeOf(e.Code)
	if errors.Is(err, errUnimplemented) {
		code = Unimplemented
	}
	return code, text(e)
}

// text is a problem in one line: the detail and the remedy.
func text(e *problem.Error) string {
	if e.Remedy == "" {
		return e.Detail
	}
	return e.Detail + " " + e.Remedy
}

// setStatus writes a call's end into the trailers, which the header has announced.
func setStatus(h http.Header, code Code, message string) {
	h.Set("Grpc-Status", strconv.Itoa(int(code)))
	if message != "" {
		h.Set("Grpc-Message", escape(message))
	}
}

// escape writes a status message as PROTOCOL-HTTP2.md says ("Percent-Encoded").
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

var units = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second,
	'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

// timeout reads the header grpc-timeout, "TimeoutValue TimeoutUnit": at most eight
// digits and a unit. 0 means that there is none.
func timeout(h http.Header, most time.Duration) (time.Duration, error) {
	s := h.Get("Grpc-Timeout")
	if s == "" {
		return 0, nil
	}
	unit := units[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	if err != nil || unit == 0 || len(s) > 9 {
		return 0, problem.New(problem.Invalid, "Send it as gRPC has it, as in 250m.", "The metadata grpc-timeout is %q.", clip(s))
	}
	if time.Duration(n) > most/unit {
		return most, nil
	}
	return max(time.Duration(n)*unit, time.Nanosecond), nil
}

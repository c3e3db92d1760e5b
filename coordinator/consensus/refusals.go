package consensus

import (
	"errors"
	"maps"
	"net"
	"sync"
	"time"
)

// refusals tells which refused connection is news. A coordinator that was removed,
// and runs on, calls several times a second; one line of the log in a while says
// as much. The zero value is ready.
type refusals struct {
	mu   sync.Mutex
	told map[string]time.Time // when, by the reason
}

// How long the same reason is no news, and how many reasons are remembered.
const (
	refusalRest = 10 * time.Minute
	maxRefusals = 64
)

// news reports whether a reason was not told of lately, and counts it as told.
func (r *refusals) news(reason string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.told, func(_ string, at time.Time) bool { return now.Sub(at) >= refusalRest })
	if _, known := r.told[reason]; known || len(r.told) >= maxRefusals {
		return false
	}
	if r.told == nil {
		r.told = map[string]time.Time{}
	}
	r.told[reason] = now
	return true
}

// reason is why somebody was refused, without the port that he happened to have.
func reason(from net.Addr, err error) string {
	host, _, bad := net.SplitHostPort(from.String())
	if bad != nil {
		host = from.String()
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	return host + ": " + err.Error()
}

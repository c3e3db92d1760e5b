package models

import (
	"errors"
	"fmt"
	"time"

	"primespark/shared/problem"
)

// spare is what a model leaves of the host's memory: a Pi that swaps to its card answers
// nobody for seconds.
const spare = 64 << 20

// errHost tells that the host, and not models.memory, has no room.
var errHost = errors.New("the host would swap")

// hostRoom checks that the host has need bytes to spare. It is no fault where the host
// does not tell.
func (r *Registry) hostRoom(name string, need int64) error {
	r.need(name, need)
	free, known := r.free()
	if !known || need+spare <= free {
		return nil
	}
	return noHostRoom(name, need, free)
}

func (r *Registry) free() (bytes int64, known bool) {
	if r.cfg.Free == nil {
		return 0, false
	}
	bytes, err := r.cfg.Free()
	if err != nil {
		r.cfg.Log.Debug("how much memory the host has left is not known", "err", err)
	}
	return bytes, err == nil
}

// need notes how much memory a model takes.
func (r *Registry) need(name string, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.needs[name] = bytes
}

// swaps is the problem of a cold model for which the host has no room, even without the
// models that nobody used for so long; nil where a try is worth it. The lock is held.
func (r *Registry) swaps(name string, free int64, idle time.Duration) error {
	need, room := r.needs[name], free
	for _, e := range r.models {
		if l := e.live; l != nil && l.Name != name && !l.users.busy() && time.Since(l.lastUse()) >= idle {
			room += l.memory
		}
	}
	if need+spare <= room {
		return nil
	}
	return noHostRoom(name, need, free)
}

// hopeless reports whether a model that the host had no room for would have none either
// after all others that nobody used for so long were unloaded for it.
func (r *Registry) hopeless(name string, err error, idle time.Duration) bool {
	if !errors.Is(err, errHost) {
		return false
	}
	free, known := r.free()
	r.mu.RLock()
	defer r.mu.RUnlock()
	return known && r.swaps(name, free, idle) != nil
}

// noHostRoom is the problem of a model that would make the host swap.
func noHostRoom(name string, need, free int64) error {
	return &problem.Error{
		Code: problem.NoCapacity, Err: errHost, RetryAfter: 30 * time.Second,
		Detail: fmt.Sprintf("Model %s needs %v, and this host has %v left, of which %v are kept free lest it swaps.", name, whole(need), whole(free), whole(spare)),
		Remedy: "Ask another node, or end other programs of this host, or unload another model.",
	}
}

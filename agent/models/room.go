package models

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"primespark/agent/infer"
	"primespark/shared/conf"
	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// weigh is how much memory a session takes with one set of inputs and outputs, in bytes.
func weigh(s infer.Session) (need int64, err error) {
	all := slices.Concat(s.Inputs(), s.Outputs())
	if err := fixed(all); err != nil {
		return 0, err
	}
	need = s.Memory()
	for _, spec := range all {
		n := spec.Most
		if !spec.Open() {
			if n, err = tensor.Count(spec.Shape); err != nil {
				return 0, err
			}
		}
		need += int64(n) * int64(spec.Type.Size())
	}
	return need, nil
}

// left is how much of the memory for models is left for one that replaces old, in bytes.
func (r *Registry) left(old *live) int64 {
	if r.cfg.Memory == 0 {
		return math.MaxInt64
	}
	left := r.cfg.Memory
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, e := range r.models {
		if e.live != nil && e.live != old {
			left -= e.live.memory
		}
		if e.live != nil {
			left -= e.live.standby.memory()
		}
	}
	return max(left, 1) // 0 would be no bound
}

// room checks that a model stays within what is left.
func (r *Registry) room(name string, need, left int64) error {
	r.need(name, need)
	if need <= left {
		return nil
	}
	if need > r.cfg.Memory {
		return r.noRoom(name, whole(need).String(), left, errNever)
	}
	return r.noRoom(name, whole(need).String(), left, nil)
}

// errNever tells that a model would not fit if it were alone.
var errNever = errors.New("it is larger than models.memory")

// crowded reports whether models are resident. The lock is held.
func (r *Registry) crowded() bool {
	for _, e := range r.models {
		if e.live != nil {
			return true
		}
	}
	return false
}

// crammed is the problem of a cold model that does not fit into the memory for models,
// even without those that nobody used for so long; nil where a try is worth it. It says
// when the next one has been unused for that long. The lock is held.
func (r *Registry) crammed(name string, idle time.Duration) error {
	if r.cfg.Memory == 0 {
		return nil
	}
	left, unused, soon := r.cfg.Memory, int64(0), idle
	for _, e := range r.models {
		l := e.live
		if l == nil || l.Name == name {
			continue
		}
		taken := l.memory + l.standby.memory()
		left -= taken
		switch since := time.Since(l.lastUse()); {
		case l.users.busy():
		case since >= idle:
			unused += taken
		default:
			soon = min(soon, idle-since)
		}
	}
	need := r.needs[name]
	if need <= left+unused {
		return nil
	}
	return &problem.Error{
		Code: problem.NoCapacity, RetryAfter: max(soon, time.Second),
		Detail: fmt.Sprintf("Model %s needs %v, and %v of %v are left for models; others were in use in the last %v.", name, whole(need), conf.Size(max(left, 0)>>20<<20), whole(r.cfg.Memory), idle),
		Remedy: "Try again after the time in Retry-After, ask another node, or raise models.memory.",
	}
}

// noRoom is the problem of a model that needs more memory than is left.
func (r *Registry) noRoom(name, need string, left int64, err error) error {
	return &problem.Error{
		Code: problem.NoCapacity, Err: err,
		Detail: fmt.Sprintf("Model %s needs %s, and %v of %v are left for models.", name, need, conf.Size(left>>20<<20), whole(r.cfg.Memory)),
		Remedy: "Unload another model, or raise models.memory.",
	}
}

// whole is a number of bytes in whole mebibytes, rounded up.
func whole(bytes int64) conf.Size { return conf.Size((bytes + 1<<20 - 1) >> 20 << 20) }

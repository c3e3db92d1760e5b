package models

import "sync"

// A users counts those who use something, so that it is put away after the last
// of them. The zero value has none.
type users struct {
	mu      sync.Mutex
	n       int
	closing func() // set once nobody may enter any more
}

// enter counts one more user, or reports false after end. Whoever entered leaves.
func (u *users) enter() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closing != nil {
		return false
	}
	u.n++
	return true
}

// stay counts once more somebody who is there, also after end. Who stays leaves.
func (u *users) stay() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n++
}

// busy reports whether somebody is there.
func (u *users) busy() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.n > 0
}

func (u *users) leave() {
	u.mu.Lock()
	u.n--
	last := u.n == 0 && u.closing != nil
	u.mu.Unlock()
	if last {
		u.closing()
	}
}

// end lets nobody enter any more, and calls then once the last one left, which
// may be now. It is called once.
func (u *users) end(then func()) {
	u.mu.Lock()
	u.closing = then
	none := u.n == 0
	u.mu.Unlock()
	if none {
		then()
	}
}

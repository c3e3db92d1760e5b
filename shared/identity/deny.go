package identity

import (
	"maps"
	"time"
)

// A Deny list is the keys whose certificates must not be accepted any more: the
// KeyHash of each, and when all its certificates have expired.
type Deny map[string]time.Time

// Denies reports whether a key is on the list. It is what SetDeny wants: a key is
// denied whoever it claims to be.
func (d Deny) Denies(_ ID, keyHash string) bool { _, ok := d[keyHash]; return ok }

// With returns d and what is new, without what has expired by now. A key that was
// denied once stays denied: nobody takes a revocation back, so a list that lacks
// it is an older one.
func (d Deny) With(others Deny, now time.Time) Deny {
	all := Deny{}
	maps.Copy(all, d)
	maps.Copy(all, others)
	maps.DeleteFunc(all, func(_ string, until time.Time) bool { return !until.After(now) })
	return all
}

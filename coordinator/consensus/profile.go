package consensus

import (
	"fmt"
	"time"
)

// A Profile is how patient raft is: shorter times mean a shorter gap after a
// leader died, and more elections on slow disks and links.
type Profile struct {
	Heartbeat time.Duration // a follower that hears nothing for this long stands for election
	Election  time.Duration // a candidate that has not won by then tries again
	Lease     time.Duration // a leader that hears of no majority for this long steps down
	Commit    time.Duration // an idle leader tells of new commits after this long
}

// Profiles by the names of the configuration. Measured from SIGKILL of the
// leader to the first write: lan 0.7 s (at most 0.9), wan 2.3 s (at most 2.8).
var profiles = map[string]Profile{
	"lan": {Heartbeat: 300 * time.Millisecond, Election: 300 * time.Millisecond, Lease: 200 * time.Millisecond, Commit: 20 * time.Millisecond},
	"wan": {Heartbeat: time.Second, Election: time.Second, Lease: 500 * time.Millisecond, Commit: 50 * time.Millisecond},
}

// ProfileOf returns the profile of a name, "lan" or "wan".
func ProfileOf(name string) (Profile, error) {
	p, ok := profiles[name]
	if !ok {
		return Profile{}, fmt.Errorf("raft profile %q: there are lan (fast disks, one network) and wan (SD cards, slow links)", name)
	}
	return p, nil
}

// hold is how long a request waits for an election. Whoever asks later than
// this after the leader was lost is told so at once.
func (p Profile) hold() time.Duration { return 5 * p.Election }

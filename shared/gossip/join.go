package gossip

import (
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/memberlist"

	"primespark/shared/run"
)

const (
	joinSeeds = 5  // seeds in a round, at random if there are more
	joinLost  = 3  // lost members in a round
	sendTo    = 32 // members that get a large record directly
)

// A joiner brings back together what was cut apart: memberlist forgets the dead
// and never asks for them again.
type joiner struct {
	gossip *Gossip
	list   *memberlist.Memberlist
	rounds int  // so far
	warned bool // of being alone
}

// round joins who is missing, and returns the time until the next one.
func (j *joiner) round() time.Duration {
	g := j.gossip
	g.mu.Lock()
	targets := j.targets()
	alone := g.roster.alone()
	g.mu.Unlock()
	for _, t := range targets {
		g.metrics.joins.Inc()
		// Ends by memberlist's TCP timeout. Nobody waits for it: one that is late
		// does no harm, and a shutdown need not wait for a dead seed.
		go func() {
			if _, err := j.list.Join([]string{t}); err != nil {
				g.log.Debug("not joined", "addr", t, "err", err)
			}
		}()
	}
	j.say(alone, len(targets))
	j.rounds++
	return nextRound(j.rounds, alone)
}

// targets wants the lock held. The first rounds join the seeds even if they are
// there, as those who start at the same time hear only of some of the others.
func (j *joiner) targets() []string {
	g := j.gossip
	var seeds []string
	if g.seeds != nil {
		for _, s := range g.seeds() {
			if s != g.addr && (j.rounds < 3 || !g.roster.present(s)) {
				seeds = append(seeds, s)
			}
		}
	}
	return append(some(seeds, joinSeeds), some(g.roster.lost(), joinLost)...)
}

// nextRound is the time until the next round: after 2 and 10 s, then each 27 s, so
// that with its jitter whoever was cut off is back within 35 s of the cut's end.
// A node that sees nobody asks more often, for it can do little else.
func nextRound(done int, alone bool) time.Duration {
	switch {
	case done == 1:
		return 2 * time.Second
	case done == 2 && !alone:
		return 8 * time.Second
	case alone:
		return run.Jitter(5 * time.Second)
	}
	return run.Jitter(27 * time.Second)
}

// say tells of being alone when it begins to last and when it ends.
func (j *joiner) say(alone bool, asked int) {
	switch {
	case alone && asked > 0 && j.rounds == 3 && !j.warned:
		j.warned = true
		j.gossip.log.Warn("no other node answers gossip", "asked", asked,
			"remedy", "check that their gossip port is reachable by UDP and TCP, and that the key is of the same cluster")
	case !alone && j.warned:
		j.warned = false
		j.gossip.log.Info("other nodes answer gossip again")
	}
}

// some returns n of all at random, or all of them.
func some(all []string, n int) []string {
	rand.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	return all[:min(n, len(all))]
}

// sendLarge sends a record that fits no packet to the members by a stream each.
func sendLarge(m *memberlist.Memberlist, body []byte, log *slog.Logger) {
	members := m.Members()
	rand.Shuffle(len(members), func(i, k int) { members[i], members[k] = members[k], members[i] })
	for _, to := range members[:min(sendTo, len(members))] {
		if to.Name == m.LocalNode().Name {
			continue
		}
		if err := m.SendReliable(to, body); err != nil {
			log.Debug("large record not sent", "node", to.Name, "err", err)
		}
	}
}

package liveness

import (
	"testing"
	"time"

	"primespark/shared/fleet"
)

func TestJudge(t *testing.T) {
	const limit = 1200 * time.Millisecond
	long := limit + undecided
	for name, test := range map[string]struct {
		e    Evidence
		want fleet.Liveness
	}{
		"heard":                                  {Evidence{Gossip: fleet.Alive, Heard: true, Limit: limit}, fleet.Alive},
		"heard, dead by gossip":                  {Evidence{Gossip: fleet.Dead, Heard: true, Quiet: limit - 1, Limit: limit, Missed: 9}, fleet.Alive},
		"heard, left by gossip":                  {Evidence{Gossip: fleet.Left, Heard: true, Limit: limit}, fleet.Alive},
		"heard, unknown to gossip":               {Evidence{Heard: true, Limit: limit}, fleet.Alive},
		"said goodbye":                           {Evidence{Gossip: fleet.Alive, Heard: true, Left: true, Closed: true, Limit: limit}, fleet.Left},
		"quiet, is being asked":                  {Evidence{Gossip: fleet.Alive, Heard: true, Quiet: limit, Limit: limit, Missed: enough - 1}, fleet.Alive},
		"quiet, and answers nothing":             {Evidence{Gossip: fleet.Alive, Heard: true, Quiet: limit, Limit: limit, Missed: enough}, fleet.Dead},
		"quiet, and nobody could ask":            {Evidence{Gossip: fleet.Alive, Heard: true, Quiet: long, Limit: limit}, fleet.Dead},
		"quiet, and answers gossip":              {Evidence{Gossip: fleet.Alive, Heard: true, Quiet: patience * limit, Limit: limit, Answered: true}, fleet.LinkDown},
		"quiet for a moment, answers gossip":     {Evidence{Gossip: fleet.Alive, Heard: true, Quiet: limit, Limit: limit, Answered: true}, fleet.Alive},
		"quiet for long, missed one answer":      {Evidence{Gossip: fleet.Alive, Heard: true, Quiet: time.Hour, Limit: limit, Answered: true, Missed: 1}, fleet.LinkDown},
		"quiet here, heard elsewhere":            {Evidence{Gossip: fleet.Dead, Heard: true, Quiet: time.Hour, Limit: limit, Missed: 9, Peers: true}, fleet.LinkDown},
		"quiet, as is everybody":                 {Evidence{Gossip: fleet.Alive, Heard: true, Quiet: limit, Limit: limit, Missed: 9, Deaf: true}, fleet.LinkDown},
		"connection ended, not asked yet":        {Evidence{Gossip: fleet.Alive, Heard: true, Closed: true, Limit: limit}, fleet.Alive},
		"connection ended, answers gossip":       {Evidence{Gossip: fleet.Alive, Heard: true, Closed: true, Quiet: patience * limit, Limit: limit, Answered: true}, fleet.LinkDown},
		"connection ended, answers nothing":      {Evidence{Gossip: fleet.Alive, Heard: true, Closed: true, Limit: limit, Missed: enough}, fleet.Dead},
		"connection ended, no time to ask":       {Evidence{Gossip: fleet.Alive, Heard: true, Closed: true, Ended: gone, Quiet: gone, Limit: limit}, fleet.Dead},
		"the same, heard elsewhere":              {Evidence{Gossip: fleet.Alive, Heard: true, Closed: true, Ended: gone, Quiet: gone, Limit: limit, Peers: true}, fleet.LinkDown},
		"connection ended, is being asked":       {Evidence{Gossip: fleet.Alive, Heard: true, Closed: true, Ended: gone - 1, Quiet: gone, Limit: limit, Missed: enough - 1}, fleet.Alive},
		"connection ended, its timers are late":  {Evidence{Gossip: fleet.Alive, Heard: true, Closed: true, Ended: gone, Quiet: gone, Limit: limit, Late: 1}, fleet.Alive},
		"its own timers are late":                {Evidence{Gossip: fleet.Alive, Heard: true, Quiet: limit, Limit: limit + mostLate, Missed: 9}, fleet.Alive},
		"new, alive by gossip":                   {Evidence{Gossip: fleet.Alive, Young: true}, fleet.Alive},
		"new, dead by gossip":                    {Evidence{Gossip: fleet.Dead, Young: true}, fleet.Dead},
		"new, another stopped hearing it":        {Evidence{Gossip: fleet.Alive, Young: true, Lost: lost}, fleet.LinkDown},
		"the same, a moment ago":                 {Evidence{Gossip: fleet.Alive, Young: true, Lost: lost - 1}, fleet.Alive},
		"the same, dead by gossip":               {Evidence{Gossip: fleet.Dead, Young: true, Lost: lost}, fleet.Dead},
		"never heard, alive by gossip":           {Evidence{Gossip: fleet.Alive}, fleet.LinkDown},
		"never heard, dead by gossip":            {Evidence{Gossip: fleet.Dead}, fleet.Dead},
		"never heard here, but elsewhere":        {Evidence{Gossip: fleet.Dead, Peers: true}, fleet.LinkDown},
		"never heard, said goodbye by gossip":    {Evidence{Gossip: fleet.Left}, fleet.Left},
		"quiet, left by gossip, no own farewell": {Evidence{Gossip: fleet.Left, Heard: true, Quiet: long, Limit: limit, Missed: enough}, fleet.Dead},
	} {
		if got := Judge(test.e); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestClockIgnoresSleep: what this process slept through is nobody's silence.
func TestClockIgnoresSleep(t *testing.T) {
	var c clock
	now := time.Now()
	for range 10 {
		now = now.Add(look)
		c.tick(now)
	}
	if c.awake != 9*look {
		t.Errorf("awake for %v, want %v", c.awake, 9*look)
	}
	c.tick(now.Add(time.Hour))
	if want := 11 * look; c.awake != want {
		t.Errorf("awake for %v after an hour of sleep, want %v", c.awake, want)
	}
	c.tick(now) // the wall was set back
	if want := 11 * look; c.awake != want {
		t.Errorf("awake for %v after the clock was set back, want %v", c.awake, want)
	}
}

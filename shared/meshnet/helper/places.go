package helper

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
)

// hostWait is how long after a start a member that was another one's guest waits for
// that one's daemon: after a boot both call, one of them a little later.
const hostWait = 20 * time.Second

// admit notes a member's wish. Those that it cannot be beside go: of another cluster,
// and, where there are too many, of a daemon that does not run.
func (h *Helper) admit(w meshnet.Wanted) {
	for self, other := range h.wishes {
		if self == w.Self {
			continue
		}
		if other.Map.Cluster != w.Map.Cluster || len(h.wishes) >= meshnet.MaxMembers && h.wishes[w.Self].Self == "" && !h.owned(self) {
			delete(h.wishes, self)
		}
	}
	h.wishes[w.Self] = w
}

// settle makes one place of what the members of this host want, and follows that.
func (h *Helper) settle(now time.Time) {
	w, guests := place(h.wishes)
	h.pending = h.waits(w, now)
	if h.pending {
		return
	}
	var err error
	if w.Self == "" {
		err = forgetWanted(h.cfg.Dir)
	} else {
		err = saveWanted(h.cfg.Dir, w, guests)
	}
	if err != nil {
		h.cfg.Log.Error("the map is in force and not kept as it is", "err", err, "remedy", "see whether the disk is full, or not writable")
	}
	h.guests = guests
	h.follow(w)
	h.examine(h.node(now)) // before anything is built that has no place here
	h.due.examine, h.due.observe, h.due.resolve = time.Time{}, time.Time{}, time.Time{}
}

// waits reports whether the member that would get the tunnels was the guest of one that
// has not called yet, and may still do so.
func (h *Helper) waits(w meshnet.Wanted, now time.Time) bool {
	me, _ := w.Map.Find(w.Self)
	_, guest := w.Map.Housed(me)
	return guest && !h.told && now.Sub(h.begun) < hostWait
}

// place is what a host is wanted to be by all its members: the place of one, whose
// tunnels the others use as guests. The newest map counts, whoever brought it. A hub
// comes before others, since all members keep a tunnel to it, and a coordinator before
// an agent, since it may connect to more.
func place(wishes map[string]meshnet.Wanted) (meshnet.Wanted, []guest) {
	var newest mesh.Map
	for _, w := range wishes {
		if w.Map.Version > newest.Version {
			newest = w.Map
		}
	}
	rank := func(self string) int {
		me, in := newest.Find(self)
		switch {
		case !in:
			return 3
		case me.Hub != nil:
			return 0
		case me.Role == fleet.Coordinator:
			return 1
		}
		return 2
	}
	names := slices.SortedFunc(maps.Keys(wishes), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	if len(names) == 0 {
		return meshnet.Wanted{}, nil
	}
	first := wishes[names[0]]
	first.Map = newest
	var guests []guest
	for _, name := range names[1:] {
		guests = append(guests, guest{name, wishes[name].Ports})
	}
	return first, guests
}

// recall is what of the wishes of the members is known from the last time.
func recall(k kept) map[string]meshnet.Wanted {
	wishes := map[string]meshnet.Wanted{}
	if k.Self == "" {
		return wishes
	}
	wishes[k.Self] = k.Wanted
	for _, g := range k.Guests {
		wishes[g.Self] = meshnet.Wanted{Self: g.Self, Map: k.Map, Ports: g.Ports}
	}
	return wishes
}

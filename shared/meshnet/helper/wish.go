package helper

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"primespark/shared/meshnet"
	"primespark/shared/meshnet/choice"
)

// Want is what a daemon wants from now on; it may be called from anywhere. One that
// has no map yet wants nothing else than there is.
func (h *Helper) Want(ctx context.Context, w meshnet.Wanted) {
	h.post(ctx, func() {
		switch {
		case w.Leave:
			h.leave(w.Self)
			return
		case w.Map.Version == 0:
			return
		}
		now := h.wanted
		if w.Self == now.Self && w.Map.Cluster == now.Map.Cluster && w.Map.Version < now.Map.Version {
			h.refused = fmt.Sprintf("The map is of version %d, older than the one in force, %d.", w.Map.Version, now.Map.Version)
			return
		}
		h.refused = ""
		if h.told && reflect.DeepEqual(w, now) {
			return
		}
		if err := saveWanted(h.cfg.Dir, w); err != nil {
			h.cfg.Log.Error("the map is in force and not kept", "err", err, "remedy", "see whether the disk is full")
		}
		h.follow(w)
		h.examine(h.node(time.Now())) // before anything is built that has no place here
		h.due.examine, h.due.observe, h.due.resolve = time.Time{}, time.Time{}, time.Time{}
	})
}

// leave takes a member's place in the mesh off this host; another's stays.
func (h *Helper) leave(self string) {
	if h.told && h.wanted.Self != "" && h.wanted.Self != self {
		return
	}
	if err := forgetWanted(h.cfg.Dir); err != nil {
		h.cfg.Log.Error("the mesh is left, and the last map is still kept", "err", err, "remedy", "see whether the disk is writable")
	}
	if h.wanted.Self != "" {
		h.cfg.Log.Info("this host takes no part in the mesh any more", "node", self)
	}
	h.follow(meshnet.Wanted{})
	h.refused = ""
	h.due.examine, h.due.observe = time.Time{}, time.Time{}
}

// follow takes over a wish.
func (h *Helper) follow(w meshnet.Wanted) {
	h.told = true
	if w.Self != h.wanted.Self {
		h.chooser = choice.NewChooser(w.Self, h.cfg.Timing, h.cfg.Jitter)
	}
	h.wanted = w
	var hubs []choice.Hub
	there := map[string]bool{}
	for _, n := range w.Map.Hubs() {
		if n.Name == w.Self {
			continue
		}
		hubs = append(hubs, choice.Hub{Name: n.Name, Priority: n.Hub.Priority, Draining: n.Hub.Draining})
		there[n.Name] = true
	}
	h.chooser.Set(hubs)
	for name := range h.index {
		if !there[name] {
			delete(h.index, name)
			delete(h.hubs, name)
		}
	}
	for _, hub := range hubNames(w.Map) {
		if _, ok := h.index[hub]; !ok && there[hub] {
			h.index[hub] = h.free()
		}
	}
}

// free is the smallest number that no hub's link has.
func (h *Helper) free() int {
	for i := 0; ; i++ {
		taken := false
		for _, n := range h.index {
			taken = taken || n == i
		}
		if !taken {
			return i
		}
	}
}

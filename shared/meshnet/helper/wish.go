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
		old, known := h.wishes[w.Self]
		if known && w.Map.Cluster == old.Map.Cluster && w.Map.Version < old.Map.Version {
			h.refused = fmt.Sprintf("The map is of version %d, older than the one in force, %d.", w.Map.Version, old.Map.Version)
			return
		}
		h.refused = ""
		if known && h.told && reflect.DeepEqual(w, old) {
			return
		}
		h.admit(w)
		h.settle(time.Now())
	})
}

// leave takes a member off this host; the place of another one stays.
func (h *Helper) leave(self string) {
	if _, known := h.wishes[self]; !known && len(h.wishes) > 0 {
		return
	}
	delete(h.wishes, self)
	h.cfg.Log.Info("a member of this host takes no part in the mesh any more", "node", self)
	h.refused = ""
	h.settle(time.Now())
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

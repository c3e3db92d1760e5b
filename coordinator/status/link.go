package status

import (
	"fmt"
	"strings"
	"time"

	"primespark/shared/wire"
)

// A Link is how an agent reaches the others of the mesh, by its own word. The zero value
// is that of one that takes no part.
type Link struct {
	member                bool
	told                  bool // it has told something
	direct, relayed, down int
	handshake             float64 // s since the newest of the tunnel that it uses now; 0: none yet
}

// links are those of all nodes of the mesh, by name.
func (v *MeshView) links() map[string]Link {
	if v == nil {
		return nil
	}
	all := make(map[string]Link, len(v.Mesh.Nodes))
	for _, n := range v.Mesh.Nodes {
		all[n.Name] = linkOf(n)
	}
	return all
}

func linkOf(n wire.MeshNodeBody) Link {
	l := Link{member: true, told: n.Report != nil}
	if n.Report == nil {
		return l
	}
	for _, to := range n.Report.Links {
		switch {
		case !to.Up:
			l.down++
			continue
		case to.Via != "":
			l.relayed++
			continue
		}
		l.direct++
		if to.Peer == n.Report.Hub || l.handshake == 0 {
			l.handshake = to.Handshake
		}
	}
	return l
}

// usual is how old the handshake of a tunnel that is in use becomes: WireGuard makes
// another after 120 s, and ends a session after 180 s (its paper, section 6).
const usual = 3 * time.Minute

// Words say how the agent is linked.
func (l Link) Words() string {
	switch {
	case !l.member:
		return "–"
	case !l.told:
		return "unknown"
	case l.direct+l.relayed+l.down == 0:
		return "no links"
	case l.direct+l.relayed == 0:
		return "down"
	}
	var parts []string
	for _, p := range []struct {
		count int
		word  string
	}{{l.direct, "direct"}, {l.relayed, "relayed"}, {l.down, "down"}} {
		if p.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.count, p.word))
		}
	}
	return strings.Join(parts, ", ")
}

// Tone marks links that do not answer.
func (l Link) Tone() string {
	switch {
	case !l.told:
		return ""
	case l.direct+l.relayed == 0:
		return "bad"
	case l.down > 0:
		return "warn"
	}
	return ""
}

// Handshake is the age of the newest one. One of the usual age is not told more
// exactly, since it would change all the time.
func (l Link) Handshake() string {
	switch age := time.Duration(l.handshake * float64(time.Second)); {
	case !finite(l.handshake) || l.handshake <= 0:
		return ""
	case age <= usual:
		return "handshake < 3 min ago"
	default:
		return "handshake " + span(age) + " ago"
	}
}

func (l Link) draw(m *markup) {
	m.raw("<span>")
	m.toned(l.Tone(), l.Words())
	if age := l.Handshake(); age != "" {
		m.raw("<br><small>").text(age).raw("</small>")
	}
	m.raw("</span>")
}

package fsm

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/goldentest"
	"primespark/shared/mesh"
	"primespark/shared/problem"
)

// wgKey is a public key that a test knows by a number; 0 is none.
func wgKey(n byte) (k mesh.PublicKey) {
	if n != 0 {
		k[0], k[31] = n, 1
	}
	return k
}

// meshOf is what a node announces with keys of some generations. Hubs say where
// they are.
func meshOf(name string, hub *mesh.Hub, generations ...byte) MeshAnnounce {
	a := MeshAnnounce{Name: name, Site: "barn", Hub: hub, Endpoints: []mesh.Endpoint{{Kind: mesh.LAN, Address: "192.0.2.7:51820"}}}
	if hub != nil {
		a.Endpoints = append(a.Endpoints, mesh.Endpoint{Kind: mesh.Static, Address: "hub.example:51820"})
	}
	for _, g := range generations {
		a.Keys = append(a.Keys, mesh.Key{Generation: uint64(g), Public: mesh.PublicKey(sha256.Sum256(append([]byte(name), g)))})
	}
	return a
}

// meshPrefix is that of the authority of these tests.
var meshPrefix = mesh.Prefix([32]byte{1})

// at applies a command at a time after noon.
func (f *telling) at(after time.Duration, c Command) error {
	f.index++
	return apply(f.t, f.FSM, f.index, noon.Add(after), c).Err
}

func (f *telling) join(names ...string) {
	f.t.Helper()
	for _, name := range names {
		code := "j" + Hash(name)[:7] + fmt.Sprint(f.index)
		for _, c := range []Command{
			CodeCreate{ID: code, Hash: Hash("s"), Role: fleet.Agent, Uses: 1, Expires: noon.Add(15 * time.Minute)},
			NodeJoin{Code: code, Hash: Hash("s"), Name: name, Role: fleet.Agent, Key: Hash(name + code)},
		} {
			if err := f.do(c); err != nil {
				f.t.Fatal(err)
			}
		}
	}
}

// chart is the map, without faults.
func (f *telling) chart() mesh.Map {
	f.t.Helper()
	s, _ := f.State()
	m := s.MeshMap(meshPrefix)
	if err := m.Check(); m.Version > 0 && err != nil {
		f.t.Error(err)
	}
	return m
}

// show is the map in one line: nodes with the generations of their keys, clients,
// how many keys are revoked, who is asked for a newer one.
func (f *telling) show() string {
	var text strings.Builder
	m := f.chart()
	for _, n := range m.Nodes {
		fmt.Fprintf(&text, "%s", n.Name)
		if n.Hub != nil && n.Hub.Draining {
			text.WriteString("(draining)")
		}
		for _, k := range n.Keys {
			fmt.Fprintf(&text, ":%d", k.Generation)
		}
		text.WriteByte(' ')
	}
	for _, c := range m.Clients {
		fmt.Fprintf(&text, "+%s ", c.Name)
	}
	fmt.Fprintf(&text, "revoked %d", len(m.Revoked))
	for _, r := range m.Rotate {
		fmt.Fprintf(&text, " %s wants %d", r.Name, r.Generation)
	}
	return text.String()
}

// TestMeshStory: members come, rotate and go; each step that changes the map gives
// it a greater version, and no other step does.
func TestMeshStory(t *testing.T) {
	f := founded(t)
	f.join("pi-1", "pi-2")
	hub := &mesh.Hub{Priority: 5}
	stolen := meshOf("pi-2", nil, 1)
	stolen.Keys[0].Public = wgKey(60) // the phone's
	other := meshOf("pi-1", nil, 3)
	other.Keys[0].Public = wgKey(200)
	for i, step := range []struct {
		cmd  Command
		code problem.Code // of the refusal
		want string
	}{
		{meshOf("pi-1", nil, 1), "", "pi-1:1 revoked 0"},
		{meshOf("pi-1", nil, 1), "", "pi-1:1 revoked 0"},
		{meshOf("c1", hub, 1), "", "c1:1 pi-1:1 revoked 0"},
		{meshOf("pi-2", hub, 1), problem.Invalid, "c1:1 pi-1:1 revoked 0"},
		{meshOf("pi-9", nil, 1), problem.NotFound, "c1:1 pi-1:1 revoked 0"},
		{meshOf("pi-2", nil), problem.Invalid, "c1:1 pi-1:1 revoked 0"},
		{meshOf("pi-2", nil, 2, 1), problem.Invalid, "c1:1 pi-1:1 revoked 0"},
		{MeshAdmit{"phone", wgKey(60), noon.Add(time.Hour)}, "", "c1:1 pi-1:1 +phone revoked 0"},
		{MeshAdmit{"phone", wgKey(60), noon.Add(time.Hour)}, "", "c1:1 pi-1:1 +phone revoked 0"},
		{MeshAdmit{"pi-2", wgKey(61), noon.Add(time.Hour)}, problem.Conflict, "c1:1 pi-1:1 +phone revoked 0"},
		{MeshAdmit{"tab", wgKey(61), noon}, problem.Invalid, "c1:1 pi-1:1 +phone revoked 0"},
		{MeshAdmit{"tab", wgKey(61), noon.Add(3 * 366 * 24 * time.Hour)}, problem.Invalid, "c1:1 pi-1:1 +phone revoked 0"},
		{MeshAdmit{"tab", wgKey(60), noon.Add(time.Hour)}, problem.Conflict, "c1:1 pi-1:1 +phone revoked 0"},
		{MeshAdmit{"The Tab", wgKey(61), noon.Add(time.Hour)}, problem.Invalid, "c1:1 pi-1:1 +phone revoked 0"},
		{stolen, problem.Conflict, "c1:1 pi-1:1 +phone revoked 0"},
		{meshOf("pi-2", nil, 1), "", "c1:1 pi-1:1 pi-2:1 +phone revoked 0"},
		{MeshRotate{}, "", "c1:1 pi-1:1 pi-2:1 +phone revoked 0 c1 wants 2 pi-1 wants 2 pi-2 wants 2"},
		{MeshRotate{[]string{"pi-1"}}, "", "c1:1 pi-1:1 pi-2:1 +phone revoked 0 c1 wants 2 pi-1 wants 2 pi-2 wants 2"},
		{MeshRotate{[]string{"pi-9"}}, problem.NotFound, "c1:1 pi-1:1 pi-2:1 +phone revoked 0 c1 wants 2 pi-1 wants 2 pi-2 wants 2"},
		{meshOf("pi-1", nil, 1, 2), "", "c1:1 pi-1:1:2 pi-2:1 +phone revoked 0 c1 wants 2 pi-2 wants 2"},
		{meshOf("pi-1", nil, 1), problem.Conflict, "c1:1 pi-1:1:2 pi-2:1 +phone revoked 0 c1 wants 2 pi-2 wants 2"},
		{meshOf("pi-1", nil, 2), "", "c1:1 pi-1:2 pi-2:1 +phone revoked 0 c1 wants 2 pi-2 wants 2"},
		{other, "", "c1:1 pi-1:3 pi-2:1 +phone revoked 0 c1 wants 2 pi-2 wants 2"},
		{meshOf("c1", hub, 2), "", "c1:2 pi-1:3 pi-2:1 +phone revoked 0 pi-2 wants 2"},
		{meshOf("c1", &mesh.Hub{Priority: 5, Draining: true}, 2), "", "c1(draining):2 pi-1:3 pi-2:1 +phone revoked 0 pi-2 wants 2"},
		{meshOf("c1", hub, 2), "", "c1:2 pi-1:3 pi-2:1 +phone revoked 0 pi-2 wants 2"},
		{NodeDrain{Name: "c1"}, "", "c1(draining):2 pi-1:3 pi-2:1 +phone revoked 0 pi-2 wants 2"},
		{NodeDrain{Name: "pi-1"}, "", "c1(draining):2 pi-1:3 pi-2:1 +phone revoked 0 pi-2 wants 2"},
		{NodeUndrain{Name: "c1"}, "", "c1:2 pi-1:3 pi-2:1 +phone revoked 0 pi-2 wants 2"},
		{NodeRevoke{Name: "pi-2"}, "", "c1:2 pi-1:3 +phone revoked 1"},
		{meshOf("pi-2", nil, 2), problem.Forbidden, "c1:2 pi-1:3 +phone revoked 1"},
		{MeshExpel{"phone"}, "", "c1:2 pi-1:3 revoked 2"},
		{MeshExpel{"phone"}, problem.NotFound, "c1:2 pi-1:3 revoked 2"},
		{MeshAdmit{"phone", wgKey(60), noon.Add(time.Hour)}, problem.Conflict, "c1:2 pi-1:3 revoked 2"},
		{MeshAdmit{"phone", wgKey(62), noon.Add(time.Hour)}, "", "c1:2 pi-1:3 +phone revoked 2"},
		{MeshAdmit{"phone", wgKey(63), noon.Add(time.Hour)}, "", "c1:2 pi-1:3 +phone revoked 3"},
		{MeshLeave{"pi-1"}, "", "c1:2 +phone revoked 3"},
		{MeshLeave{"pi-1"}, "", "c1:2 +phone revoked 3"},
		{meshOf("pi-1", nil, 3), "", "c1:2 pi-1:3 +phone revoked 3"},
		{MeshPrune{}, "", "c1:2 pi-1:3 +phone revoked 3"},
	} {
		before := f.chart()
		err := f.do(step.cmd)
		if (err != nil) != (step.code != "") || err != nil && !problem.Is(err, step.code) {
			t.Errorf("%d, %#v: %v, want %q", i, step.cmd, err, step.code)
		}
		got, after := f.show(), f.chart()
		if got != step.want {
			t.Errorf("after %d, %#v: %s, want %s", i, step.cmd, got, step.want)
		}
		if changed := print(before) != print(after); changed != (after.Version > before.Version) {
			t.Errorf("after %d, %#v: versions %d and %d, changed %t", i, step.cmd, before.Version, after.Version, changed)
		}
	}
}

// print is a map without its version.
func print(m mesh.Map) string {
	m.Version = 0
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// TestMeshVersion follows the clock, so that a group that was restored is not
// behind what its nodes know, and it rises even when the clock goes back.
func TestMeshVersion(t *testing.T) {
	f := founded(t)
	f.join("pi-1")
	version := func() uint64 { s, _ := f.State(); return s.Mesh.Version }
	if version() != 0 {
		t.Errorf("version %d, and nobody takes part", version())
	}
	for i, step := range []struct {
		after time.Duration
		want  int64 // s after noon
	}{{0, 0}, {0, 1}, {time.Hour, 3600}, {-time.Hour, 3601}} {
		if err := f.at(step.after, meshOf("pi-1", nil, byte(i+1))); err != nil {
			t.Fatal(err)
		}
		if got := int64(version()) - noon.Unix(); got != step.want {
			t.Errorf("step %d: %d, want %d", i, got, step.want)
		}
	}
}

// TestMeshEnds: an older key is good for an hour, a client until its end.
func TestMeshEnds(t *testing.T) {
	f := founded(t)
	f.join("pi-1")
	for _, step := range []struct {
		after time.Duration
		cmd   Command
		want  string
		stale bool // a moment before
	}{
		{0, meshOf("pi-1", nil, 1), "pi-1:1 revoked 0", false},
		{0, MeshAdmit{"phone", wgKey(60), noon.Add(2 * time.Hour)}, "pi-1:1 +phone revoked 0", false},
		{time.Minute, meshOf("pi-1", nil, 1, 2), "pi-1:1:2 +phone revoked 0", false},
		{50 * time.Minute, meshOf("pi-1", nil, 1, 2), "pi-1:1:2 +phone revoked 0", false}, // does not begin anew
		{60 * time.Minute, MeshPrune{}, "pi-1:1:2 +phone revoked 0", false},
		{61 * time.Minute, MeshPrune{}, "pi-1:2 +phone revoked 0", true},
		{119 * time.Minute, MeshPrune{}, "pi-1:2 +phone revoked 0", false},
		{120 * time.Minute, MeshPrune{}, "pi-1:2 revoked 0", true},
	} {
		s, _ := f.State()
		if got := s.MeshStale(noon.Add(step.after)); got != step.stale {
			t.Errorf("before %#v: stale %t", step.cmd, got)
		}
		if err := f.at(step.after, step.cmd); err != nil {
			t.Fatal(err)
		}
		if got := f.show(); got != step.want {
			t.Errorf("after %#v: %s, want %s", step.cmd, got, step.want)
		}
	}
}

// TestMeshTakenOver: a name that another machine got has none of the old keys.
func TestMeshTakenOver(t *testing.T) {
	f := founded(t)
	f.join("pi-1")
	for _, c := range []Command{
		meshOf("pi-1", nil, 1),
		CodeCreate{ID: "again", Hash: Hash("s"), Role: fleet.Agent, Uses: 1, Rejoin: true, Expires: noon.Add(time.Hour)},
		NodeJoin{Code: "again", Hash: Hash("s"), Name: "pi-1", Role: fleet.Agent, Key: Hash("another machine's")},
	} {
		if err := f.do(c); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.show(); got != "revoked 1" {
		t.Error(got)
	}
	if err := f.do(meshOf("pi-1", nil, 1)); !problem.Is(err, problem.Conflict) {
		t.Errorf("the old key again: %v", err)
	}
}

// TestMeshGuest: an agent shares the place of the coordinator on its host, and has its
// own again; what announces nonsense is refused.
func TestMeshGuest(t *testing.T) {
	f := founded(t)
	f.join("pi-1", "pi-2")
	for _, name := range []string{"pi-1", "pi-2"} {
		if err := f.do(meshOf(name, nil, 1)); err != nil {
			t.Fatal(err)
		}
	}
	guest := meshOf("pi-1", nil, 1)
	guest.Host = "pi-2"
	b, err := Encode(noon, "node:pi-1", guest)
	if err != nil {
		t.Fatal(err)
	}
	goldentest.Compare(t, "mesh.announce-guest.json", b)
	if err := f.do(guest); err != nil {
		t.Fatal(err)
	}
	m := f.chart()
	if by, ok := m.Housed(m.Nodes[0]); !ok || by.Name != "pi-2" || m.Check() != nil {
		t.Errorf("pi-1 is housed by %q, %v", by.Name, m.Check())
	}
	version := m.Version
	if err := f.do(guest); err != nil || f.chart().Version != version {
		t.Errorf("said twice: %v, map %d after %d", err, f.chart().Version, version)
	}
	if err := f.do(meshOf("pi-1", nil, 1)); err != nil || f.chart().Nodes[0].Host != "" {
		t.Errorf("a place of its own again: %v, %+v", err, f.chart().Nodes[0])
	}
	for _, host := range []string{"pi-1", "No Name"} {
		guest.Host = host
		if err := f.do(guest); !problem.Is(err, problem.Invalid) {
			t.Errorf("a guest of %q: %v", host, err)
		}
	}
}

// TestMeshIPv4: addresses are given out once, rest for 30 days, and follow the range.
func TestMeshIPv4(t *testing.T) {
	f := founded(t)
	f.join("pi-1", "pi-2", "pi-3")
	have := func() string {
		var all []string
		m := f.chart()
		for _, n := range m.Nodes {
			all = append(all, fmt.Sprint(n.Name, " ", n.IPv4))
		}
		for _, c := range m.Clients {
			all = append(all, fmt.Sprint(c.Name, " ", c.IPv4))
		}
		return strings.Join(all, ", ")
	}
	const day = 24 * time.Hour
	for _, step := range []struct {
		after time.Duration
		cmd   Command
		want  string
	}{
		{0, meshOf("pi-1", nil, 1), "pi-1 invalid IP"},
		{0, MeshRange{netip.MustParsePrefix("10.7.0.0/28")}, "pi-1 10.7.0.1"},
		{0, meshOf("pi-2", nil, 1), "pi-1 10.7.0.1, pi-2 10.7.0.2"},
		{0, MeshAdmit{"phone", wgKey(60), noon.Add(90 * day)}, "pi-1 10.7.0.1, pi-2 10.7.0.2, phone 10.7.0.3"},
		{0, MeshLeave{"pi-1"}, "pi-2 10.7.0.2, phone 10.7.0.3"},
		{0, meshOf("pi-3", nil, 1), "pi-2 10.7.0.2, pi-3 10.7.0.4, phone 10.7.0.3"},
		{31 * day, meshOf("pi-1", nil, 1), "pi-1 10.7.0.1, pi-2 10.7.0.2, pi-3 10.7.0.4, phone 10.7.0.3"},
		{31 * day, MeshRange{netip.MustParsePrefix("10.8.0.0/28")}, "pi-1 10.8.0.1, pi-2 10.8.0.2, pi-3 10.8.0.3, phone 10.8.0.4"},
		{31 * day, MeshRange{}, "pi-1 invalid IP, pi-2 invalid IP, pi-3 invalid IP, phone invalid IP"},
	} {
		if err := f.at(step.after, step.cmd); err != nil {
			t.Fatal(err)
		}
		if got := have(); got != step.want {
			t.Errorf("after %#v: %s, want %s", step.cmd, got, step.want)
		}
	}
	if err := f.do(MeshRange{netip.MustParsePrefix("8.8.8.0/24")}); !problem.Is(err, problem.Invalid) {
		t.Errorf("a public range: %v", err)
	}
}

// TestMeshFull: a range that has no address left gives none, and nobody is refused.
func TestMeshFull(t *testing.T) {
	f := founded(t)
	if err := f.do(MeshRange{netip.MustParsePrefix("10.7.0.0/28")}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := f.do(MeshAdmit{fmt.Sprintf("phone-%02d", i), wgKey(byte(i + 1)), noon.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	with := slices.DeleteFunc(f.chart().Clients, func(c mesh.Client) bool { return !c.IPv4.IsValid() })
	if len(with) != 14 {
		t.Errorf("%d of 14 addresses were given out", len(with))
	}
}

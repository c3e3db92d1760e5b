package fsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"primespark/shared/fleet"
	"primespark/shared/goldentest"
	"primespark/shared/identity"
	"primespark/shared/mesh"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// samples are one of each command, in an order in which all succeed.
var samples = []Command{
	ClusterInit{
		Name:  "home",
		Node:  Node{Name: "c1", Key: Hash("key of c1"), Version: "1.0", Addresses: identity.Addresses{API: "192.0.2.1:7480", Raft: "192.0.2.1:7481", Gossip: "192.0.2.1:7482"}},
		Token: TokenCreate{ID: "t1", Name: "admin", Hash: Hash("secret of t1"), Access: Admin},
		Codes: []CodeCreate{{ID: "k1", Hash: Hash("secret of k1"), Role: fleet.Coordinator, Expires: noon.Add(15 * time.Minute)}},
	},
	CodeCreate{ID: "k2", Hash: Hash("secret of k2"), Role: fleet.Agent, Uses: 2, Rejoin: true, Hold: true, Expires: noon.Add(time.Hour)},
	NodeJoin{Code: "k2", Hash: Hash("secret of k2"), Name: "pi-1", Role: fleet.Agent, Key: Hash("key of pi-1"), Version: "1.0", Addresses: identity.Addresses{API: "pi-1:7490"}},
	NodeAnnounce{Name: "pi-1", Version: "1.1", Addresses: identity.Addresses{API: "pi-1:7490", Gossip: "pi-1:7482"}},
	NodeApprove{Name: "pi-1"},
	NodeRenew{Name: "pi-1", From: Hash("key of pi-1"), Key: Hash("second key of pi-1")},
	taskSamples,
	NodeDrain{Name: "pi-1"},
	NodeUndrain{Name: "pi-1"},
	NodeRevoke{Name: "pi-1"},
	TokenCreate{ID: "t2", Name: "ada", Hash: Hash("secret of t2"), Access: Viewer},
	TokenRevoke{ID: "t2"},
	Prune{},
	BackupRecord{Node: "c1", At: noon, Verified: noon.Add(time.Second), Path: "/mnt/nas/prime-spark-home-20260601T120000Z.psb"},
	GossipRotate{Salt: Hash("first salt"), Why: "asked for by ada"},
	GossipSwitch{Gen: 1},
	GossipDrop{Gen: 1},
	AlertChange{Open: []AlertOpen{{Rule: "node_down", Subject: "pi-1", Severity: "warning", Detail: "pi-1 is down.", Remedy: "See whether it has power.", Since: noon}}, Resolve: []string{"hot/pi-2"}, Forget: []string{"hot/pi-3"}},
	AlertSend{Key: "node_down/pi-1", ID: alertSeq, Message: "ops firing", Step: SendClaim, Node: "c1"},
	SinkRecord{Name: "postgres", Node: "c1"},
	MeshRange{Range: netip.MustParsePrefix("10.77.0.0/16")},
	meshOf("c1", &mesh.Hub{Priority: 10}, 1),
	MeshAdmit{Name: "phone", Public: wgKey(60), Expires: noon.Add(24 * time.Hour)},
	MeshAdmit{Name: "laptop", Public: wgKey(61), Expires: noon.Add(24 * time.Hour)},
	MeshExpel{Name: "laptop"},
	meshOf("c1", &mesh.Hub{Priority: 10}, 1, 2),
	MeshRotate{Names: []string{"c1"}},
	MeshPrune{},
	MeshLeave{Name: "pi-1"},
	putModel("pets", "a network", "pi-1"),
	ModelDrop{Name: "pets"},
}

// TestLogFormat pins the bytes of every command: they outlive this release on
// the coordinators' disks.
func TestLogFormat(t *testing.T) {
	seen := map[Kind]bool{}
	for _, c := range samples {
		if seen[c.Kind()] {
			continue // the first of them is pinned
		}
		seen[c.Kind()] = true
		got, err := Encode(noon, "token:ada", c)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(got); err != nil {
			t.Errorf("%s: %v", c.Kind(), err)
		}
		goldentest.Compare(t, string(c.Kind())+".json", got)
	}
	for kind := range handlers {
		if !seen[kind] {
			t.Errorf("no sample of %s: add one", kind)
		}
	}
}

// TestStateFormat pins the bytes of a snapshot, and with it the whole effect of
// the samples.
func TestStateFormat(t *testing.T) {
	f := New()
	for i, c := range append(slices.Clone(samples), putModel("yolox-nano", "another one")) {
		if r := apply(t, f, uint64(i+1), noon, c); r.Err != nil {
			t.Fatalf("%s: %v", c.Kind(), r.Err)
		}
	}
	s, _ := f.State()
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	goldentest.Compare(t, "state.golden", append(b, '\n'))
	var snap bytes.Buffer
	if _, err := s.WriteTo(&snap); err != nil {
		t.Fatal(err)
	}
	goldentest.Compare(t, "snapshot.golden", snap.Bytes())
	if !strings.Contains(snap.String(), s.Checksum()) {
		t.Error("the header's checksum is not the state's")
	}
}

func apply(t testing.TB, f *FSM, index uint64, at time.Time, c Command) Result {
	t.Helper()
	data, err := Encode(at, "token:ada", c)
	if err != nil {
		t.Fatal(err)
	}
	return f.Apply(&raft.Log{Index: index, Data: data}).(Result)
}

// A script is a random but repeatable history: names and codes are few, so that
// the commands meet.
type script struct {
	*rand.Rand
	at time.Time
}

func (s *script) pick(of ...string) string { return of[s.IntN(len(of))] }

func (s *script) next() Command {
	s.at = s.at.Add(time.Duration(s.IntN(240)) * time.Second)
	node, code := s.pick("c1", "c2", "pi-1", "pi-2", "Bad Name"), s.pick("k1", "k2", "k3")
	role := fleet.Role(s.pick("agent", "coordinator"))
	address := identity.Addresses{API: s.pick("a:1", "b:2", ""), Raft: s.pick("a:3", "nonsense")}
	switch s.IntN(16) {
	case 11, 12:
		var gens []byte
		for g := range s.IntN(3) {
			gens = append(gens, byte(g+1+s.IntN(2)))
		}
		return meshOf(node, nil, gens...)
	case 13:
		return MeshAdmit{Name: s.pick("phone", "c1"), Public: wgKey(byte(s.IntN(9))), Expires: s.at.Add(time.Hour)}
	case 14:
		return s.mesh(node)
	case 0:
		return ClusterInit{
			Name: s.pick("home", "other"), Node: Node{Name: "c1", Key: Hash("c1")},
			Token: TokenCreate{ID: "t1", Name: "admin", Hash: Hash("t1"), Access: Admin},
		}
	case 1, 2:
		return CodeCreate{
			ID: code, Hash: Hash(s.pick("x", "y")), Role: role, Uses: s.IntN(3), Rejoin: s.IntN(2) == 0, Hold: s.IntN(3) == 0,
			Expires: s.at.Add(time.Duration(s.IntN(40)-2) * time.Minute),
		}
	case 3, 4, 5:
		return NodeJoin{Code: code, Hash: Hash(s.pick("x", "y")), Name: node, Role: role, Key: Hash(s.pick("1", "2", "3", "4")), Addresses: address}
	case 6:
		return NodeAnnounce{Name: node, Addresses: address, Version: s.pick("1.0", "1.1"), Witness: s.IntN(3) == 0}
	case 7:
		return s.decide(node)
	case 8:
		return NodeRevoke{Name: node}
	case 9:
		return TokenCreate{ID: s.pick("t1", "t2", "t3"), Name: "ada", Hash: Hash(s.pick("1", "2")), Access: Access(s.pick("viewer", "admin", "root"))}
	case 10:
		return TokenRevoke{ID: s.pick("t1", "t2", "t3")}
	}
	return Prune{}
}

func (s *script) mesh(node string) Command {
	switch s.IntN(5) {
	case 0:
		return MeshExpel{Name: "phone"}
	case 1:
		return MeshRange{Range: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(s.IntN(3)), 0, 0}), 28)}
	case 2:
		return MeshRotate{}
	case 3:
		return MeshLeave{Name: node}
	}
	return MeshPrune{}
}

func (s *script) decide(node string) Command {
	switch s.IntN(3) {
	case 0:
		return NodeApprove{Name: node}
	case 1:
		return NodeDrain{Name: node}
	}
	return NodeUndrain{Name: node}
}

// TestReplicasAgree replays random histories on two machines, one of which goes
// through snapshots at random points: state and answers are the same at each
// step, and older states stay as they were.
func TestReplicasAgree(t *testing.T) {
	const histories, length = 150, 60
	refused, done := 0, 0
	for seed := range uint64(histories) {
		s := &script{rand.New(rand.NewPCG(seed, 1)), noon}
		whole, restored := New(), New()
		var old State
		oldSum := ""
		for i := range uint64(length) {
			data, err := Encode(noon, "x", s.next())
			if err != nil {
				t.Fatal(err)
			}
			var e Entry
			if err := json.Unmarshal(data, &e); err != nil {
				t.Fatal(err)
			}
			e.At = s.at
			if data, err = json.Marshal(e); err != nil {
				t.Fatal(err)
			}
			l := &raft.Log{Index: 2*i + 1, Data: data} // raft's own entries lie between
			a, b := whole.Apply(l).(Result), restored.Apply(l).(Result)
			if d := cmp.Diff(fmt.Sprint(a), fmt.Sprint(b)); d != "" {
				t.Fatalf("seed %d, entry %d: answers differ:\n%s", seed, i, d)
			}
			if a.Err != nil {
				refused++
			} else {
				done++
			}
			if s.IntN(10) == 0 {
				restored = throughSnapshot(t, restored)
			}
			sa, _ := whole.State()
			sb, _ := restored.State()
			if sa.Checksum() != sb.Checksum() {
				t.Fatalf("seed %d, entry %d (%s): replicas differ:\n%s", seed, i, e.Kind, cmp.Diff(sa, sb))
			}
			checkState(t, sa)
			if i == length/2 {
				old, oldSum = sa, sa.Checksum()
			}
		}
		if old.Checksum() != oldSum {
			t.Fatalf("seed %d: a state that was handed out has changed", seed)
		}
	}
	if refused < 1000 || done < 1000 {
		t.Errorf("%d commands refused and %d carried out: the histories are too tame", refused, done)
	}
}

// checkState holds the promises that no command may break.
func checkState(t testing.TB, s State) {
	t.Helper()
	if s.Cluster.Name != "" && len(s.Coordinators()) == 0 {
		t.Error("no coordinator is left")
	}
	if s.Cluster.Name != "" && !hasAdmin(s.Tokens) {
		t.Error("no admin token is left")
	}
	for _, c := range s.Codes {
		if c.Uses < 0 {
			t.Errorf("code %s has %d uses", c.ID, c.Uses)
		}
	}
	for i, e := range s.Events {
		if e.Seq != s.Seq-uint64(len(s.Events)-1-i) {
			t.Fatalf("event %d of %d has number %d, the last is %d", i, len(s.Events), e.Seq, s.Seq)
		}
	}
	if len(s.Events) > MaxEvents {
		t.Errorf("%d events", len(s.Events))
	}
}

func throughSnapshot(t testing.TB, f *FSM) *FSM {
	t.Helper()
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var disk sink
	if err := snap.Persist(&disk); err != nil {
		t.Fatal(err)
	}
	snap.Release()
	g := New()
	if err := g.Restore(io.NopCloser(&disk)); err != nil {
		t.Fatal(err)
	}
	return g
}

type sink struct{ bytes.Buffer }

func (*sink) Close() error  { return nil }
func (*sink) Cancel() error { return nil }
func (*sink) ID() string    { return "test" }

func TestEventsAreARing(t *testing.T) {
	f := New()
	for i, c := range samples[:1] {
		apply(t, f, uint64(i+1), noon, c)
	}
	var early []Event
	for i := range 3 * MaxEvents {
		c := Command(NodeDrain{Name: "c1"})
		if i%2 == 1 {
			c = NodeUndrain{Name: "c1"}
		}
		apply(t, f, uint64(i+2), noon, c)
		if i == MaxEvents/2 {
			s, _ := f.State()
			early = s.Events
		}
	}
	s, _ := f.State()
	checkState(t, s)
	if len(s.Events) != MaxEvents {
		t.Errorf("%d events, want %d", len(s.Events), MaxEvents)
	}
	if early[0].Seq != 1 || early[len(early)-1].Seq != uint64(len(early)) {
		t.Error("events that were handed out have changed")
	}
	if cap(s.Events) != len(s.Events) {
		t.Error("a reader that appends would write into the next state")
	}
	if got := s.EventsAfter(s.Seq-3, 2); len(got) != 2 || got[0].Seq != s.Seq-2 {
		t.Errorf("the two after the last but three: %v", got)
	}
	if got := s.EventsAfter(s.Seq, 10); len(got) != 0 {
		t.Errorf("after the last: %v", got)
	}
	if got := s.EventsAfter(0, 5000); len(got) != MaxEvents {
		t.Errorf("%d from the beginning", len(got))
	}
}

func TestDamagedSnapshotIsRefused(t *testing.T) {
	f := New()
	for i, c := range samples {
		apply(t, f, uint64(i+1), noon, c)
	}
	s, _ := f.State()
	var whole bytes.Buffer
	if _, err := s.WriteTo(&whole); err != nil {
		t.Fatal(err)
	}
	b := whole.Bytes()
	for at := range b {
		b[at] ^= 0x40
		if got, err := ReadState(bytes.NewReader(b)); err == nil && got.Checksum() != s.Checksum() {
			t.Fatalf("byte %d: another state was read", at)
		}
		if _, err := ReadState(bytes.NewReader(b[:at])); err == nil {
			t.Fatalf("cut at %d and accepted", at)
		}
		b[at] ^= 0x40
	}
	if _, err := ReadState(strings.NewReader(`{"format":2}` + "\n")); err == nil || !strings.Contains(err.Error(), "update it") {
		t.Errorf("a newer format gives %v", err)
	}
}

func TestUnknownEntriesPanic(t *testing.T) {
	for name, data := range map[string]string{
		"no JSON":      "hello",
		"unknown kind": `{"kind":"task.enqueue","at":"2026-06-01T12:00:00Z","actor":"x","body":{}}`,
		"strange body": `{"kind":"node.drain","at":"2026-06-01T12:00:00Z","actor":"x","body":[]}`,
	} {
		if Check([]byte(data)) == nil {
			t.Errorf("%s: Check lets it into the log", name)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: Apply went on", name)
				}
			}()
			New().Apply(&raft.Log{Index: 1, Data: []byte(data)})
		}()
	}
}

func FuzzApply(f *testing.F) {
	for _, name := range must(filepath.Glob("testdata/*.json")) {
		f.Add(must(os.ReadFile(name)))
	}
	before := New()
	for i, c := range samples[:3] {
		apply(f, before, uint64(i+1), noon, c)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if Check(data) != nil {
			return
		}
		a, b := throughSnapshot(t, before), throughSnapshot(t, before)
		l := &raft.Log{Index: 10, Data: data}
		ra, rb := a.Apply(l).(Result), b.Apply(l).(Result)
		if fmt.Sprint(ra) != fmt.Sprint(rb) {
			t.Errorf("answers differ: %v and %v", ra, rb)
		}
		sa, _ := a.State()
		sb, _ := throughSnapshot(t, b).State()
		if sa.Checksum() != sb.Checksum() {
			t.Errorf("replicas differ:\n%s", cmp.Diff(sa, sb))
		}
		checkState(t, sa)
	})
}

func FuzzReadState(f *testing.F) {
	f.Add(must(os.ReadFile("testdata/snapshot.golden")))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ReadState(bytes.NewReader(b))
		if err == nil {
			s.Checksum()
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

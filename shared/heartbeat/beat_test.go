package heartbeat

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/mesh"
)

var (
	agent       = identity.ID{Cluster: "home", Role: fleet.Agent, Name: "pi-1"}
	coordinator = identity.ID{Cluster: "home", Role: fleet.Coordinator, Name: "c1"}
)

func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		beat Beat
		who  identity.ID
		ok   bool
	}{
		"empty":               {Beat{}, agent, true},
		"its own vital":       {Beat{Vital: &fleet.Vital{Node: "pi-1", Boot: 1}}, agent, true},
		"another's vital":     {Beat{Vital: &fleet.Vital{Node: "pi-2", Boot: 1}}, agent, false},
		"absurd vital":        {Beat{Vital: &fleet.Vital{Node: "pi-1", Queue: -1}}, agent, false},
		"its own member":      {Beat{Member: &fleet.Member{Name: "pi-1", Role: fleet.Agent, API: "10.0.0.1:7490"}}, agent, true},
		"another's member":    {Beat{Member: &fleet.Member{Name: "pi-2", Role: fleet.Agent}}, agent, false},
		"an agent that leads": {Beat{Member: &fleet.Member{Name: "pi-1", Role: fleet.Coordinator}}, agent, false},
		"a strange address":   {Beat{Member: &fleet.Member{Name: "pi-1", Role: fleet.Agent, API: "x"}}, agent, false},
		"whom it hears":       {Beat{Hears: &Names{"pi-1"}}, coordinator, true},
		"an agent that hears": {Beat{Hears: &Names{"pi-2"}}, agent, false},
		"strange names":       {Beat{Hears: &Names{"<script>"}}, coordinator, false},
		"too many names":      {Beat{Hears: new(make(Names, maxNames+1))}, coordinator, false},
		"too many keys":       {Beat{Keys: &Keys{Held: make([]uint64, maxHeld+1)}}, agent, false},
		"what it sees":        {Beat{Mesh: &mesh.Report{Hub: "c1"}}, agent, true},
		"a strange mesh":      {Beat{Mesh: &mesh.Report{Hub: "<script>"}}, agent, false},
		"what a hub sees":     {Beat{Mesh: &mesh.Report{Sightings: []mesh.Sighting{{Node: "pi-2", Endpoint: "192.0.2.1:51820"}}}}, coordinator, true},
		"what only hubs see":  {Beat{Mesh: &mesh.Report{Sightings: []mesh.Sighting{{Node: "pi-2", Endpoint: "192.0.2.1:51820"}}}}, agent, false},
		"late":                {Beat{LateMS: 1000}, agent, true},
		"before its time":     {Beat{LateMS: -1}, agent, false},
		"late for ever":       {Beat{LateMS: 1 << 60}, agent, false},
	} {
		if err := test.beat.Check(test.who); (err == nil) != test.ok || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOnlyNewsIsSaid has a voice say the same again, and then something else.
func TestOnlyNewsIsSaid(t *testing.T) {
	all := Beat{
		Member: &fleet.Member{Name: "pi-1", Role: fleet.Agent, API: "10.0.0.1:7490"},
		Vital:  &fleet.Vital{Node: "pi-1", Boot: 1, At: time.Unix(1, 0), Ready: true}, Keys: &Keys{Held: []uint64{0}},
	}
	var out closer
	v := voice{say: func() Beat { return all }, out: &out}
	say := func(due bool, want string) {
		t.Helper()
		out.Reset()
		if err := v.beat(due); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != want {
			t.Errorf("said %q, want %q", got, want)
		}
	}
	say(true, `{"member":{"n":"pi-1","r":"agent","a":"10.0.0.1:7490"},"vital":{"node":"pi-1","boot":1,"seq":1,"at":"`+all.Vital.At.Format(time.RFC3339)+
		`","ready":true,"cpu":0,"memory":0,"in_flight":0,"queue":0},"keys":{"primary":0,"held":[0]}}`+"\n")
	say(true, "\n")
	say(false, "")
	all.Vital = &fleet.Vital{Node: "pi-1", Boot: 1, At: time.Unix(2, 0), Ready: true}
	say(false, "")
	all.Keys = &Keys{Primary: 1, Held: []uint64{0, 1}}
	say(false, `{"keys":{"primary":1,"held":[0,1]}}`+"\n")
	v.late = 300 * time.Millisecond
	say(true, `{"late_ms":300}`+"\n")
}

// TestMeshIsToldSeldom: what a node sees of the mesh changes all the time.
func TestMeshIsToldSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := Beat{Mesh: &mesh.Report{Hub: "c1"}}
		var out closer
		v := voice{say: func() Beat { return all }, out: &out}
		for second, want := range []string{`{"mesh":{"version":0,"hub":"c1"}}`, "", "", "", "", `{"mesh":{"version":0,"hub":"c2"}}`, "", "", "", "", ""} {
			out.Reset()
			if err := v.beat(false); err != nil || strings.TrimSpace(out.String()) != want {
				t.Errorf("after %d s: %q, %v, want %q", second, out.String(), err, want)
			}
			all.Mesh = &mesh.Report{Hub: "c2"}
			time.Sleep(time.Second)
		}
	})
}

// TestLargestReport fits a line.
func TestLargestReport(t *testing.T) {
	name := strings.Repeat("x", 32)
	r := mesh.Report{Hub: name, MTU: 1420}
	for range mesh.MaxLinks {
		r.Links = append(r.Links, mesh.Link{Peer: name, Via: name, Up: true, Handshake: 123.5, RTT: 12.25, Loss: 0.05, MTU: 1420, Endpoint: "[2001:db8:1234:5678:9abc:def0:1234:5678]:51820"})
	}
	if _, err := (Beat{Mesh: &r}).encode(); err != nil {
		t.Error(err)
	}
	r.Links = nil
	for range mesh.MaxSightings {
		r.Sightings = append(r.Sightings, mesh.Sighting{Node: name, Endpoint: "[2001:db8:1234:5678:9abc:def0:1234:5678]:51820"})
	}
	if _, err := (Beat{Mesh: &r}).encode(); err != nil {
		t.Error(err)
	}
}

type closer struct{ bytes.Buffer }

func (*closer) Close() error { return nil }

func TestLateness(t *testing.T) {
	late := lateness(0, time.Second)
	if late != time.Second {
		t.Errorf("late by %v, want 1s", late)
	}
	for range 20 {
		late = lateness(late, 0)
	}
	if late >= much {
		t.Errorf("still late by %v after twenty beats in time", late)
	}
}

func TestPaceFor(t *testing.T) {
	for nodes, want := range map[int]time.Duration{
		0: 400 * time.Millisecond, 32: 400 * time.Millisecond, 33: time.Second, 256: time.Second, 257: 2 * time.Second, 1024: 2 * time.Second,
	} {
		if got := PaceFor(nodes); got != want {
			t.Errorf("%d nodes: %v, want %v", nodes, got, want)
		}
	}
	for ms, want := range map[int64]time.Duration{-1: fastest, 0: fastest, 500: 500 * time.Millisecond, 1 << 62: fastest, 60_000: slowest} {
		if got := (Pace{ms}).Every(); got != want {
			t.Errorf("%d ms: %v, want %v", ms, got, want)
		}
	}
}

func TestReaderIsBounded(t *testing.T) {
	r := NewReader(strings.NewReader(strings.Repeat("x", 2*maxLine)))
	if _, err := r.Read(agent); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a line without end: %v", err)
	}
}

// FuzzRead: whatever a node sends is either a beat of its own or refused, and a
// beat that is taken can be told again.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"\n", `{"vital":{"node":"pi-1","boot":1}}` + "\n", `{"late_ms":5,"bye":true}` + "\n\n", `{"hears":["a"]}`, "{", `{"keys":{"held":[1,2]}}`} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, agents bool) {
		who := coordinator
		if agents {
			who = agent
		}
		r := NewReader(bytes.NewReader(data))
		for range 100 {
			b, err := r.Read(who)
			if err != nil {
				return
			}
			if err := b.Check(who); err != nil {
				t.Fatalf("taken, and not valid: %v", err)
			}
			line, err := b.encode()
			if err != nil {
				continue // it fits no line any more
			}
			if _, err := NewReader(bytes.NewReader(line)).Read(who); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
	})
}

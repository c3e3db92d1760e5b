package heartbeat

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
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

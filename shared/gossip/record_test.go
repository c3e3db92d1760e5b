package gossip

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"primespark/shared/fleet"
)

func TestRecordRoundTrip(t *testing.T) {
	charge := 0.8
	in := record{Vital: fleet.Vital{
		Node: "pi-1", Boot: 5, Seq: 6, At: time.Unix(7, 0).UTC(), Ready: true,
		Power: fleet.Power{Source: fleet.Battery, Charge: &charge}, Models: []fleet.Serving{{Name: "blazeface", Version: "1", Backend: "builtin"}},
	}}
	body, err := in.encode()
	if err != nil {
		t.Fatal(err)
	}
	out, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Errorf("(-in +out):\n%s", diff)
	}
	if len(body) > packetRoom {
		t.Errorf("%d bytes: a plain vital fits no packet of %d", len(body), packetRoom)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":          "",
		"another version":  "\x02{\"node\":\"pi-1\"}",
		"no JSON":          "\x01{",
		"no node":          "\x01{}",
		"hostile node":     "\x01{\"node\":\"<script>\"}",
		"newest for ever":  "\x01{\"node\":\"pi-1\",\"boot\":9223372036854775807}",
		"negative boot":    "\x01{\"node\":\"pi-1\",\"boot\":-1}",
		"negative queue":   "\x01{\"node\":\"pi-1\",\"queue\":-1}",
		"charge of 900 %":  "\x01{\"node\":\"pi-1\",\"power\":{\"state_of_charge\":9}}",
		"hostile model":    "\x01{\"node\":\"pi-1\",\"models\":[{\"name\":\"../x\"}]}",
		"many reasons":     "\x01{\"node\":\"pi-1\",\"reasons\":[" + strings.Repeat(`"x",`, 600) + `"x"]}`,
		"larger than 16 K": "\x01{\"node\":\"pi-1\"" + strings.Repeat(" ", 16<<10) + "}",
	} {
		if r, err := decode([]byte(body)); err == nil {
			t.Errorf("%s: taken as %+v", name, r)
		}
	}
}

func TestUnpackStopsAtTheFirstFault(t *testing.T) {
	state := pack([][]byte{[]byte("one"), []byte("two")})
	var got []string
	if !unpack(state, func(b []byte) { got = append(got, string(b)) }) || strings.Join(got, " ") != "one two" {
		t.Errorf("unpacked %q", got)
	}
	for cut := range len(state) {
		if cut != 4 && cut != 0 && unpack(state[:cut], func([]byte) {}) {
			t.Errorf("a state cut after %d bytes passes as whole", cut)
		}
	}
	if unpack([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, func([]byte) { t.Error("called") }) {
		t.Error("a record of 2^64 bytes passes")
	}
}

func TestNextRound(t *testing.T) {
	for name, test := range map[string]struct {
		done        int
		alone       bool
		least, most time.Duration
	}{
		"the second":   {1, false, 2 * time.Second, 2 * time.Second},
		"the third":    {2, false, 8 * time.Second, 8 * time.Second},
		"the others":   {3, false, 21600 * time.Millisecond, 32400 * time.Millisecond},
		"much later":   {999, false, 21600 * time.Millisecond, 32400 * time.Millisecond},
		"alone":        {3, true, 4 * time.Second, 6 * time.Second},
		"alone, early": {1, true, 2 * time.Second, 2 * time.Second},
	} {
		for range 1000 { // it has jitter
			if got := nextRound(test.done, test.alone); got < test.least || got > test.most {
				t.Fatalf("%s: %v, want %v to %v", name, got, test.least, test.most)
			}
		}
	}
}

func TestQuietAfter(t *testing.T) {
	for name, test := range map[string]struct {
		nodes int
		score int
		want  time.Duration
	}{
		"two nodes":   {2, 0, 10 * time.Second},
		"100 nodes":   {100, 0, 150 * time.Second},
		"a slow self": {2, 2, 30 * time.Second},
	} {
		if got := quietAfter(test.nodes, 500*time.Millisecond, test.score); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestTheLongGoneAreForgotten(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := newRoster(fleet.Member{Name: "self"}, now)
	r.joined(fleet.Member{Name: "a"}, "a:1", now)
	r.gone("a", now)
	if r.review(now.Add(23*time.Hour), time.Hour); len(r.nodes) != 2 {
		t.Error("forgotten after 23 h")
	}
	if !r.review(now.Add(25*time.Hour), time.Hour) || len(r.nodes) != 1 {
		t.Error("not forgotten after 25 h")
	}
}

// FuzzRecords feeds what the network may send to a roster: whatever it is, it
// neither breaks anything nor makes a node known.
func FuzzRecords(f *testing.F) {
	good, err := record{Vital: fleet.Vital{Node: "pi-2", Boot: 1, Seq: 1}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(pack([][]byte{good, good}))
	f.Add([]byte("\x01{\"node\":\"pi-2\",\"boot\":4611686018427387903}"))
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		now := time.Unix(1e9, 0)
		r := newRoster(fleet.Member{Name: "pi-1"}, now)
		r.joined(fleet.Member{Name: "pi-2"}, "pi-2:1", now)
		take := func(b []byte) {
			rec, err := decode(b)
			if err != nil {
				return
			}
			if v := r.hear(rec, b, now); v == fresh && !bytes.Equal(r.nodes[rec.Node].body, b) {
				t.Error("what is passed on is not what came in")
			}
			if _, err := rec.encode(); err != nil {
				t.Errorf("what was taken cannot be sent: %v", err)
			}
		}
		take(b)
		unpack(b, take)
		if len(r.view()) != 2 || r.boot >= fleet.LatestBoot {
			t.Errorf("%d nodes, boot %d after %q", len(r.view()), r.boot, b)
		}
	})
}

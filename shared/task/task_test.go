package task

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/shared/problem"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func TestCheck(t *testing.T) {
	image := json.RawMessage(`{"image":"/9j/4A=="}`)
	good := Spec{Kind: Infer, Model: "blazeface", Input: image}
	for name, test := range map[string]struct {
		change func(*Spec)
		want   problem.Code
	}{
		"good":                {func(*Spec) {}, ""},
		"noop":                {func(s *Spec) { *s = Spec{Kind: Noop} }, ""},
		"noop, told":          {func(s *Spec) { *s = Spec{Kind: Noop, Input: json.RawMessage(`{"ms":5,"fail":"x"}`)} }, ""},
		"noop, long":          {func(s *Spec) { *s = Spec{Kind: Noop, Input: json.RawMessage(`{"ms":600001}`)} }, problem.Invalid},
		"noop, unknown field": {func(s *Spec) { *s = Spec{Kind: Noop, Input: json.RawMessage(`{"run":"sh"}`)} }, problem.Invalid},
		"noop with a model":   {func(s *Spec) { *s = Spec{Kind: Noop, Model: "m"} }, problem.Invalid},
		"a shell":             {func(s *Spec) { s.Kind = "shell" }, problem.Invalid},
		"bad model":           {func(s *Spec) { s.Model = "../x" }, problem.Invalid},
		"no image":            {func(s *Spec) { s.Input = nil }, problem.Invalid},
		"empty image":         {func(s *Spec) { s.Input = json.RawMessage(`{"image":""}`) }, problem.Invalid},
		"no base64":           {func(s *Spec) { s.Input = json.RawMessage(`{"image":"%"}`) }, problem.Invalid},
		"two values":          {func(s *Spec) { s.Input = append(slices.Clone(image), image...) }, problem.Invalid},
		"large input":         {func(s *Spec) { s.Input = json.RawMessage(strings.Repeat(" ", MaxInput+1)) }, problem.TooLarge},
		"priority 7":          {func(s *Spec) { s.Priority = new(7) }, ""},
		"priority 8":          {func(s *Spec) { s.Priority = new(8) }, problem.Invalid},
		"priority -1":         {func(s *Spec) { s.Priority = new(-1) }, problem.Invalid},
		"101 attempts":        {func(s *Spec) { s.MaxAttempts = 101 }, problem.Invalid},
		"deadline past":       {func(s *Spec) { s.Deadline = noon }, problem.Invalid},
		"deadline too early":  {func(s *Spec) { s.Deadline, s.NotBefore = noon.Add(time.Hour), noon.Add(time.Hour) }, problem.Invalid},
		"deadline far off":    {func(s *Spec) { s.Deadline = noon.AddDate(2, 0, 0) }, problem.Invalid},
		"deadline":            {func(s *Spec) { s.Deadline = noon.Add(time.Second) }, ""},
	} {
		s := good
		test.change(&s)
		err := s.Check(noon)
		if (err == nil) != (test.want == "") || err != nil && !problem.Is(err, test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestRankAges(t *testing.T) {
	urgent := Task{Priority: 0, Due: noon.Add(5 * time.Minute)}
	patient := Task{Priority: 4, Due: noon}
	if !patient.Rank().Before(urgent.Rank()) {
		t.Error("a task that waited for 5 minutes is overtaken by one that is 4 priorities better")
	}
	urgent.Due = noon.Add(3 * time.Minute)
	if !urgent.Rank().Before(patient.Rank()) {
		t.Error("a better priority counts for nothing")
	}
}

func TestBackoff(t *testing.T) {
	for _, test := range []struct {
		attempt int
		draw    uint32
		want    time.Duration
	}{
		{1, 0, 0},
		{1, 1 << 31, 500 * time.Millisecond},
		{2, 1 << 31, time.Second},
		{5, 1 << 31, 8 * time.Second},
		{9, 1 << 31, 128 * time.Second},
		{10, 1 << 31, 150 * time.Second},
		{1000, 1 << 31, 150 * time.Second},
		{0, 1 << 31, 500 * time.Millisecond},
		{10, math.MaxUint32, 5*time.Minute - time.Millisecond},
	} {
		if got := Backoff(test.attempt, test.draw); got != test.want {
			t.Errorf("Backoff(%d, %#x) = %v, want %v", test.attempt, test.draw, got, test.want)
		}
	}
}

func TestIDs(t *testing.T) {
	early, late := NewID(noon), NewID(noon.Add(time.Millisecond))
	if !ValidID(early) || early >= late || early == NewID(noon) {
		t.Errorf("ids %s and %s", early, late)
	}
	for _, bad := range []string{"", "x", strings.Repeat("z", 26), strings.ToUpper(early), early + "0", "../" + early[3:]} {
		if ValidID(bad) {
			t.Errorf("%q is taken for an id", bad)
		}
	}
}

func TestStates(t *testing.T) {
	for _, s := range States {
		for _, to := range States {
			if s.MayBecome(to) && s == Done {
				t.Errorf("from %s to %s", s, to)
			}
		}
		if s.Final() == s.MayBecome(Cancelled) {
			t.Errorf("%s: one who is final can be cancelled, or one who is not cannot", s)
		}
	}
}

func FuzzLease(f *testing.F) {
	f.Add("3-1042")
	f.Add("0-0")
	f.Add("4294967296-1")
	f.Add("+1-01")
	f.Fuzz(func(t *testing.T, s string) {
		var l Lease
		if l.UnmarshalText([]byte(s)) == nil && l.String() != s {
			t.Errorf("%q is read as %s", s, l)
		}
	})
}

// FuzzCheck holds what is accepted to the bounds, whatever its input is.
func FuzzCheck(f *testing.F) {
	f.Add("infer", "blazeface", []byte(`{"image":"/9j/4A=="}`))
	f.Add("noop", "", []byte(`{"ms":5,"fail":"x"}`))
	f.Add("infer", "../x", []byte(`{"image":[1]}`))
	f.Add("noop", "", []byte(`{"ms":1e9}`))
	f.Fuzz(func(t *testing.T, kind, model string, input []byte) {
		s := Spec{Kind: Kind(kind), Model: model, Input: input}
		if s.Check(noon) != nil {
			return
		}
		if _, err := json.Marshal(s.New(NewID(noon), "token:ada", noon)); err != nil {
			t.Errorf("%q is accepted and cannot be written: %v", input, err)
		}
		if s.Kind == Infer && (len(s.Input) == 0 || strings.ContainsAny(model, "/\x00")) {
			t.Errorf("model %q with %q is accepted", model, input)
		}
	})
}

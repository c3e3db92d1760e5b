package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/shared/problem"
	"primespark/shared/task"
)

func objectOf(text string) task.Object { return task.ObjectOf([]byte(text)) }

func putModel(name, content string, nodes ...string) ModelPut {
	return ModelPut{
		Name: name, Version: "1", Bill: objectOf("bill of " + content), Objects: []task.Object{objectOf(content)}, Size: 10,
		Engines: []string{"hailo", "builtin"}, Nodes: nodes,
	}
}

// TestModels tells the story of a model that comes, is replaced and goes.
func TestModels(t *testing.T) {
	f := New()
	apply(t, f, 1, noon, samples[0])
	for i, step := range []struct {
		about string
		cmd   Command
		want  problem.Code // "" for success
		news  string       // a part of the event; empty: none
		has   string       // whose object is kept; empty: of none
	}{
		{"the first", putModel("pets", "one"), "", "pets, version 1, was added for every agent", "one"},
		{"the same again", putModel("pets", "one"), "", "", "one"},
		{"for one node", putModel("pets", "one", "pi-1"), "", "was replaced for pi-1", "one"},
		{"another package", putModel("pets", "two"), "", "was replaced", "two"},
		{"a bad name", putModel("../pets", "two"), problem.Invalid, "", "two"},
		{"no objects", ModelPut{Name: "pets", Version: "1", Bill: objectOf("x")}, problem.Invalid, "", "two"},
		{"a bad node", putModel("pets", "two", "Bad Name"), problem.Invalid, "", "two"},
		{"another one that goes", ModelDrop{Name: "cats"}, problem.NotFound, "", "two"},
		{"it goes", ModelDrop{Name: "pets"}, "", "pets was removed", ""},
		{"it is gone", ModelDrop{Name: "pets"}, problem.NotFound, "", ""},
	} {
		before, _ := f.State()
		r := apply(t, f, uint64(i+2), noon.Add(time.Hour), step.cmd)
		if step.want == "" && r.Err != nil || step.want != "" && !problem.Is(r.Err, step.want) {
			t.Errorf("%s: %v, want %q", step.about, r.Err, step.want)
		}
		s, _ := f.State()
		news := s.EventsAfter(before.Seq, 10)
		if (step.news != "") != (len(news) == 1) || len(news) == 1 && !strings.Contains(news[0].Detail, step.news) {
			t.Errorf("%s: the events are %+v, want %q", step.about, news, step.news)
		}
		for _, content := range []string{"one", "two"} {
			m := s.Models["pets"]
			if (m.Bill == objectOf("bill of "+content)) != (content == step.has) || slices.Contains(m.Objects, objectOf(content)) != (content == step.has) {
				t.Errorf("%s: the objects are %+v, want those of %q", step.about, m.Objects, step.has)
			}
		}
	}
}

func TestModelsAreBounded(t *testing.T) {
	f := New()
	apply(t, f, 1, noon, samples[0])
	for i := range MaxModels {
		if r := apply(t, f, uint64(i+2), noon, putModel(fmt.Sprint("m", i), "x")); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if r := apply(t, f, 1000, noon, putModel("one-more", "x")); !problem.Is(r.Err, problem.NoCapacity) {
		t.Errorf("one more: %v", r.Err)
	}
	if r := apply(t, f, 1001, noon, putModel("m0", "y")); r.Err != nil {
		t.Errorf("a newer package of one that is there: %v", r.Err)
	}
}

// The largest model that is allowed fits an entry, and its answer that of a call
// that is sent again.
func TestTheLargestModelFits(t *testing.T) {
	cmd := putModel(strings.Repeat("m", 64), "x")
	for i := range maxModelObjects - 1 {
		cmd.Objects = append(cmd.Objects, task.Object{SHA256: objectOf(fmt.Sprint(i)).SHA256, Size: task.MaxObject})
	}
	for i := range maxModelNodes {
		cmd.Nodes = append(cmd.Nodes, fmt.Sprintf("n%030d", i))
	}
	data, err := Encode(noon, "token:ada", Once{cmd, Call{Key: "k", Hash: Hash("call")}})
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > maxEntry {
		t.Errorf("%d bytes", len(data))
	}
	f := New()
	apply(t, f, 1, noon, samples[0])
	if r := apply(t, f, 2, noon, Once{cmd, Call{Key: "k", Hash: Hash("call")}}); r.Err != nil {
		t.Errorf("%v", r.Err)
	}
}

package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"primespark/shared/fleet"
	"primespark/shared/modelpack"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// handIn hands in a package of the model pets, and returns the reference to its bill.
func (l *lab) handIn(version string) task.Object {
	l.t.Helper()
	dir, net := l.t.TempDir(), "network "+version
	manifest := fmt.Sprintf("apiVersion: edge/v1\nkind: Model\nname: pets\nversion: %q\nvariants: [{engine: hailo, file: net.hef, sha256: %x}, {engine: builtin, file: net.hef, sha256: %[2]x}]\n",
		version, sha256.Sum256([]byte(net)))
	for name, text := range map[string]string{"model.yaml": manifest, "net.hef": net} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
	p, err := modelpack.Open(l.t.Context(), dir)
	if err != nil {
		l.t.Fatal(err)
	}
	defer p.Close()
	bill, err := p.Cut(l.t.Context(), func(_ context.Context, _ task.Object, data []byte) error { l.object(string(data)); return nil })
	if err != nil {
		l.t.Fatal(err)
	}
	text, err := bill.Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	return l.object(string(text))
}

// object hands in an object.
func (l *lab) object(text string) task.Object {
	l.t.Helper()
	if w := l.do(l.as("operator", "PUT", "/v1/objects", text)); w.Code != http.StatusCreated {
		l.t.Fatalf("an object was refused: %d %s", w.Code, w.Body)
	}
	return task.ObjectOf([]byte(text))
}

func (l *lab) putModel(bill task.Object, nodes ...string) (int, wire.FleetModel, string) {
	l.t.Helper()
	body, err := json.Marshal(wire.ModelPut{Bill: bill, For: nodes})
	if err != nil {
		l.t.Fatal(err)
	}
	w := l.do(l.as("operator", "POST", "/v1/models", string(body)))
	var m wire.FleetModel
	if w.Code == http.StatusCreated {
		m = decoded[wire.FleetModel](l.t, w)
	}
	return w.Code, m, w.Body.String()
}

// TestModelStory gives the fleet a model, sees the agents told, and takes it away.
func TestModelStory(t *testing.T) {
	l := newLab(t)
	first := l.handIn("1")
	code, m, _ := l.putModel(first)
	if code != http.StatusCreated || m.Name != "pets" || strings.Join(m.Engines, " ") != "hailo builtin" || m.Size == 0 || m.By != "token:operator" {
		t.Fatalf("%d %+v", code, m)
	}
	told := func(node string) []wire.PlanModel {
		return decoded[wire.PlanBody](t, l.do(l.as("agent/"+node, "GET", "/v1/plan", ""))).Models
	}
	if got := told("pi-1"); len(got) != 1 || got[0] != (wire.PlanModel{Name: "pets", Version: "1", Bill: first}) {
		t.Errorf("pi-1 is told %+v", got)
	}
	if code, _, text := l.putModel(l.handIn("2"), "pi-2", "pi-3"); code != http.StatusBadRequest || !strings.Contains(text, "Did you mean pi-") {
		t.Errorf("for an agent that there is not: %d %s", code, text)
	}
	l.say("pi-2", func(v *fleet.Vital) {
		v.Notes = []fleet.Note{{Model: "pets", State: wire.ModelFetching, Detail: "3 of 9 MiB"}}
	})
	if code, m, _ := l.putModel(l.handIn("2"), "pi-2"); code != http.StatusCreated || m.Version != "2" || len(m.For) != 1 {
		t.Errorf("%d %+v", code, m)
	}
	if got := told("pi-1"); got == nil || len(got) != 0 {
		t.Errorf("pi-1 is told %+v, want an empty list", got)
	}
	all := decoded[wire.FleetModelsBody](t, l.do(l.as("viewer", "GET", "/v1/models", ""))).Models
	if len(all) != 2 || all[0].Name != "blazeface" || all[0].Fleet || len(all[0].On) != 1 || all[0].On[0].State != wire.ModelReady ||
		all[1].Name != "pets" || !all[1].Fleet || len(all[1].On) != 0 {
		t.Errorf("the list is %+v; pi-2 is still pending, and in no list", all)
	}
	if w := l.do(l.as("operator", "POST", "/v1/models/pets:remove", "")); w.Code != http.StatusOK {
		t.Errorf("removed: %d %s", w.Code, w.Body)
	}
	if w := l.do(l.as("operator", "POST", "/v1/models/pets:remove", "")); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "given no model") {
		t.Errorf("removed twice: %d %s", w.Code, w.Body)
	}
}

// say changes what an agent tells of itself.
func (l *lab) say(node string, change func(*fleet.Vital)) {
	l.nodes.Update(func(v fleet.View) fleet.View {
		v = append(fleet.View{}, v...)
		for i := range v {
			if v[i].Name == node {
				change(&v[i].Vital)
			}
		}
		return v
	})
}

func TestModelStates(t *testing.T) {
	l := newLab(t)
	if code, _, text := l.putModel(l.handIn("1")); code != http.StatusCreated {
		t.Fatal(text)
	}
	serving := []fleet.Serving{{Name: "pets", Version: "1", Backend: "builtin", Millis: 5}}
	cold := []fleet.Serving{{Name: "pets", Version: "1", Cold: true}}
	note := func(state string) []fleet.Note { return []fleet.Note{{Model: "pets", State: state, Detail: "why"}} }
	for name, test := range map[string]struct {
		models []fleet.Serving
		notes  []fleet.Note
		want   wire.ModelOnIt
	}{
		"nothing said":                {nil, nil, wire.ModelOnIt{State: wire.ModelWaiting}},
		"another model":               {[]fleet.Serving{{Name: "cats"}}, []fleet.Note{{Model: "cats", State: "refused"}}, wire.ModelOnIt{State: wire.ModelWaiting}},
		"it answers":                  {serving, nil, wire.ModelOnIt{State: wire.ModelReady, Version: "1", Backend: "builtin", Millis: 5}},
		"it is cold":                  {cold, nil, wire.ModelOnIt{State: wire.ModelCold, Version: "1"}},
		"on its way":                  {nil, note("fetching"), wire.ModelOnIt{State: wire.ModelFetching, Detail: "why"}},
		"a newer one on its way":      {serving, note("fetching"), wire.ModelOnIt{State: wire.ModelFetching, Detail: "why", Version: "1", Backend: "builtin", Millis: 5}},
		"a newer one that is refused": {serving, note("refused"), wire.ModelOnIt{State: wire.ModelRefused, Detail: "why", Version: "1", Backend: "builtin", Millis: 5}},
	} {
		l.say("pi-1", func(v *fleet.Vital) { v.Models, v.Notes = test.models, test.notes })
		test.want.Node = "pi-1"
		for _, m := range decoded[wire.FleetModelsBody](t, l.do(l.as("viewer", "GET", "/v1/models", ""))).Models {
			if m.Name == "pets" && (len(m.On) != 1 || m.On[0] != test.want) {
				t.Errorf("%s: %+v, want %+v", name, m.On, test.want)
			}
		}
	}
}

// What does not hold together is refused before any agent hears of it.
func TestModelsThatAreRefused(t *testing.T) {
	l := newLab(t)
	good := l.handIn("1")
	text := string(l.api.cfg.Objects.(shelf)[good.SHA256])
	var bill modelpack.Bill
	if err := json.Unmarshal([]byte(text), &bill); err != nil {
		t.Fatal(err)
	}
	missing := task.ObjectOf([]byte("nobody handed it in"))
	for name, test := range map[string]struct {
		bill task.Object
		want string
	}{
		"no bill":            {missing, "There is none"},
		"no reference":       {task.Object{SHA256: "x"}, "is no part of a package"},
		"no JSON":            {l.object("x"), "the bill cannot be read"},
		"another name":       {l.object(strings.Replace(text, `"pets"`, `"cats"`, 1)), "the bill is of cats version 1, and its manifest of pets"},
		"a file that lacks":  {l.object(strings.Replace(text, bill.Files[1].SHA256, missing.SHA256, -1)), "has the SHA-256"},
		"a part that lacks":  {l.object(strings.Replace(text, `[{"sha256":"`+bill.Files[1].SHA256, `[{"sha256":"`+missing.SHA256, 1)), "none to refer to"},
		"a broken manifest":  {l.object(strings.Replace(text, bill.Files[0].SHA256, l.object(strings.Repeat("x", int(bill.Files[0].Size))).SHA256, -1)), "model.yaml"},
		"a photo, not a net": {l.object(strings.Replace(text, "net.hef", "net.jpg", 1)), "net.hef is not in the bill"},
	} {
		code, _, text := l.putModel(test.bill)
		if code < 400 || code >= 500 || !strings.Contains(text, test.want) {
			t.Errorf("%s: %d %s, want %q", name, code, text, test.want)
		}
	}
	if s, _ := l.group.State(); len(s.Models) != 0 {
		t.Errorf("the state has %+v", s.Models)
	}
}

// A client asks by HEAD whether an object is there, before it sends it again.
func TestObjectHead(t *testing.T) {
	l := newLab(t)
	o := l.object("something")
	if w := l.do(l.as("operator", "HEAD", wire.ObjectPath(o.SHA256), "")); w.Code != http.StatusOK {
		t.Errorf("an object that is there: %d", w.Code)
	}
	if w := l.do(l.as("operator", "HEAD", wire.ObjectPath(task.ObjectOf([]byte("?")).SHA256), "")); w.Code != http.StatusNotFound {
		t.Errorf("one that is not: %d", w.Code)
	}
	if w := l.do(l.as("", "HEAD", wire.ObjectPath(o.SHA256), "")); w.Code != http.StatusUnauthorized {
		t.Errorf("nobody may ask: %d", w.Code)
	}
}

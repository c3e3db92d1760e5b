package operator

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"primespark/shared/modelpack"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// objects are what was handed in to the fake cluster, by SHA-256.
type objects struct {
	mu  sync.Mutex
	all map[string][]byte
}

func (o *objects) put(b []byte) (twice bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	name := task.ObjectOf(b).SHA256
	_, twice = o.all[name]
	o.all[name] = b
	return twice
}

func (o *objects) get(sha string) ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b, ok := o.all[sha]
	return b, ok
}

// shelve serves the objects. A part of a model that is handed in a second time was not
// asked for before, and is refused.
func shelve(mux *http.ServeMux) *objects {
	o := &objects{all: map[string][]byte{}}
	mux.HandleFunc("PUT /v1/objects", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if twice := o.put(b); err != nil || twice && !bytes.HasPrefix(b, []byte("\xff\xd8")) {
			problem.Write(w, problem.New(problem.Conflict, "Ask first.", "The object was handed in twice."))
			return
		}
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(wire.ObjectBody{Object: task.ObjectOf(b), Holders: []string{"c1", "c2"}})
	})
	mux.HandleFunc("GET /v1/objects/{sha}", func(w http.ResponseWriter, r *http.Request) {
		b, ok := o.get(r.PathValue("sha"))
		if !ok {
			problem.Write(w, problem.New(problem.NotFound, "Hand it in.", "There is none."))
			return
		}
		w.Write(b)
	})
	return o
}

// fleetModels are the models of the fake cluster: blazeface is the agents' own, yolox
// was given, and so is pets once it was handed in whole. It is ready on pi-1 at the
// second look.
func fleetModels(answer func(string, func(*http.Request) (any, error)), objects *objects) {
	var mu sync.Mutex
	var given *wire.FleetModel
	answer("POST /v1/models", func(r *http.Request) (any, error) {
		var in wire.ModelPut
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, err
		}
		text, _ := objects.get(in.Bill.SHA256)
		bill, err := modelpack.ParseBill(text)
		if err != nil {
			return nil, err
		}
		for _, o := range bill.Objects() {
			data, _ := objects.get(o.SHA256)
			if err := o.Check(data); err != nil {
				return nil, err
			}
		}
		if slices.Contains(in.For, "pi-9") {
			return nil, problem.New(problem.Invalid, "Did you mean pi-1?", "There is no agent %q.", "pi-9")
		}
		mu.Lock()
		defer mu.Unlock()
		given = &wire.FleetModel{Name: bill.Name, Version: bill.Version, Fleet: true, Size: bill.Size(), On: []wire.ModelOnIt{{Node: "pi-1", State: wire.ModelWaiting}}}
		return *given, nil
	})
	answer("POST /v1/models/yolox:remove", func(*http.Request) (any, error) { return wire.FleetModel{Name: "yolox"}, nil })
	answer("POST /v1/models/cats:remove", func(*http.Request) (any, error) {
		return nil, problem.New(problem.NotFound, "There are: yolox.", "The fleet was given no model %q.", "cats")
	})
	answer("GET /v1/models", func(*http.Request) (any, error) {
		b := wire.FleetModelsBody{Models: []wire.FleetModel{
			{Name: "blazeface", Version: "1", On: []wire.ModelOnIt{{Node: "pi-1", State: wire.ModelReady}, {Node: "pi-2", State: wire.ModelReady}}},
			{Name: "yolox", Version: "2", Fleet: true, Size: 3 << 20, On: []wire.ModelOnIt{{Node: "pi-1", State: wire.ModelRefused, Detail: "Its file is cut\x1b[2J off."}}},
		}}
		mu.Lock()
		defer mu.Unlock()
		if given != nil {
			m := *given
			m.On = []wire.ModelOnIt{
				{Node: "pi-1", State: wire.ModelReady, Version: m.Version, Backend: "builtin"},
				{Node: "pi-2", State: wire.ModelUnfit, Detail: "it wants the engine hailo"},
			}
			b.Models = append(b.Models, m)
		}
		return b, nil
	})
}

// petsTar is a package of two parts.
func petsTar(t *testing.T) []byte {
	t.Helper()
	net := strings.Repeat("network ", modelpack.PartSize/8+1)
	files := map[string]string{"net.onnx": net, "model.yaml": fmt.Sprintf("apiVersion: edge/v1\nkind: Model\nname: pets\nlicense: MIT\nvariants: [{engine: builtin, file: net.onnx, sha256: %x}]\n", sha256.Sum256([]byte(net)))}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(files[name])), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSettled(t *testing.T) {
	for name, test := range map[string]struct {
		on   []wire.ModelOnIt
		want bool
	}{
		"nobody":                   {nil, true},
		"ready":                    {[]wire.ModelOnIt{{State: wire.ModelReady, Version: "2"}}, true},
		"the one before":           {[]wire.ModelOnIt{{State: wire.ModelReady, Version: "1"}}, false},
		"one is on its way":        {[]wire.ModelOnIt{{State: wire.ModelReady, Version: "2"}, {State: wire.ModelFetching}}, false},
		"nothing said":             {[]wire.ModelOnIt{{State: wire.ModelWaiting}}, false},
		"one cannot, one will not": {[]wire.ModelOnIt{{State: wire.ModelUnfit}, {State: wire.ModelRefused}}, true},
	} {
		if got := settled(wire.FleetModel{Version: "2", On: test.on}); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

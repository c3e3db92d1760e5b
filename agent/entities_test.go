package agent

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEntitiesOutliveTheAgent: what Home Assistant was told of is known after a
// restart, and a file that is damaged costs that and no more.
func TestEntitiesOutliveTheAgent(t *testing.T) {
	dir := t.TempDir()
	open := func() *entities {
		t.Helper()
		e, err := openEntities(dir)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := open()
	for _, now := range []map[string]string{{"cpu": "sensor", "model_face": "update"}, {"cpu": "sensor", "ready": "binary_sensor"}} {
		if err := e.add(now); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := open().all, map[string]string{"cpu": "sensor", "model_face": "update", "ready": "binary_sensor"}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	before, err := os.Stat(filepath.Join(dir, entitiesFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.add(map[string]string{"cpu": "sensor"}); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(filepath.Join(dir, entitiesFile))
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("written though nothing was new")
	}
	many := map[string]string{}
	for i := range entitiesMost {
		many[fmt.Sprintf("model_%d", i)] = "update"
	}
	if err := e.add(many); err != nil {
		t.Fatal(err)
	}
	if got := open().all; !maps.Equal(got, many) {
		t.Errorf("%d entities, want those of now", len(got))
	}
	for name, text := range map[string]string{"cut off": `{"cpu":`, "too large": strings.Repeat(" ", entitiesSize+1), "no platform": `{"cpu":"no such"}`} {
		if err := os.WriteFile(filepath.Join(dir, entitiesFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if e, err := openEntities(dir); err == nil || len(e.all) != 0 || e.add(map[string]string{"cpu": "sensor"}) != nil {
			t.Errorf("%s: %v, %v", name, e.all, err)
		}
	}
}

func FuzzEntities(f *testing.F) {
	f.Add([]byte(`{"cpu":"sensor"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := parseEntities(b)
		if all == nil || len(all) > entitiesMost || err != nil && len(all) > 0 {
			t.Errorf("%v, %v", all, err)
		}
	})
}

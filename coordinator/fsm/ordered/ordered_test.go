package ordered

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAgainstAMap does the same to a Map and to Go's own, and looks at old
// versions again at the end: they must be as they were.
func TestAgainstAMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var m Map[int]
	plain := map[string]int{}
	type version struct {
		m    Map[int]
		want map[string]int
	}
	var old []version
	for i := range 20_000 {
		key := fmt.Sprintf("%04d", random.IntN(2000))
		if random.IntN(5) < 2 {
			m = m.Without(key)
			delete(plain, key)
		} else {
			m = m.With(key, i)
			plain[key] = i
		}
		if i%2000 == 0 {
			old = append(old, version{m, maps.Clone(plain)})
		}
	}
	old = append(old, version{m, plain})
	for i, v := range old {
		if v.m.Len() != len(v.want) {
			t.Errorf("version %d has %d keys, want %d", i, v.m.Len(), len(v.want))
		}
		if got := maps.Collect(v.m.From("")); !maps.Equal(got, v.want) {
			t.Errorf("version %d differs", i)
		}
		var keys []string
		for k := range v.m.From("1000") {
			keys = append(keys, k)
		}
		want := slices.DeleteFunc(slices.Sorted(maps.Keys(v.want)), func(k string) bool { return k < "1000" })
		if !slices.Equal(keys, want) {
			t.Errorf("version %d from 1000: %d keys, want %d in order", i, len(keys), len(want))
		}
		for k, x := range v.want {
			if got, ok := v.m.Get(k); !ok || got != x {
				t.Fatalf("version %d: %s is %d, %v", i, k, got, ok)
			}
		}
		if h := float64(v.m.root.tall()); h > 1.45*math.Log2(float64(len(v.want)+2)) {
			t.Errorf("version %d: height %v of %d keys", i, h, len(v.want))
		}
	}
}

func TestEmpty(t *testing.T) {
	var m Map[int]
	if _, ok := m.Get("x"); ok || m.Without("x").Len() != 0 {
		t.Error("an empty map has something")
	}
	for range m.From("") {
		t.Error("an empty map has something")
	}
	for k := range m.With("b", 1).With("a", 2).From("") {
		if k != "a" {
			t.Errorf("begins with %s", k)
		}
		break
	}
}

func BenchmarkWith(b *testing.B) {
	var m Map[int]
	for i := range 100_000 {
		m = m.With(fmt.Sprintf("%06d", i), i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.With(fmt.Sprintf("%06d", i*7919%100_000), i)
	}
}

package builtin

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestPool runs steps of few and of many tasks; a goroutine that outlived close would
// fail the bubble.
func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(4)
		defer p.close()
		for _, tasks := range []int{1, 2, 3, 4, 100} {
			seen := make([]atomic.Int32, tasks)
			p.run(t.Context(), &step{tasks, func(task int, _ *worker) { seen[task].Add(1) }})
			for i := range seen {
				if n := seen[i].Load(); n != 1 {
					t.Errorf("task %d of %d ran %d times", i, tasks, n)
				}
			}
		}
	})
}

// TestPoolStops ends a step between tasks when its context ends.
func TestPoolStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(2)
		defer p.close()
		ctx, cancel := context.WithCancel(t.Context())
		var ran atomic.Int32
		p.run(ctx, &step{1000, func(int, *worker) {
			ran.Add(1)
			cancel()
		}})
		if n := ran.Load(); n > 2 {
			t.Errorf("%d tasks ran after the context had ended", n)
		}
	})
}

// TestPlan lays out values of random size and life, and looks for two that are alive at once
// in the same place.
func TestPlan(t *testing.T) {
	var values []*value
	for i := range 300 {
		first := int(uint32(i)*2654435761>>8) % 100
		values = append(values, &value{shape: []int{1 + i*7919%500}, first: first, last: first + i*31%10})
	}
	size, err := arrange(t.Context(), values)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for i, a := range values {
		total += a.room()
		for _, b := range values[:i] {
			if a.first <= b.last && b.first <= a.last && a.place < b.place+b.room() && b.place < a.place+a.room() {
				t.Fatalf("%+v and %+v overlap", a, b)
			}
		}
		if a.place+a.room() > size {
			t.Fatalf("%+v lies beyond %d", a, size)
		}
	}
	if size > total/5 {
		t.Errorf("%d elements for values of %d in all: memory is not shared", size, total)
	}
}

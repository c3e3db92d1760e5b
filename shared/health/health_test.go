package health_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/health"
)

func ExampleRegistry() {
	conditions := health.New(map[health.Code]time.Duration{health.NoQuorum: 5 * time.Second})
	conditions.Set(health.NoModels, health.Unready, "No model is loaded.", "Load one.")
	conditions.Set(health.NoQuorum, health.Unready, "1 of 3 coordinators answers.", "Start another one.")
	for _, c := range conditions.Reasons() { // no quorum has not lasted yet
		fmt.Println(c.Code, c.Detail, c.Remedy)
	}
	// Output: no_models No model is loaded. Load one.
}

func TestOnlyUnreadyConditionsAreReasons(t *testing.T) {
	r := health.New(nil)
	if r.Reasons() == nil {
		t.Error("no reasons are nil, which JSON shows as null; want []")
	}
	r.Set(health.Starting, health.Unready, "Starting.", "Wait.")
	r.Set("battery_unreadable", health.Warning, "No answer.", "Reseat it.")
	r.Set(health.Draining, health.Unready, "Draining.", "Undrain it.")
	if diff := cmp.Diff([]string{"battery_unreadable", "draining", "starting"}, r.All().Codes()); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"draining", "starting"}, r.Reasons().Codes()); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	r.Clear(health.Starting)
	r.Clear(health.Starting)
	if diff := cmp.Diff([]string{"draining"}, r.Reasons().Codes()); diff != "" {
		t.Errorf("after starting (-want +got):\n%s", diff)
	}
}

func TestShowsAfterItHasLasted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := health.New(map[health.Code]time.Duration{health.NoQuorum: 5 * time.Second, health.LowBattery: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.Run(ctx)

		quorum := func() { r.Set(health.NoQuorum, health.Unready, "No quorum.", "Start one.") }
		quorum()
		time.Sleep(4 * time.Second)
		r.Clear(health.NoQuorum) // a blink
		time.Sleep(2 * time.Second)
		if got := r.All(); len(got) > 0 {
			t.Fatalf("a blink of 4 s shows: %v", got)
		}

		began := time.Now()
		_, changed := r.Watch().Load()
		quorum()
		r.Set(health.LowBattery, health.Warning, "19 %.", "Plug it in.")
		time.Sleep(3 * time.Second)
		quorum() // said again, it does not begin anew
		<-changed
		if got := time.Since(began); got != 5*time.Second {
			t.Errorf("showed after %v, want 5 s", got)
		}
		shown, changed := r.Watch().Load()
		if len(shown) != 1 || !shown[0].Since.Equal(began) {
			t.Errorf("shown %v, want no_quorum since %v", shown, began.UTC())
		}
		<-changed
		if got := time.Since(began); got != time.Minute {
			t.Errorf("low battery showed after %v, want 1 min", got)
		}
	})
}

func TestNothingNewWakesNobody(t *testing.T) {
	r := health.New(nil)
	r.Set(health.Starting, health.Unready, "Starting.", "Wait.")
	_, changed := r.Watch().Load()
	r.Set(health.Starting, health.Unready, "Starting.", "Wait.")
	r.Clear(health.Draining)
	select {
	case <-changed:
		t.Error("the same list woke its readers")
	default:
	}
}

func TestConditionJSON(t *testing.T) {
	got, err := json.Marshal(health.Condition{
		Code: health.NoQuorum, Severity: health.Unready, Detail: "d", Remedy: "r",
		Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	})
	want := `{"code":"no_quorum","severity":"unready","detail":"d","remedy":"r","since":"2026-01-02T03:04:05Z"}`
	if string(got) != want || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestCollector(t *testing.T) {
	r := health.New(nil)
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(health.Collector(r.All))
	figures := func() map[string]float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				var name strings.Builder
				name.WriteString(f.GetName())
				for _, l := range m.GetLabel() {
					name.WriteString(" " + l.GetValue())
				}
				got[name.String()] = m.GetGauge().GetValue()
			}
		}
		return got
	}
	if got := figures(); len(got) != 1 || got["primespark_ready"] != 1 {
		t.Errorf("nothing is wrong: %v", got)
	}
	r.Set(health.NoQuorum, health.Unready, "No leader.", "Wait.")
	r.Set(health.SlowDisk, health.Warning, "Slow.", "Use an SSD.")
	got := figures()
	want := map[string]float64{"primespark_ready": 0, "primespark_condition no_quorum unready": 1, "primespark_condition slow_disk warning": 1}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

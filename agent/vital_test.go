package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/notify"
	"primespark/shared/watch"
)

func TestSentence(t *testing.T) {
	one, two := []fleet.Serving{{Name: "blazeface"}}, []fleet.Serving{{Name: "a"}, {Name: "b"}}
	for _, test := range []struct {
		v      fleet.Vital
		joined bool
		want   string
	}{
		{fleet.Vital{Ready: true, Models: one}, false, "Serves blazeface to this host only; to make it part of a cluster: prime-spark-agent join CODE"},
		{fleet.Vital{Ready: true, Models: two, Mode: fleet.Normal}, true, "Serves 2 models, mode normal."},
		{fleet.Vital{Reasons: []string{"low_battery", "no_models"}}, true, "Not ready (low_battery, no_models). Serves 0 models."},
	} {
		if got := sentence(test.v, test.joined); got != test.want {
			t.Errorf("sentence(%+v, %v) = %q, want %q", test.v, test.joined, got, test.want)
		}
	}
}

// TestWatchdog: the service manager hears from an agent only while the loops that matter go
// round, the power's too.
func TestWatchdog(t *testing.T) {
	for name, test := range map[string]struct {
		hangs error
		want  string
	}{
		"all is well":     {nil, "READY=1 STATUS WATCHDOG=1 STOPPING=1"},
		"the power hangs": {errors.New("nobody has looked after the battery for 31s"), "STOPPING=1"},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "notify")
			manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer manager.Close()
			service, err := notify.Dial(socket, "20000000")
			if err != nil {
				t.Fatal(err)
			}
			defer service.Close()
			ctx, cancel := context.WithCancel(t.Context())
			looks := 0
			v := vitals{
				collect: func() fleet.Vital {
					if looks++; looks == 3 {
						cancel()
					}
					return fleet.Vital{Ready: true}
				},
				show: watch.New(fleet.Vital{}), service: service, alive: func() error { return test.hangs }, log: slog.New(slog.DiscardHandler),
			}
			if err := v.Run(ctx); err != nil {
				t.Fatal(err)
			}
			var told []string
			for buf := make([]byte, 4096); len(told) == 0 || told[len(told)-1] != "STOPPING=1"; {
				if err := manager.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
					t.Fatal(err)
				}
				n, err := manager.Read(buf)
				if err != nil {
					t.Fatalf("after %q: %v", told, err)
				}
				for line := range strings.SplitSeq(string(buf[:n]), "\n") {
					if strings.HasPrefix(line, "STATUS=") {
						line = "STATUS"
					}
					told = append(told, line)
				}
			}
			if got := strings.Join(told, " "); got != test.want {
				t.Errorf("the service manager was told %q, want %q", got, test.want)
			}
		})
	}
}

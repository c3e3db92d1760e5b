// Package figures measures a whole fleet of real processes on this machine: what
// the gateway's hop costs, how long a lost leader is missed, how much memory and
// disk the programs take.
package figures

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"primespark/coordinator/cmd/prime-spark/internal/demo"
	"primespark/shared/cli"
	"primespark/shared/rig"
	"primespark/shared/testphoto"
	"primespark/shared/wire"
)

// Figures are what was measured. Times are in ms, sizes in bytes.
type Figures struct {
	ProgramSize map[string]int64 `json:"program_bytes"`
	AgentIdle   int64            `json:"agent_rss_idle_bytes"`  // the largest of the agents, model loaded and self-tested
	AgentUsed   int64            `json:"agent_rss_used_bytes"`  // the same after 10 inferences
	Direct      Spread           `json:"agent_direct_ms"`       // one photo, asked of an agent
	Gateway     Spread           `json:"through_gateway_ms"`    // the same through a coordinator
	P50Ratio    float64          `json:"gateway_ratio_p50"`     // Gateway to Direct
	P99Ratio    float64          `json:"gateway_ratio_p99"`     //
	Answer      Spread           `json:"failover_answer_ms"`    // SIGKILL of the leader to the next answer
	Write       Spread           `json:"failover_write_ms"`     // SIGKILL of the leader to the first accepted change
	Lost        int              `json:"failover_lost_answers"` // of all photos sent meanwhile
	Sent        int              `json:"failover_sent"`
	Stop        Spread           `json:"stop_write_gap_ms"`      // SIGTERM of the leader: the longest that a change waited
	Witness     int64            `json:"witness_rss_bytes"`      // with 100 nodes and 3000 tasks
	Killed      Spread           `json:"agent_killed_ms"`        // SIGKILL of an agent until no coordinator would ask it
	Frozen      Spread           `json:"agent_frozen_ms"`        // SIGSTOP
	Naps        int              `json:"coordinator_naps"`       // how often a coordinator was stopped for 5 s
	Slandered   int              `json:"coordinator_nap_deaths"` // nodes that it held for dead after
}

// A Spread is how a measurement was spread, in ms.
type Spread struct {
	Median float64 `json:"p50"`
	P99    float64 `json:"p99"`
	Most   float64 `json:"max"`
	Count  int     `json:"count"`
}

func spread(all []time.Duration) Spread {
	if len(all) == 0 {
		return Spread{}
	}
	slices.Sort(all)
	at := func(q float64) float64 { return all[min(len(all)-1, int(q*float64(len(all))))].Seconds() * 1000 }
	return Spread{at(0.5), at(0.99), at(1), len(all)}
}

// Command makes the hidden command that make bench runs.
func Command() *cobra.Command {
	var photos, rounds int
	cmd := &cobra.Command{
		Use: "fleet-figures", Short: "Measure a fleet of real processes on this machine", Hidden: true, Args: cli.Words(),
		Example: "  prime-spark fleet-figures --rounds 3 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if photos < 1 || rounds < 1 {
				return cli.Misuse(cmd, "--photos and --rounds must be 1 or more.")
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			bin := filepath.Dir(self)
			r, err := rig.New(rig.Options{Bin: bin, Coordinators: 3, Agents: 3})
			if err != nil {
				return err
			}
			f, err := measure(cmd.Context(), r, bin, photos, rounds)
			if err := errors.Join(err, r.Close()); err != nil {
				return err
			}
			if err := f.group(cmd.Context(), bin, rounds); err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(f, func() { show(out, f) })
		},
	}
	cmd.Flags().IntVar(&photos, "photos", 300, "how many photos to send each way")
	cmd.Flags().IntVar(&rounds, "rounds", 10, "how often to kill the leader")
	cli.JSON(cmd)
	return cmd
}

func measure(ctx context.Context, r *rig.Rig, bin string, photos, rounds int) (f Figures, err error) {
	if f.ProgramSize, err = sizes(bin); err != nil {
		return f, err
	}
	if err := r.Start(ctx, func(string) {}); err != nil {
		return f, err
	}
	if _, err := r.Healthy(ctx, demo.Model); err != nil {
		return f, err
	}
	if f.AgentIdle, err = memory(r.Agents); err != nil {
		return f, err
	}
	for _, n := range r.Agents {
		for range 10 {
			if _, err := ask(ctx, plain(n)); err != nil {
				return f, err
			}
		}
	}
	if f.AgentUsed, err = memory(r.Agents); err != nil {
		return f, err
	}
	if err := f.hop(ctx, r, photos); err != nil {
		return f, err
	}
	if err := f.failover(ctx, r, rounds); err != nil {
		return f, err
	}
	return f, f.deaths(ctx, r, rounds)
}

// hop sends the same photo by turns to an agent and through a coordinator, both
// over plain HTTP on loopback, so that what differs is the gateway and its TLS
// connection to the agent. All agents have their turn.
func (f *Figures) hop(ctx context.Context, r *rig.Rig, photos int) error {
	gateway := plain(r.Coordinators[0])
	var agents []*wire.Client
	for _, n := range r.Agents {
		agents = append(agents, plain(n))
	}
	var direct, through []time.Duration
	for i := range photos + 2*len(agents) {
		d, err := ask(ctx, agents[i%len(agents)])
		if err != nil {
			return err
		}
		g, err := ask(ctx, gateway)
		if err != nil {
			return err
		}
		if i >= 2*len(agents) { // the first ones open connections
			direct, through = append(direct, d), append(through, g)
		}
	}
	f.Direct, f.Gateway = spread(direct), spread(through)
	f.P50Ratio, f.P99Ratio = f.Gateway.Median/f.Direct.Median, f.Gateway.P99/f.Direct.P99
	return nil
}

func (f *Figures) failover(ctx context.Context, r *rig.Rig, rounds int) error {
	var answers, writes []time.Duration
	for range rounds {
		leader, err := r.Leader(ctx)
		if err != nil {
			return err
		}
		lost, err := demo.Failover(ctx, r, leader)
		if err != nil {
			return err
		}
		answers, writes = append(answers, lost.Answer), append(writes, lost.Write)
		f.Lost += lost.Failed
		f.Sent += lost.Sent
		if err := leader.Start(); err != nil {
			return err
		}
		if _, err := r.Healthy(ctx, demo.Model); err != nil {
			return err
		}
	}
	f.Answer, f.Write = spread(answers), spread(writes)
	return nil
}

func plain(n *rig.Node) *wire.Client {
	return &wire.Client{BaseURLs: []string{"http://" + n.Loopback}}
}

func ask(ctx context.Context, c *wire.Client) (time.Duration, error) {
	begin := time.Now()
	_, err := c.InferImage(ctx, demo.Model, testphoto.Astronaut(), http.Header{"Cache-Control": {"no-store"}}) // the same photo each time
	return time.Since(begin), err
}

func sizes(bin string) (map[string]int64, error) {
	all := map[string]int64{}
	for _, name := range []string{"prime-spark-agent", "prime-spark-coordinator", "prime-spark"} {
		info, err := os.Stat(filepath.Join(bin, name))
		if err != nil {
			return nil, err
		}
		all[name] = info.Size()
	}
	return all, nil
}

// memory returns the largest resident set of the nodes' processes, in bytes
// (VmRSS of proc(5)).
func memory(nodes []*rig.Node) (most int64, err error) {
	for _, n := range nodes {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID()))
		if err != nil {
			return 0, err
		}
		_, rest, found := strings.Cut(string(raw), "VmRSS:")
		fields := strings.Fields(rest)
		if !found || len(fields) < 2 {
			return 0, fmt.Errorf("memory of %s: no VmRSS in /proc", n.Name)
		}
		kib, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("memory of %s: %w", n.Name, err)
		}
		most = max(most, kib<<10)
	}
	return most, nil
}

func show(out *cli.Out, f Figures) {
	mb := func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
	mib := func(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
	row := func(what, value, goal string) []any { return []any{what, value, goal} }
	times := func(s Spread) string {
		return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, max %.1f ms (%d)", s.Median, s.P99, s.Most, s.Count)
	}
	out.Table([]string{"FIGURE", "MEASURED", "GOAL"}, [][]any{
		row("size, agent", mb(f.ProgramSize["prime-spark-agent"]), "20 MB at most"),
		row("size, coordinator", mb(f.ProgramSize["prime-spark-coordinator"]), ""),
		row("size, operator's command", mb(f.ProgramSize["prime-spark"]), ""),
		row("agent's memory, idle", mib(f.AgentIdle), "25 MiB at most"),
		row("agent's memory, after 10 photos", mib(f.AgentUsed), ""),
		row("photo, asked of an agent", times(f.Direct), ""),
		row("photo, through the gateway", times(f.Gateway), ""),
		row("gateway against agent", fmt.Sprintf("p50 %.2fx, p99 %.2fx", f.P50Ratio, f.P99Ratio), ""),
		row("leader killed, next answer", times(f.Answer), "1 s at most (p50)"),
		row("leader killed, next change", times(f.Write), "1 s at most (p50)"),
		row("leader stopped, changes wait", times(f.Stop), "200 ms at most"),
		row("witness's memory", mib(f.Witness), "20 MiB at most"),
		row("answers lost meanwhile", fmt.Sprintf("%d of %d", f.Lost, f.Sent), "0"),
		row("agent killed, out of routing", times(f.Killed), "2 s at most"),
		row("agent frozen, out of routing", times(f.Frozen), "2 s at most"),
		row("coordinator stopped for 5 s", fmt.Sprintf("%d healthy nodes held for dead (%d times stopped)", f.Slandered, f.Naps), "0"),
	})
}

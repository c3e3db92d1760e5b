package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"primespark/coordinator/cmd/prime-spark/internal/bench"
	"primespark/shared/cli"
	"primespark/shared/model"
	"primespark/shared/testphoto"
	"primespark/shared/wire"
)

// Bounds of a measurement.
const (
	maxRate        = 100_000
	maxConnections = 1024
	maxDuration    = 24 * time.Hour
)

func benchCommand(s *session) *cobra.Command {
	plan := bench.Plan{}
	var image string
	var tensors, cached bool
	cmd := &cobra.Command{
		Use: "bench MODEL", Short: "Measure how fast a model answers, under a load of your choice",
		Long: `Measure how fast a model answers, through the gateway or, with --server, an agent.

With --rate, requests are due at fixed times whether or not the ones before are
answered, and each one's latency counts from when it was due. So a server that
stalls is charged with everything that waited meanwhile. With --rate 0 each
connection sends the next request when it has its answer: that tells the
throughput, and its latencies flatter.

A model that takes images is sent a photo of a person, or yours with --image;
others, and all with --tensors, are sent made-up tensors as binary data. Each
request is given up after --timeout.`,
		Example: "  prime-spark bench blazeface\n  prime-spark bench blazeface --rate 50 --duration 1m --image street.jpg\n  prime-spark bench blazeface --rate 0 --connections 16 --json",
		Args:    cli.Words("MODEL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case !model.ValidName(args[0]):
				return cli.Misuse(cmd, "MODEL is %q; a model's name is 1 to 64 of a-z, 0-9, dot, underscore and hyphen.", cli.Text(args[0]))
			case !(plan.Rate >= 0 && plan.Rate <= maxRate): // NaN is neither
				return cli.Misuse(cmd, "--rate is %v; give 0 for as fast as possible, or up to %d requests a second.", plan.Rate, maxRate)
			case plan.Connections < 1 || plan.Connections > maxConnections:
				return cli.Misuse(cmd, "--connections is %d; give 1 to %d.", plan.Connections, maxConnections)
			case plan.Duration < 100*time.Millisecond || plan.Duration > maxDuration || plan.Warmup < 0 || plan.Warmup > maxDuration:
				return cli.Misuse(cmd, "--duration is %v and --warmup %v; give 100ms to 24h, and 0s to 24h.", plan.Duration, plan.Warmup)
			case tensors && image != "":
				return cli.Misuse(cmd, "--tensors and --image say two things; give one of them.")
			}
			return benchModel(cmd, s, image, tensors, bench.Job{Model: args[0], Cached: cached, Timeout: s.timeout, Plan: plan})
		},
	}
	flags := cmd.Flags()
	flags.Float64Var(&plan.Rate, "rate", 10, "requests a second; 0 for as many as the connections can")
	flags.IntVar(&plan.Connections, "connections", 16, "connections, each with one request at a time")
	flags.DurationVar(&plan.Duration, "duration", 10*time.Second, "how long to measure")
	flags.DurationVar(&plan.Warmup, "warmup", time.Second, "how long to send before, uncounted")
	flags.StringVar(&image, "image", "", "send this JPEG, PNG, WebP, BMP or TIFF; - for standard input")
	flags.BoolVar(&cached, "cached", false, "let results of before answer; otherwise each is computed")
	flags.BoolVar(&tensors, "tensors", false, "send made-up tensors even if the model takes images")
	cli.JSON(cmd)
	return cmd
}

// target is a server and what it says of the model.
type target struct {
	client *wire.Client
	meta   model.Metadata
}

func benchModel(cmd *cobra.Command, s *session, image string, tensors bool, job bench.Job) error {
	var photo []byte
	if image != "" {
		var err error
		if photo, err = readInput(cmd, image, maxInput); err != nil {
			return err
		}
	}
	at, err := ask(cmd, s, "asking for the model", func(ctx context.Context, c *wire.Client) (target, error) {
		m, err := c.Model(ctx, job.Model)
		return target{c, m}, err
	})
	if err != nil {
		return err
	}
	switch {
	case photo != nil:
		job.Body = bench.Photo(photo)
	case at.meta.Image && !tensors:
		job.Body = bench.Photo(testphoto.Astronaut())
	default:
		if job.Body, err = bench.Tensors(at.meta); err != nil {
			return err
		}
	}
	pace := "as fast as possible"
	if job.Plan.Rate > 0 {
		pace = fmt.Sprintf("%g requests a second", job.Plan.Rate)
	}
	stop := cli.Progress(cmd, fmt.Sprintf("sending %s for %v", pace, job.Plan.Warmup+job.Plan.Duration))
	job.Server, job.Token = at.client.Base(), at.client.Token
	report, err := bench.Run(cmd.Context(), at.client.HTTP, job)
	stop()
	if err != nil {
		return err
	}
	if cmd.Context().Err() != nil {
		return cmd.Context().Err()
	}
	out := cli.Output(cmd)
	return out.Data(report, func() { showReport(out, report) })
}

func showReport(out *cli.Out, r *bench.Report) {
	pace := "as fast as they could"
	if r.Rate > 0 {
		pace = fmt.Sprintf("%g due a second", r.Rate)
	}
	out.Line("%s at %s: %d connections, %s, for %.1f s", r.Model, r.Server, r.Connections, pace, r.Seconds)
	out.Line("%d answered well, %.1f a second; %d failed", r.Good, r.Throughput, r.Sent-r.Good)
	if r.Cached > 0 {
		out.Line("%d of them by results of before", r.Cached)
	}
	if r.Unsent > 0 {
		out.Line("%s", cli.Warn(fmt.Sprintf("%d were due and never sent: the server does not keep up with this rate.", r.Unsent)))
	}
	for _, code := range slices.Sorted(maps.Keys(r.Failed)) {
		out.Line("  %s: %d", code, r.Failed[code])
	}
	row := func(what string, s bench.Spread) []any {
		cells := []any{what}
		for _, v := range []float64{s.P50, s.P90, s.P99, s.P999, s.Max, s.Mean} {
			cells = append(cells, fmt.Sprintf("%.2f", v))
		}
		return cells
	}
	rows := [][]any{row("since sent", r.Service)}
	if r.Rate > 0 {
		rows = [][]any{row("since due", r.Latency), rows[0]}
	}
	out.Table([]string{"MS", "P50", "P90", "P99", "P99.9", "MAX", "MEAN"}, rows)
	var steps []string
	for _, step := range []string{"queue", "decode", "infer", "post", "gateway"} {
		if ms, ok := r.Steps[step]; ok {
			steps = append(steps, fmt.Sprintf("%s %.2f", step, ms))
		}
	}
	if len(steps) > 0 {
		out.Line("on the servers, in ms on average: %s", strings.Join(steps, ", "))
	}
	var nodes []string
	for _, node := range slices.Sorted(maps.Keys(r.Nodes)) {
		nodes = append(nodes, fmt.Sprintf("%s %d", node, r.Nodes[node]))
	}
	out.Line("%s", cli.Faint("answered by "+strings.Join(nodes, ", ")))
}

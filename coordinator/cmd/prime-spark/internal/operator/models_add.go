package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"primespark/coordinator/cmd/prime-spark/internal/download"
	"primespark/shared/cli"
	"primespark/shared/fleet"
	"primespark/shared/modelpack"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

const sourceHelp = `SOURCE is a folder with a model.yaml, a .tar of one, or an https:// address of a .tar
whose SHA-256 is given with --sha256. All of it is checked here, before anything is sent: that it is whole, and that each file is the one that
the manifest names. A transfer that breaks off goes on where it was when the command
is run again.`

// A source is where a package comes from.
type source struct {
	sha256 string
}

func (f *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.sha256, "sha256", "", "of the .tar, 64 hexadecimal digits; needed with an address, checked with a file")
}

// status is a sentence that changes, for the progress line.
type status struct{ atomic.Pointer[string] }

func (s *status) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.Store(&text)
}

func (s *status) text() string {
	if t := s.Load(); t != nil {
		return *t
	}
	return "looking"
}

// open opens the package at an argument, which is downloaded to into first if it is an
// address.
func (f source) open(ctx context.Context, cmd *cobra.Command, from, into string, now *status) (*modelpack.Package, error) {
	sum := strings.ToLower(f.sha256)
	if sum != "" && !task.ValidSHA256(sum) {
		return nil, cli.Misuse(cmd, "--sha256 is %q; give the 64 hexadecimal digits that sha256sum prints.", cli.Text(f.sha256))
	}
	if strings.Contains(from, "://") {
		if sum == "" {
			return nil, cli.Misuse(cmd, "An address needs --sha256 beside it: whoever runs the server could send anything.")
		}
		if download.Verify(into, sum) == nil { // an earlier run came so far
			return modelpack.Open(ctx, into)
		}
		g := download.Getter{Progress: func(done, all int64) {
			now.say("downloading: %s of %s", size(done), size(all))
		}}
		if err := g.Get(ctx, download.File{URL: from, SHA256: sum, Path: into}); err != nil {
			return nil, err
		}
		from, sum = into, "" // it was checked
	}
	if sum != "" {
		now.say("checking %s", from)
		if err := download.Verify(from, sum); err != nil {
			return nil, err
		}
	}
	now.say("checking %s", from)
	p, err := modelpack.Open(ctx, from)
	switch {
	case err == nil || ctx.Err() != nil:
		return p, err
	case errors.Is(err, fs.ErrNotExist):
		return nil, cli.Exit(cli.Misused, &problem.Error{Code: problem.Invalid, Err: err, Detail: "There is no " + from + ".", Remedy: "Give a folder with a model.yaml, a .tar of one, or an https:// address."})
	}
	return nil, &problem.Error{
		Code: problem.Conflict, Err: err, Detail: "The package is refused: " + strings.TrimSuffix(err.Error(), ".") + ".",
		Remedy: "Mend it, or copy the package again; nothing was sent.",
	}
}

func modelsAddCommand(s *session) *cobra.Command {
	var from source
	var nodes []string
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "add SOURCE", Short: "Give the fleet a model, or a newer package of one", Args: cli.Words("SOURCE"),
		Long: `Give the fleet a model: every agent that has an engine and the memory for it fetches
it from the coordinators, tries it on the photo of its selftest, and serves it from
then on; agents that join later do as well. A newer package takes the place of the
one before without a request being lost, and one that fails its selftest does not.

` + sourceHelp,
		Example: "  prime-spark models add ./yolox-nano\n  prime-spark models add yolox-nano.tar --node pi-1 --node pi-2\n" +
			"  prime-spark models add https://example.org/yolox-nano.tar --sha256 " + strings.Repeat("0", 64),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, n := range nodes {
				if !fleet.ValidName(n) {
					return cli.Misuse(cmd, "--node is %q, which is no name of a node.", cli.Text(n))
				}
			}
			if wait < 0 || wait > time.Hour {
				return cli.Misuse(cmd, "--wait is %v; give 0s to 1h.", wait)
			}
			var now status
			defer cli.ProgressOf(cmd, now.text)()
			p, err := from.open(cmd.Context(), cmd, args[0], cached(from.sha256), &now)
			if err != nil {
				return err
			}
			defer p.Close()
			m, err := give(cmd, s, p, nodes, wait, &now)
			if err != nil {
				return err
			}
			tidy(from, args[0])
			row := rowOf(m)
			out := cli.Output(cmd)
			return out.Data(row, func() {
				out.Line("%s version %s is given to the fleet.", m.Name, m.Version)
				showModels(out, []modelRow{row})
			})
		},
	}
	from.flags(cmd)
	cmd.Flags().StringSliceVar(&nodes, "node", nil, "an agent that is to serve it; may be given several times. None: all that can")
	cmd.Flags().DurationVar(&wait, "wait", time.Minute, "look so long at how the agents fetch and try it")
	cli.JSON(cmd)
	return cmd
}

// cached is where a package that is being downloaded is, so that another run goes on
// with it.
func cached(sum string) string {
	name := "prime-spark-" + filepath.Base(strings.ToLower(sum)) + ".tar"
	if dir, err := os.UserCacheDir(); err == nil && os.MkdirAll(filepath.Join(dir, "prime-spark"), 0o700) == nil {
		return filepath.Join(dir, "prime-spark", name)
	}
	return filepath.Join(os.TempDir(), name) // its sum is checked whoever wrote it
}

// tidy removes what was downloaded, once it has served.
func tidy(f source, from string) {
	if strings.Contains(from, "://") {
		_ = os.Remove(cached(f.sha256)) // a file too many in a cache does no harm
	}
}

// give hands the parts of a package in, then the package, and looks at how it fares.
// --timeout is that of each step: all of them may take long over a slow line.
func give(cmd *cobra.Command, s *session, p *modelpack.Package, nodes []string, wait time.Duration, now *status) (m wire.FleetModel, err error) {
	_, cancel, client, err := s.client(cmd)
	if err != nil {
		return m, err
	}
	cancel()
	step := func(do func(ctx context.Context) error) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), s.timeout)
		defer cancel()
		if err := do(ctx); err != nil {
			return late(cmd, ctx, s, err)
		}
		return nil
	}
	var sent int64
	bill, err := p.Cut(cmd.Context(), func(_ context.Context, o task.Object, data []byte) error {
		now.say("handing in: %s of %s", size(sent), size(p.Size()))
		sent += o.Size
		return step(func(ctx context.Context) error { return handOver(ctx, client, o, data) })
	})
	if err != nil {
		return m, err
	}
	text, err := bill.Encode()
	if err != nil {
		return m, err
	}
	put := wire.ModelPut{Bill: task.ObjectOf(text), For: nodes}
	if err := step(func(ctx context.Context) error { return handOver(ctx, client, put.Bill, text) }); err != nil {
		return m, err
	}
	if err := step(func(ctx context.Context) error { m, err = client.PutModel(ctx, put); return err }); err != nil {
		return m, err
	}
	return await(cmd.Context(), client, m, wait, func(m wire.FleetModel) {
		row := rowOf(m)
		now.say("%d of %d agents serve it; %s", len(row.Nodes), len(m.On), row.Reason)
	})
}

// handOver hands an object in, unless the coordinators have it.
func handOver(ctx context.Context, c *wire.Client, o task.Object, data []byte) error {
	if there, err := c.HasObject(ctx, o); err != nil || there {
		return err
	}
	_, err := c.PutObject(ctx, data)
	return err
}

func modelsPullCommand() *cobra.Command {
	var from source
	var output string
	cmd := &cobra.Command{
		Use: "pull SOURCE", Short: "Get a package to this machine and check it", Args: cli.Words("SOURCE"),
		Long: `Get a package to this machine, check it, and write it as one .tar, to look at it, to
keep it, or to carry it to a node without a network, where it goes into models.dir.

` + sourceHelp,
		Example: "  prime-spark models pull https://example.org/yolox-nano.tar --sha256 " + strings.Repeat("0", 64) + "\n" +
			"  prime-spark models pull ./yolox-nano --output /media/stick/yolox-nano.tar",
		RunE: func(cmd *cobra.Command, args []string) error {
			var now status
			defer cli.ProgressOf(cmd, now.text)()
			p, err := from.open(cmd.Context(), cmd, args[0], cached(from.sha256), &now)
			if err != nil {
				return err
			}
			defer p.Close()
			if output == "" {
				output = p.Manifest.Name + ".tar"
			}
			now.say("writing %s", path.Base(output))
			sum, err := p.WriteFile(cmd.Context(), output)
			if err != nil {
				return err
			}
			tidy(from, args[0])
			made := pulled{p.Manifest.Name, p.Manifest.Version, output, sum, p.Size(), len(p.Files), p.Manifest.License}
			out := cli.Output(cmd)
			return out.Data(made, func() {
				out.Line("%s version %s is whole: %d files, %s, license %s.", made.Name, made.Version, made.Files, size(made.Size), orNone(made.License))
				out.Line("%s  %s", made.SHA256, made.File)
			})
		},
	}
	from.flags(cmd)
	cmd.Flags().StringVar(&output, "output", "", "the file to write; NAME.tar here if it is not given")
	cli.JSON(cmd)
	return cmd
}

// pulled is what models pull prints.
type pulled struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	File    string `json:"file"`
	SHA256  string `json:"sha256"` // of the file
	Size    int64  `json:"size"`   // of what is in it
	Files   int    `json:"files"`
	License string `json:"license,omitempty"`
}

func orNone(s string) string {
	if s == "" {
		return "not told"
	}
	return s
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"primespark/hailo/hef"
	"primespark/shared/cli"
	"primespark/shared/problem"
)

func hailoCommand() *cobra.Command {
	return cli.Group("hailo", "Look at the Hailo accelerator, and at models for it", hailoInspectCommand(), hailoSelftestCommand())
}

func hailoInspectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "inspect FILE", Short: "Tell what a HEF file holds, and whether it is whole", Args: cli.Words("FILE"),
		Long: `Reads a model for a Hailo accelerator, checks it and prints which chip and which
HailoRT it is for, and what goes in and out. It needs neither of them.`,
		Example: "  prime-spark-agent hailo inspect /usr/share/hailo-models/yolov8s_h8.hef",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := readHEF(args[0])
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(inspected{f, f.Needs(), f.Outdated()}, func() { inspect(out, filepath.Base(args[0]), f) })
		},
	}
	cli.JSON(cmd)
	return cmd
}

// inspected is what programs get.
type inspected struct {
	*hef.File
	Needs    hef.Release `json:"needs_hailort"`
	Outdated bool        `json:"outdated"`
}

func readHEF(path string) (*hef.File, error) {
	file, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, cli.Exit(cli.NotFound, problem.New(problem.NotFound, "Look for the name with ls.", "There is no file %s.", path))
	case err != nil:
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, problem.New(problem.Invalid, "Name one HEF file.", "%s is not a file.", path)
	}
	f, err := hef.Read(file, info.Size())
	if err != nil {
		return nil, &problem.Error{
			Code: problem.Invalid, Detail: path + " cannot be used.", Err: err,
			Remedy: "Compare its size and checksum with those of where it came from, and copy it again.",
		}
	}
	return f, nil
}

func inspect(out *cli.Out, name string, f *hef.File) {
	needs := fmt.Sprintf("HailoRT %v or newer", f.Needs())
	if f.Outdated() {
		needs += "; compiled so long ago that HailoRT may refuse it"
	}
	out.Table([]string{"", ""}, [][]any{
		{"file", fmt.Sprintf("%s, %d kB, HEF version %d", name, (f.Size+999)/1000, f.Version)},
		{"checksum", f.Checksum + " is right"},
		{"for", fmt.Sprintf("%v, compiled by %s", f.Arch, f.SDK)},
		{"needs", needs},
	})
	for _, g := range f.Groups {
		out.Line("")
		out.Line("%s: %s", g.Name, strings.Join(traits(g), ", "))
		var rows [][]any
		for _, s := range g.Inputs {
			rows = append(rows, []any{"in", s.Name, shape(s), quantization(s)})
		}
		for _, s := range g.Outputs {
			rows = append(rows, []any{"out", s.Name, shape(s), quantization(s)})
		}
		for _, n := range g.NMS {
			rows = append(rows, []any{
				"boxes", n.Name, fmt.Sprintf("%d classes × %d boxes", n.Classes, n.PerClass),
				fmt.Sprintf("%s on the host, score ≥ %.2g, IoU %.2g", n.Kind, n.Score, n.IoU),
			})
		}
		for _, l := range g.Logits {
			rows = append(rows, []any{"host", l, "", "argmax or softmax"})
		}
		out.Table([]string{"", "NAME", "SHAPE", "VALUES"}, rows)
	}
}

func traits(g hef.Group) []string {
	t := []string{"one context"}
	if g.Contexts > 1 {
		t[0] = fmt.Sprintf("%d contexts, so the speed of PCIe counts", g.Contexts)
	}
	if g.FPS > 0 {
		t = append(t, fmt.Sprintf("the compiler expects %.0f frames/s of the chip", g.FPS))
	}
	if len(g.Layouts) > 0 {
		t = append(t, "for several sizes of chip")
	}
	return t
}

func shape(s hef.Stream) string { return fmt.Sprintf("%d×%d×%d", s.Height, s.Width, s.Features) }

func quantization(s hef.Stream) string {
	stored := fmt.Sprintf("uint%d", 8*s.DataBytes)
	switch {
	case s.ChipNMS:
		return stored + ", boxes chosen by the chip"
	case s.PerFeature:
		return stored + ", each feature with a scale of its own"
	case s.Scale == 1 && s.ZeroPoint == 0:
		return stored
	default:
		return fmt.Sprintf("(%s − %g) · %.6g", stored, s.ZeroPoint, s.Scale)
	}
}

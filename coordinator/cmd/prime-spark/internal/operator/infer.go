package operator

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/model"
	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// maxInput is the largest request, in bytes; the coordinators' own default.
const maxInput = 16 << 20

func inferCommand(s *session) *cobra.Command {
	var name, request string
	var raw bool
	cmd := &cobra.Command{
		Use: "infer IMAGE | --json FILE", Short: "Have a model look at an image",
		Long: `Have a model look at a JPEG, PNG, WebP, BMP or TIFF image, somewhere in the fleet, and print
what it finds. Boxes are x1,y1 to x2,y2 in pixels of the image. With --json, send
a request of the Open Inference Protocol as it is and print the answer as it comes.`,
		Example: "  prime-spark infer photo.jpg\n  prime-spark infer photo.jpg --model blazeface --raw\n  prime-spark infer --json request.json --model mnist",
		Args: func(cmd *cobra.Command, args []string) error {
			if request != "" {
				return cli.Words()(cmd, args)
			}
			return cli.Words("IMAGE")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !model.ValidName(name) {
				return cli.Misuse(cmd, "--model is %q; a model's name is 1 to 64 of a-z, 0-9, dot, underscore and hyphen.", cli.Text(name))
			}
			if s.timeout <= 0 {
				return cli.Misuse(cmd, "--timeout is %v; give it a time above zero, as in 30s.", s.timeout)
			}
			path := request
			if path == "" {
				path = args[0]
			}
			body, err := readInput(cmd, path, maxInput)
			if err != nil {
				return err
			}
			header := http.Header{wire.HeaderDeadline: {fmt.Sprint(s.timeout.Milliseconds())}}
			begin := time.Now()
			a, err := ask(cmd, s, "waiting for the answer", func(ctx context.Context, c *wire.Client) (wire.InferAnswer, error) {
				if request != "" {
					return c.InferJSON(ctx, name, body, header)
				}
				return c.InferImage(ctx, name, body, header)
			})
			if err != nil {
				return err
			}
			if raw || request != "" {
				_, err := cmd.OutOrStdout().Write(a.Body)
				return err
			}
			return showAnswer(cli.Output(cmd), a, time.Since(begin))
		},
	}
	cmd.Flags().StringVar(&name, "model", "blazeface", "the model to ask")
	cli.CompleteFlag(cmd, "model", modelFlag(s))
	cmd.Flags().StringVar(&request, "json", "", "send this file, a request of the Open Inference Protocol; - for standard input")
	cmd.Flags().BoolVar(&raw, "raw", false, "print the answer as it came")
	return cmd
}

func showAnswer(out *cli.Out, a wire.InferAnswer, took time.Duration) error {
	found, err := Detections(a)
	if err != nil {
		return err
	}
	showDetections(out, found)
	out.Line("%s", cli.Faint(Answered(a, took)))
	return nil
}

func showDetections(out *cli.Out, found []oip.Detection) {
	if len(found) == 0 {
		out.Line("Nothing found.")
		return
	}
	var rows [][]any
	for _, d := range found {
		rows = append(rows, []any{d.Label, fmt.Sprintf("%.3f", d.Score), Box(d.Box)})
	}
	out.Table([]string{"LABEL", "SCORE", "BOX"}, rows)
}

// Answered says who gave an answer and how long it took.
func Answered(a wire.InferAnswer, took time.Duration) string {
	text := fmt.Sprintf("answered by %s (%s) in %.1f ms", a.Node, a.Backend, took.Seconds()*1000)
	if a.Gateway != "" {
		text += " through " + a.Gateway
	}
	if a.Attempts > 1 {
		text += fmt.Sprintf(" (%d agents were asked)", a.Attempts)
	}
	if timing := a.Header.Get(wire.HeaderTiming); timing != "" {
		text += "; ms: " + strings.ReplaceAll(timing, ";dur=", " ")
	}
	return text
}

// Box writes a box as a person reads it; "-" for a class, which has none.
func Box(b []float64) string {
	if len(b) != 4 {
		return "-"
	}
	return fmt.Sprintf("%.0f,%.0f to %.0f,%.0f", b[0], b[1], b[2], b[3])
}

// Detections reads the labels and boxes of an answer.
func Detections(a wire.InferAnswer) ([]oip.Detection, error) {
	response, err := oip.DecodeResponse(a.Header, a.Body, oip.Limits{})
	if err != nil {
		return nil, &problem.Error{
			Code: problem.Unexpected, Err: err,
			Detail: "The answer is not one of the Open Inference Protocol.", Remedy: "See it with --raw.",
		}
	}
	for _, t := range response.Outputs {
		if t.Name == "detections" || t.Name == "classes" {
			found, err := oip.Detections(t)
			if err != nil {
				return nil, fmt.Errorf("read the answer: %w", err)
			}
			return found, nil
		}
	}
	return nil, problem.New(problem.Unexpected, "See it with --raw.", "The answer has no labels or boxes.")
}

func readAll(cmd *cobra.Command, in io.Reader, path string, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(in, most+1))
	switch {
	case err != nil:
		return nil, badFile(err, path+" cannot be read.", "Give the path of a file, or - for standard input.")
	case int64(len(body)) > most:
		return nil, cli.Misuse(cmd, "%s is larger than %d KiB.", path, most>>10)
	case len(body) == 0:
		return nil, cli.Misuse(cmd, "%s is empty.", path)
	}
	return body, nil
}

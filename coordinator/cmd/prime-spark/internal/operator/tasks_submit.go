package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/model"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// inlineImage is the largest image, in bytes, that travels in the task itself. A
// larger one is handed in before as an object; small ones cost one call less.
const inlineImage = 32 << 10

// A submission is the flags of tasks submit.
type submission struct {
	model, notBefore, deadline, key string
	priority, attempts              int
	noop                            time.Duration
	fail                            string
	wait                            bool
}

func tasksSubmitCommand(s *session) *cobra.Command {
	var f submission
	cmd := &cobra.Command{
		Use: "submit IMAGE | --noop DURATION", Short: "Have a model look at an image, whenever a node has time",
		Long: `Have a model look at a JPEG, PNG, WebP, BMP or TIFF image, whenever a node has time, and as often
as it takes. An image may have 32 MiB. Standard output has the task's id alone, or with --wait the task and
what the model found. Times are given as one to come, as in 2026-03-01T12:00:00Z,
or as a duration from now, as in 10m. With --noop a node only waits for that long:
for drills.`,
		Example: "  prime-spark tasks submit photo.jpg --wait\n  prime-spark tasks submit photo.jpg --model yolox --priority 7 --not-before 8h\n  prime-spark tasks submit --noop 5s",
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("noop") {
				return cli.Words()(cmd, args)
			}
			return cli.Words("IMAGE")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := f.spec(cmd, time.Now())
			if err != nil {
				return err
			}
			image, err := f.picture(cmd, args)
			if err != nil {
				return err
			}
			t, err := ask(cmd, s, "handing the task in", func(ctx context.Context, c *wire.Client) (task.Task, error) {
				if image != nil {
					if spec.Input, err = handIn(ctx, c, image); err != nil {
						return task.Task{}, err
					}
				}
				t, err := c.SubmitTask(ctx, spec, f.key)
				if err != nil || !f.wait {
					return t, err
				}
				cmd.PrintErrf("Task %s is handed in.\n", cli.Text(t.ID)) // should the waiting fail
				if t, err = final(ctx, c, t.ID); err != nil || t.ResultObject == nil {
					return t, err
				}
				return whole(ctx, c, t)
			})
			if err != nil {
				return err
			}
			if f.wait {
				return show(cmd, s, t, true)
			}
			out := cli.Output(cmd)
			return out.Data(t, func() {
				out.Line("%s", t.ID)
				cmd.PrintErrf("It is %s. See it with: prime-spark tasks get %s --wait\n", cli.Text(string(t.State)), cli.Text(t.ID))
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.model, "model", "blazeface", "the model to ask")
	cli.CompleteFlag(cmd, "model", modelFlag(s))
	flags.IntVar(&f.priority, "priority", task.DefaultPrio, "0 to 7, 0 first")
	flags.StringVar(&f.notBefore, "not-before", "", "begin no earlier; a time or a duration from now")
	flags.StringVar(&f.deadline, "deadline", "", "give it up if it is not done by then; a time or a duration from now")
	flags.IntVar(&f.attempts, "attempts", task.DefaultAttempt, "give it up after so many attempts")
	flags.StringVar(&f.key, "key", "", "a word of yours for this task: within 24 h it is submitted once, however often this command runs")
	flags.DurationVar(&f.noop, "noop", 0, "send no image: a node waits for that long")
	flags.StringVar(&f.fail, "fail", "", "with --noop: the attempt ends with this error")
	flags.BoolVar(&f.wait, "wait", false, "wait until it is done, dead or cancelled, for as long as --timeout allows")
	cli.JSON(cmd)
	return cmd
}

// picture reads the image; nil if there is to be none.
func (f submission) picture(cmd *cobra.Command, args []string) ([]byte, error) {
	if cmd.Flags().Changed("noop") {
		return nil, nil
	}
	return readInput(cmd, args[0], task.MaxObject)
}

// handIn makes the input of a task of an image, and hands a large one in.
func handIn(ctx context.Context, c *wire.Client, image []byte) (json.RawMessage, error) {
	in := task.InferInput{Image: image}
	if len(image) > inlineImage {
		kept, err := c.PutObject(ctx, image)
		if err != nil {
			return nil, err
		}
		in = task.InferInput{Object: &kept.Object}
	}
	b, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode the input: %w", err)
	}
	return b, nil
}

// spec makes the task that the flags describe, without its image.
func (f submission) spec(cmd *cobra.Command, now time.Time) (task.Spec, error) {
	spec := task.Spec{Kind: task.Infer, Model: f.model, Priority: new(f.priority), MaxAttempts: f.attempts}
	switch {
	case f.priority < 0 || f.priority > task.MaxPriority:
		return spec, cli.Misuse(cmd, "--priority is %d; give 0 (first) to %d.", f.priority, task.MaxPriority)
	case f.attempts < 1 || f.attempts > task.MaxAttempts:
		return spec, cli.Misuse(cmd, "--attempts is %d; give 1 to %d.", f.attempts, task.MaxAttempts)
	case f.fail != "" && !cmd.Flags().Changed("noop"):
		return spec, cli.Misuse(cmd, "--fail goes with --noop.")
	case len(f.key) > task.MaxKey:
		return spec, cli.Misuse(cmd, "--key has %d bytes; give %d at most.", len(f.key), task.MaxKey)
	}
	var err error
	if spec.NotBefore, err = when(cmd, "--not-before", f.notBefore, now); err != nil {
		return spec, err
	}
	if spec.Deadline, err = when(cmd, "--deadline", f.deadline, now); err != nil {
		return spec, err
	}
	if !cmd.Flags().Changed("noop") {
		if !model.ValidName(f.model) {
			return spec, cli.Misuse(cmd, "--model is %q; a model's name is 1 to 64 of a-z, 0-9, dot, underscore and hyphen.", cli.Text(f.model))
		}
		return spec, nil
	}
	spec.Kind, spec.Model = task.Noop, ""
	if f.noop < 0 || f.noop.Milliseconds() > task.MaxNoop {
		return spec, cli.Misuse(cmd, "--noop is %v; give 0s to %v.", f.noop, time.Duration(task.MaxNoop)*time.Millisecond)
	}
	if spec.Input, err = json.Marshal(task.NoopInput{Millis: int(f.noop.Milliseconds()), Fail: f.fail}); err != nil {
		return spec, fmt.Errorf("encode the input: %w", err)
	}
	return spec, nil
}

// when reads a moment: RFC 3339, or a duration from now.
func when(cmd *cobra.Command, flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, cli.Misuse(cmd, "%s is %q; give a time as 2026-03-01T12:00:00Z, or a duration from now as 10m.", flag, cli.Text(text))
	}
	return t.UTC(), nil
}

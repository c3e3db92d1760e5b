package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

const (
	pageSize = 100 // tasks of one list
	noTasks  = "No such tasks. Submit one with prime-spark tasks submit photo.jpg."
)

func tasksCommand(s *session) *cobra.Command {
	group := cli.Group("tasks", "Look after the work that nobody waits for",
		tasksListCommand(s), tasksSubmitCommand(s), taskGetCommand(s), taskCancelCommand(s), tasksDeadCommand(s), tasksRequeueCommand(s))
	group.Long = `Look after the work that nobody waits for. A task is kept by the coordinators until
a node has done it; one that fails is tried again, 10 times as a rule, and is then
dead: it stays, with its last error, until it is requeued. Without a further word, list them.`
	group.Args = cli.Words()
	group.RunE = func(cmd *cobra.Command, _ []string) error { return list(cmd, s, "", "", pageSize, noTasks) }
	return looks(group, nil)
}

func tasksListCommand(s *session) *cobra.Command {
	var state, after string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List tasks in the order of submission", Args: cli.Words(),
		Example: "  prime-spark tasks list --watch\n  prime-spark tasks list --state leased --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state != "" && !task.State(state).Valid() {
				return cli.Misuse(cmd, "--state is %q; it must be one of %v.", cli.Text(state), task.States)
			}
			return list(cmd, s, task.State(state), after, limit, noTasks)
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "only those in this state: scheduled, ready, leased, retryable, done, dead or cancelled")
	cli.CompleteFlag(cmd, "state", func(*cobra.Command) (names []string) {
		for _, state := range task.States {
			names = append(names, string(state))
		}
		return names
	})
	listFlags(cmd, &after, &limit)
	return cmd
}

func tasksDeadCommand(s *session) *cobra.Command {
	var after string
	var limit int
	cmd := &cobra.Command{
		Use: "dead", Short: "List the tasks that were given up, and why", Args: cli.Words(),
		Example: "  prime-spark tasks dead\n  prime-spark tasks dead --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(cmd, s, task.Dead, after, limit, "No dead tasks.")
		},
	}
	listFlags(cmd, &after, &limit)
	return cmd
}

func listFlags(cmd *cobra.Command, after *string, limit *int) {
	cmd.Flags().StringVar(after, "after", "", "only those submitted after the task with this id")
	cmd.Flags().IntVar(limit, "limit", pageSize, "at most so many")
	looks(cmd, nil)
}

// list shows one page of tasks.
func list(cmd *cobra.Command, s *session, state task.State, after string, limit int, none string) error {
	switch {
	case limit < 1 || limit > 1000:
		return cli.Misuse(cmd, "--limit is %d; give 1 to 1000.", limit)
	case after != "" && !task.ValidID(after):
		return cli.Misuse(cmd, "--after is %q; give the id of a task.", cli.Text(after))
	}
	return look(cmd, s, func(ctx context.Context, c *wire.Client) (wire.TasksBody, error) {
		return c.Tasks(ctx, state, after, limit)
	}, func(out *cli.Out, b wire.TasksBody) {
		if len(b.Tasks) == 0 {
			out.Line("%s", none)
			return
		}
		var rows [][]any
		for _, t := range b.Tasks {
			rows = append(rows, []any{
				t.ID, taskState(t.State), string(t.Kind), cmp.Or(t.Model, "-"), t.Priority,
				fmt.Sprintf("%d/%d", t.Attempts, t.MaxAttempts), cmp.Or(t.Node, "-"), clock(t.Changed), cmp.Or(t.Error, "-"),
			})
		}
		out.Table([]string{"TASK", "STATE", "KIND", "MODEL", "PRIORITY", "ATTEMPTS", "NODE", "CHANGED", "ERROR"}, rows)
		if b.Next != "" {
			out.Line("%s", cli.Faint("There are more: give --after "+b.Next))
		}
	})
}

func taskGetCommand(s *session) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "get TASK", Short: "See a task and its result", Args: cli.Words("TASK"),
		Long: `See a task and its result. With --wait, first wait until nothing more happens to it,
for as long as --timeout allows; a task that then is not done is a failure.`,
		Example: "  prime-spark tasks get 06ap3k5v7g0o1t2e8c9h4m6n0q --wait",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkID(cmd, args[0]); err != nil {
				return err
			}
			t, err := ask(cmd, s, "waiting for the task", func(ctx context.Context, c *wire.Client) (task.Task, error) {
				var t task.Task
				var err error
				if wait {
					t, err = final(ctx, c, args[0])
				} else {
					t, err = c.Task(ctx, args[0], 0)
				}
				if err != nil || t.ResultObject == nil {
					return t, err
				}
				return whole(ctx, c, t)
			})
			if err != nil {
				return err
			}
			return show(cmd, s, t, wait)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is done, dead or cancelled")
	cli.JSON(cmd)
	cli.Complete(cmd, taskIDs(s))
	return cmd
}

func taskCancelCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "cancel TASK", Short: "End a task that is not done", Args: cli.Words("TASK"),
		Example: "  prime-spark tasks cancel 06ap3k5v7g0o1t2e8c9h4m6n0q",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkID(cmd, args[0]); err != nil {
				return err
			}
			t, err := ask(cmd, s, "asking the coordinators to cancel it", func(ctx context.Context, c *wire.Client) (task.Task, error) {
				return c.CancelTask(ctx, args[0])
			})
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(t, func() { out.Line("%s is %s.", t.ID, taskState(t.State)) })
		},
	}
	cli.JSON(cmd)
	cli.Complete(cmd, taskIDs(s, task.Scheduled, task.Ready, task.Leased, task.Retryable))
	return cmd
}

func tasksRequeueCommand(s *session) *cobra.Command {
	var dead bool
	cmd := &cobra.Command{
		Use: "requeue TASK | --dead", Short: "Give a dead or cancelled task all its attempts again",
		Long: `Give a dead or cancelled task all its attempts again. With --dead, do so with all
tasks that are dead, as after a fault that they all died of.`,
		Example: "  prime-spark tasks requeue 06ap3k5v7g0o1t2e8c9h4m6n0q\n  prime-spark tasks requeue --dead",
		Args: func(cmd *cobra.Command, args []string) error {
			if dead {
				return cli.Words()(cmd, args)
			}
			return cli.Words("TASK")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !dead {
				if err := checkID(cmd, args[0]); err != nil {
					return err
				}
			}
			all, err := ask(cmd, s, "asking the coordinators to requeue", func(ctx context.Context, c *wire.Client) ([]task.Task, error) {
				if dead {
					return requeueDead(ctx, c)
				}
				t, err := c.RequeueTask(ctx, args[0])
				return []task.Task{t}, err
			})
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(wire.TasksBody{Tasks: all}, func() {
				for _, t := range all {
					out.Line("%s is %s.", t.ID, taskState(t.State))
				}
				if len(all) == 0 {
					out.Line("No dead tasks.")
				}
			})
		},
	}
	cmd.Flags().BoolVar(&dead, "dead", false, "all tasks that are dead")
	cli.JSON(cmd)
	cli.Complete(cmd, taskIDs(s, task.Dead, task.Cancelled))
	return cmd
}

// requeueDead goes through all dead tasks. One that was requeued by another in
// the meantime is left out.
func requeueDead(ctx context.Context, c *wire.Client) (all []task.Task, err error) {
	after := ""
	for {
		page, err := c.Tasks(ctx, task.Dead, after, 0)
		if err != nil {
			return nil, err
		}
		for _, t := range page.Tasks {
			t, err = c.RequeueTask(ctx, t.ID)
			switch {
			case err == nil:
				all = append(all, t.Head())
			case !problem.Is(err, problem.Conflict) && !problem.Is(err, problem.NotFound):
				return nil, err
			}
		}
		if after = page.Next; after == "" {
			return all, nil
		}
	}
}

// final waits until nothing more happens to a task, or ctx is about to end.
func final(ctx context.Context, c *wire.Client, id string) (task.Task, error) {
	for {
		wait := task.MaxWait
		if end, ok := ctx.Deadline(); ok {
			wait = min(wait, time.Until(end)-waitSlack)
		}
		t, err := c.Task(ctx, id, max(wait, 0))
		if err != nil || t.State.Final() || wait <= 0 {
			return t, err
		}
	}
}

// whole fetches a result that is kept beside the task.
func whole(ctx context.Context, c *wire.Client, t task.Task) (task.Task, error) {
	b, err := c.Object(ctx, *t.ResultObject)
	if err == nil && !json.Valid(b) {
		err = problem.New(problem.Unexpected, "Fetch it as it is from "+wire.ObjectPath(t.ResultObject.SHA256)+".", "The result of the task is not JSON.")
	}
	t.Result = b
	return t, err
}

// waitSlack is what an answer may take to come back, of the time that is left.
const waitSlack = 500 * time.Millisecond

// show prints a task. If it was waited for, its end is the command's.
func show(cmd *cobra.Command, s *session, t task.Task, waited bool) error {
	out := cli.Output(cmd)
	if err := out.Data(t, func() { showTask(out, t) }); err != nil {
		return err
	}
	switch {
	case !waited || t.State == task.Done:
		return nil
	case !t.State.Final():
		return problem.New(problem.Deadline, "It goes on; wait for it with prime-spark tasks get "+t.ID+" --wait.",
			"The task is %s after %v.", t.State, s.timeout)
	case t.State == task.Dead:
		return problem.New(problem.Conflict, "Once the cause is gone, run prime-spark tasks requeue "+t.ID+".", "The task is dead: %s.", cmp.Or(strings.TrimSuffix(t.Error, "."), "no reason is known"))
	}
	return problem.New(problem.Conflict, "Have it done all the same with prime-spark tasks requeue "+t.ID+".", "The task is %s.", t.State)
}

func showTask(out *cli.Out, t task.Task) {
	what := string(t.Kind)
	if t.Model != "" {
		what += " with " + t.Model
	}
	out.Line("%s  %s, %s, priority %d, by %s", cli.Strong(t.ID), what, taskState(t.State), t.Priority, t.By)
	rows := [][]any{
		{"submitted", clock(t.Created)},
		{"changed", clock(t.Changed)},
		{"attempts", fmt.Sprintf("%d of %d", t.Attempts, t.MaxAttempts)},
	}
	for _, row := range []struct{ name, value string }{
		{"not before", moment(t.NotBefore)},
		{"deadline", moment(t.Deadline)},
		{"node", t.Node},
		{"lease", fence(t)},
		{"last attempt", string(t.Outcome)},
		{"error", t.Error},
		{"result at", t.ResultRef},
		{"result object", object(t.ResultObject)},
	} {
		if row.value != "" {
			rows = append(rows, []any{row.name, row.value})
		}
	}
	out.Table([]string{"", ""}, rows)
	if len(t.Result) > 0 {
		showResult(out, t)
	}
}

// showResult prints labels and boxes where there are some, and else the JSON.
func showResult(out *cli.Out, t task.Task) {
	if t.Kind == task.Infer {
		if found, err := Detections(wire.InferAnswer{Header: http.Header{}, Body: t.Result}); err == nil {
			showDetections(out, found)
			return
		}
	}
	out.Line("%s", string(t.Result))
}

func object(o *task.Object) string {
	if o == nil {
		return ""
	}
	return fmt.Sprintf("%s, %d bytes", o.SHA256, o.Size)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return clock(t)
}

func fence(t task.Task) string {
	if t.Lease.IsZero() {
		return ""
	}
	return t.Lease.String()
}

func taskState(s task.State) cli.Styled {
	switch s {
	case task.Done:
		return cli.Good(string(s))
	case task.Dead:
		return cli.Bad(string(s))
	case task.Retryable:
		return cli.Warn(string(s))
	case task.Cancelled:
		return cli.Faint(string(s))
	}
	return cli.Good(string(s))
}

func checkID(cmd *cobra.Command, id string) error {
	if !task.ValidID(id) {
		return cli.Misuse(cmd, "%q is not the id of a task; prime-spark tasks list shows them.", cli.Text(id))
	}
	return nil
}

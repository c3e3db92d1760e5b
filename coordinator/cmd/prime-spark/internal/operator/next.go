package operator

import (
	"errors"
	"strings"

	"primespark/shared/problem"
)

// next is the command to try after a refusal, by its code. Servers know what is
// wrong, and not that a command asked.
var next = map[problem.Code]string{
	problem.Invalid:      "Add --help to the command to see what it takes.",
	problem.Unauthorized: "Log in with prime-spark login.",
	problem.Forbidden:    "Log in by another token with prime-spark login.",
	problem.NotFound:     "See what there is with prime-spark status.",
	problem.BadMethod:    "Compare the versions with prime-spark version and prime-spark status.",
	problem.Conflict:     "See how things stand with prime-spark nodes, or prime-spark tasks.",
	problem.StaleLease:   "See how it stands with prime-spark tasks.",
	problem.TooLarge:     "Hand it in as a task with prime-spark tasks submit, which takes more.",
	problem.BadMedia:     "See what the model takes with prime-spark infer --help.",
	problem.Busy:         "See who is busy with prime-spark nodes --watch.",
	problem.Unexpected:   "See what happened with prime-spark events.",
	problem.Unreachable:  "Set another address with prime-spark login.",
	problem.NotReady:     "See what it waits for with prime-spark status --watch.",
	problem.NoLeader:     "See who is missing with prime-spark status --watch.",
	problem.NoQuorum:     "See who is missing with prime-spark status --stale.",
	problem.NoCapacity:   "See why with prime-spark route explain.",
	problem.Deadline:     "Give it more time with --timeout, or see who is busy with prime-spark nodes.",
}

// advised adds the next command to an error whose remedy names none.
func advised(err error) error {
	e, ok := errors.AsType[*problem.Error](err)
	if !ok || next[e.Code] == "" || strings.Contains(e.Remedy, "prime-spark") || strings.Contains(e.Remedy, "--") {
		return err
	}
	with := *e
	with.Remedy = strings.TrimSpace(e.Remedy + " " + next[e.Code])
	return &with
}

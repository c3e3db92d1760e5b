package duties

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"primespark/agent/infer"
	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/task"
	"primespark/shared/tensor"
	"primespark/shared/wire"
)

// A Worker does one task and returns its result, JSON of at most task.MaxObject
// bytes.
type Worker func(ctx context.Context, t *wire.Leased) (json.RawMessage, error)

// Infer is a model's answer to one request, as a registry of models gives it.
type Infer func(ctx context.Context, name, version string, req infer.Request) (infer.Response, error)

// Fetch reads an object that a task refers to, as Remote.Object does.
type Fetch func(ctx context.Context, o task.Object) ([]byte, error)

// priority of a task's inference, 0 to 7: what somebody waits for goes first.
const priority = 6

// Work returns the worker for all kinds of tasks. An inference that takes longer
// than limit fails: an engine that hangs keeps no other task waiting for long.
func Work(ask Infer, fetch Fetch, limit time.Duration) Worker {
	kinds := map[task.Kind]Worker{
		task.Infer: func(ctx context.Context, t *wire.Leased) (json.RawMessage, error) {
			image, err := picture(ctx, fetch, t)
			if err != nil {
				return nil, err
			}
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			return look(ctx, ask, t, image)
		},
		task.Noop: noop,
	}
	return func(ctx context.Context, t *wire.Leased) (json.RawMessage, error) {
		work, ok := kinds[t.Kind]
		if !ok {
			return nil, problem.New(problem.NotReady, "Bring this node to the coordinators' version.", "This node knows no tasks of kind %.32q.", t.Kind)
		}
		if !t.Deadline.IsZero() {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, t.Deadline)
			defer cancel()
		}
		return work(ctx, t)
	}
}

// fetchTime bounds how long an image may take to come from the coordinators.
const fetchTime = time.Minute

// picture is the image of a task, which may have to be fetched.
func picture(ctx context.Context, fetch Fetch, t *wire.Leased) ([]byte, error) {
	var in task.InferInput
	if err := json.Unmarshal(t.Input, &in); err != nil {
		return nil, &problem.Error{Code: problem.Invalid, Err: err, Detail: "The input is not that of an inference.", Remedy: `Send {"image": "..."}.`}
	}
	if in.Object == nil {
		return in.Image, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	image, err := fetch(ctx, *in.Object)
	if err != nil {
		return nil, fmt.Errorf("fetch the image: %w", err)
	}
	return image, nil
}

// look has a model look at an image. The result is an answer of the Open
// Inference Protocol, as the gateway gives it.
func look(ctx context.Context, ask Infer, t *wire.Leased, image []byte) (json.RawMessage, error) {
	answer, err := patiently(ctx, ask, t.Model, infer.Request{Inputs: []tensor.Tensor{tensor.FromBytes("image", image)}, Priority: priority})
	if err != nil {
		return nil, err
	}
	response := oip.Response{Model: t.Model, ID: t.ID, Outputs: answer.Outputs}
	body, err := response.Encode(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("encode the result: %w", err)
	}
	if len(body.Bytes) > task.MaxObject {
		return nil, problem.New(problem.TooLarge, "Use a model with post-processing, which gives labels and boxes instead of tensors.",
			"The result of model %s has %d bytes; that of a task has %d at most.", t.Model, len(body.Bytes), task.MaxObject)
	}
	return body.Bytes, nil
}

// patiently asks again when there was no room: nobody waits for a task as they
// wait for an answer, so it need not be refused.
func patiently(ctx context.Context, ask Infer, name string, req infer.Request) (infer.Response, error) {
	for {
		answer, err := ask(ctx, name, "", req)
		e, ok := errors.AsType[*problem.Error](err)
		if !ok || e.Code != problem.Busy || !run.Sleep(ctx, max(e.RetryAfter, leastWait)) {
			return answer, err
		}
	}
}

// noop waits and ends as it is told.
func noop(ctx context.Context, t *wire.Leased) (json.RawMessage, error) {
	var in task.NoopInput
	if len(t.Input) > 0 {
		if err := json.Unmarshal(t.Input, &in); err != nil {
			return nil, &problem.Error{Code: problem.Invalid, Err: err, Detail: "The input is not that of a noop.", Remedy: `Send {"ms": 0}, or nothing.`}
		}
	}
	if !run.Sleep(ctx, time.Duration(in.Millis)*time.Millisecond) {
		return nil, context.Cause(ctx)
	}
	if in.Fail != "" {
		return nil, errors.New(in.Fail)
	}
	return json.RawMessage(`{}`), nil
}

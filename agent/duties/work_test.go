package duties

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/infer"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/tensor"
	"primespark/shared/wire"
)

func TestInference(t *testing.T) {
	var got infer.Request
	photo := []byte("\xff\xd8\xff")
	kept := task.ObjectOf(photo)
	answers := map[string]infer.Response{
		"blazeface": {Outputs: []tensor.Tensor{tensor.FromBytes("detections", []byte(`{"label":"face","score":0.9}`))}},
		"raw":       {Outputs: []tensor.Tensor{tensor.FromBytes("detections", []byte(strings.Repeat("x", task.MaxObject)))}},
	}
	work := Work(func(_ context.Context, name, _ string, req infer.Request) (infer.Response, error) {
		got = req
		a, ok := answers[name]
		if !ok {
			return a, problem.New(problem.NotFound, "", "There is no model %s.", name)
		}
		return a, nil
	}, func(_ context.Context, o task.Object) ([]byte, error) {
		if o != kept {
			return nil, problem.New(problem.NotFound, "", "There is no object %s.", o.SHA256)
		}
		return photo, nil
	}, time.Second)
	for name, test := range map[string]struct {
		model, input string
		want         string // the result, or the problem's code
	}{
		"good":                 {"blazeface", `{"image":"/9j/"}`, `{"model_name":"blazeface","id":"t1","outputs":[{"name":"detections","datatype":"BYTES","shape":[1],"data":["{\"label\":\"face\",\"score\":0.9}"]}]}`},
		"by reference":         {"blazeface", fmt.Sprintf(`{"object":{"sha256":%q,"size":3}}`, kept.SHA256), `{"model_name":"blazeface","id":"t1","outputs":[{"name":"detections","datatype":"BYTES","shape":[1],"data":["{\"label\":\"face\",\"score\":0.9}"]}]}`},
		"reference to nothing": {"blazeface", fmt.Sprintf(`{"object":{"sha256":%q,"size":4}}`, kept.SHA256), "not_found"},
		"no model":             {"yolo", `{"image":"/9j/"}`, "not_found"},
		"no image":             {"blazeface", `{"image":7}`, "invalid"},
		"too large":            {"raw", `{"image":"/9j/"}`, "too_large"},
	} {
		result, err := work(t.Context(), &wire.Leased{ID: "t1", Kind: task.Infer, Model: test.model, Input: json.RawMessage(test.input)})
		if text := string(result); err != nil && string(problem.Of(err).Code) != test.want || err == nil && text != test.want {
			t.Errorf("%s: %s, %v, want %s", name, text, err, test.want)
		}
	}
	image, err := got.Inputs[0].Elements()
	if err != nil || string(image[0]) != "\xff\xd8\xff" || got.Priority != priority {
		t.Errorf("the model was asked %+v, %v", got, err)
	}
}

// TestWorkEnds: work has bounds in time, so that a hanging engine holds no task for ever.
func TestWorkEnds(t *testing.T) {
	hang := func(ctx context.Context, _, _ string, _ infer.Request) (infer.Response, error) {
		<-ctx.Done()
		return infer.Response{}, context.Cause(ctx)
	}
	for name, test := range map[string]struct {
		task wire.Leased
		in   time.Duration // of the deadline; 0: none
		want time.Duration
		err  string // beginning of it; empty: it is done
	}{
		"hanging engine":         {wire.Leased{Kind: task.Infer, Input: json.RawMessage(`{"image":"/9j/"}`)}, 0, 30 * time.Second, "context deadline exceeded"},
		"deadline":               {wire.Leased{Kind: task.Infer, Input: json.RawMessage(`{"image":"/9j/"}`)}, time.Second, time.Second, "context deadline exceeded"},
		"noop":                   {wire.Leased{Kind: task.Noop}, 0, 0, ""},
		"noop, slow":             {wire.Leased{Kind: task.Noop, Input: json.RawMessage(`{"ms":2500}`)}, 0, 2500 * time.Millisecond, ""},
		"noop, slow and failing": {wire.Leased{Kind: task.Noop, Input: json.RawMessage(`{"ms":2500,"fail":"as told"}`)}, 0, 2500 * time.Millisecond, "as told"},
		"noop past its deadline": {wire.Leased{Kind: task.Noop, Input: json.RawMessage(`{"ms":2500}`)}, time.Second, time.Second, "context deadline exceeded"},
		"noop, wrong":            {wire.Leased{Kind: task.Noop, Input: json.RawMessage(`[]`)}, 0, 0, "The input"},
		"kind of the future":     {wire.Leased{Kind: "fly"}, 0, 0, `This node knows no tasks of kind "fly"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				if test.in > 0 {
					test.task.Deadline = begin.Add(test.in)
				}
				_, err := Work(hang, nil, 30*time.Second)(t.Context(), &test.task)
				if took := time.Since(begin); took != test.want || (err == nil) != (test.err == "") || err != nil && !strings.HasPrefix(err.Error(), test.err) {
					t.Errorf("%v after %v, want %q after %v", err, took, test.err, test.want)
				}
			})
		})
	}
}

// TestBusyNode: a task waits for room, within its time.
func TestBusyNode(t *testing.T) {
	for name, test := range map[string]struct {
		refusals int
		want     problem.Code // empty: it is done
	}{
		"for a while": {5, ""},
		"for ever":    {1000, problem.Busy},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				work := Work(func(context.Context, string, string, infer.Request) (infer.Response, error) {
					if asked++; asked <= test.refusals {
						return infer.Response{}, &problem.Error{Code: problem.Busy, RetryAfter: time.Second}
					}
					return infer.Response{}, nil
				}, nil, 30*time.Second)
				_, err := work(t.Context(), &wire.Leased{Kind: task.Infer, Input: json.RawMessage(`{"image":"/9j/"}`)})
				if err == nil != (test.want == "") || err != nil && !problem.Is(err, test.want) || asked > 31 {
					t.Errorf("%v after %d tries, want %q", err, asked, test.want)
				}
			})
		})
	}
}

// TestHopeless: only a fault of the task itself keeps other nodes from trying.
func TestHopeless(t *testing.T) {
	for err, want := range map[error]bool{
		problem.New(problem.BadMedia, "", "No image."):            true,
		problem.New(problem.TooLarge, "", "Large."):               true,
		problem.New(problem.NotFound, "", "No such model here."):  false,
		problem.New(problem.Busy, "", "Full."):                    false,
		problem.New(problem.Unexpected, "", "The engine failed."): false,
		errors.New("whatever"):                                    false,
		fmt.Errorf("x: %w", problem.New(problem.Invalid, "", "")): true,
	} {
		if got := hopeless(err); got != want {
			t.Errorf("hopeless(%v) = %t", err, got)
		}
	}
}

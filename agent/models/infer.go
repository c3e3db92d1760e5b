package models

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"primespark/agent/infer"
	"primespark/agent/infer/image"
	"primespark/agent/infer/post"
	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// imageName is what an image may be called instead of the model's input.
const imageName = "image"

// Infer answers a request with a model; version "" is the one there is. It reads
// the inputs until it returns and keeps none of them. The error is a
// *problem.Error, or the cause that ctx was cancelled with.
func (r *Registry) Infer(ctx context.Context, name, version string, req infer.Request) (infer.Response, error) {
	l, err := r.find(name, version)
	if err != nil {
		if w := r.wake(name); w != nil {
			return infer.Response{}, w
		}
		return infer.Response{}, err
	}
	l.used.Store(time.Now().UnixNano())
	if !l.users.enter() {
		_, err := r.find(name, version)
		if err == nil { // replaced in this very moment
			err = problem.New(problem.NotReady, "Try again at once.", "Model %s is being replaced.", name)
		}
		return infer.Response{}, err
	}
	defer l.users.leave()
	known, question := r.recalled(l, req)
	if known.Cache == infer.Hit {
		return known, nil
	}
	answer, err := r.answer(ctx, l, req)
	if errors.Is(err, infer.ErrBroken) {
		r.withdraw(l, err)
	}
	if question != nil {
		answer.Cache, answer.Timing.Cache = infer.Miss, known.Timing.Cache
		if err == nil {
			r.keep(l, *question, answer)
		}
	}
	return answer, err
}

// A buffers is what one request works in, and the next one after it.
type buffers struct {
	in, out []tensor.Tensor
}

// infer runs one request through decoding, the engine and post-processing.
func (l *live) infer(ctx context.Context, req infer.Request) (answer infer.Response, err error) {
	photo, isImage, err := l.photograph(req)
	if err != nil {
		return answer, err
	}
	process := isImage && l.processor != nil
	if req.Postprocess != nil {
		process = *req.Postprocess
	}
	if process && l.processor == nil {
		return answer, problem.New(problem.Invalid, "Leave postprocess out, and read the tensors.",
			"Model %s has no post-processing.", l.Name)
	}
	if req.Priority < 0 || req.Priority > infer.MaxPriority {
		return answer, problem.New(problem.Invalid, "Give 0, the first, to 7.", "The priority %d is none.", req.Priority)
	}
	// A full queue refuses before an image is decoded for nothing.
	if err := l.queue.Refusal(req.Priority); err != nil {
		return answer, err
	}
	b := l.buffers.Get().(*buffers)
	defer l.buffers.Put(b)
	in, out, rows, err := l.tensors(b, req, isImage, process)
	if err != nil {
		return answer, err
	}
	var fit image.Fit
	if isImage {
		if fit, err = l.decode(ctx, req.Priority, photo, in[0], &answer.Timing); err != nil {
			return answer, err
		}
	} else if process && l.converter != nil {
		w, h, _ := l.Inputs[0].Size()
		fit = image.Fit{Width: w, Height: h, ScaleX: 1, ScaleY: 1} // boxes in pixels of the input
	}
	if answer.Run, err = l.run(ctx, req.Priority, rows, in, out, &answer.Timing); err != nil {
		return answer, err
	}
	answer.Backend, answer.Outputs, answer.Labels = l.engine, out, l.classes
	if process {
		start := time.Now()
		answer.Outputs, err = l.process(out, fit)
		answer.Timing.Post = time.Since(start)
	}
	return answer, err
}

// photograph returns the encoded image that a request consists of, if it does.
func (l *live) photograph(req infer.Request) ([]byte, bool, error) {
	if l.converter == nil || len(req.Inputs) != 1 || req.Inputs[0].Type != tensor.Bytes {
		return nil, false, nil
	}
	t := req.Inputs[0]
	want := l.session.Inputs()[0].Name
	if t.Name != want && t.Name != imageName {
		return nil, false, problem.New(problem.Invalid, "Name it "+want+".", "Model %s has no input %q.", l.Name, clip(t.Name))
	}
	elements, err := t.Elements()
	if err != nil || len(elements) != 1 || !slices.Equal(t.Shape, []int{1}) {
		return nil, false, &problem.Error{
			Code: problem.Invalid, Err: err,
			Detail: "The tensor " + t.Name + " does not hold one image.",
			Remedy: "Send one JPEG, PNG, WebP, BMP or TIFF as a BYTES tensor of shape [1].",
		}
	}
	return elements[0], true, nil
}

// tensors gives what the engine reads and fills: the request's own tensors, or
// those of b for an image; those of b for outputs that are only looked at, and
// new ones for outputs that the caller gets. Rows is how many inferences that is.
func (l *live) tensors(b *buffers, req infer.Request, isImage, process bool) (in, out []tensor.Tensor, rows int, err error) {
	if isImage {
		if b.in == nil {
			if b.in, err = blank(l.inputs(1)); err != nil {
				return nil, nil, 0, err
			}
		}
		in = b.in
	} else if in, err = l.named(req.Inputs); err != nil {
		return nil, nil, 0, err
	}
	if rows, err = l.rows(in); err != nil {
		return nil, nil, 0, err
	}
	if !process {
		out, err = blank(l.outputs(rows))
		return in, out, rows, err
	}
	if rows > 1 {
		return nil, nil, 0, problem.New(problem.Invalid, "Send one inference in a request, or leave postprocess out.",
			"Model %s has post-processing for one inference, and the request has %d.", l.Name, rows)
	}
	if b.out == nil {
		if b.out, err = blank(l.outputs(1)); err != nil {
			return nil, nil, 0, err
		}
	}
	return in, b.out, rows, nil
}

// blank makes zeroed tensors. Where the data decide a dimension it is 0.
func blank(specs []tensor.Spec) ([]tensor.Tensor, error) {
	all := make([]tensor.Tensor, len(specs))
	for i, s := range specs {
		t, err := tensor.New(s.Name, s.Type, atLeast(s.Shape)...)
		if err != nil {
			return nil, err
		}
		all[i] = t
	}
	return all, nil
}

// atLeast is the least that a shape may become.
func atLeast(shape []int) []int {
	least := slices.Clone(shape)
	for i, d := range least {
		least[i] = max(0, d)
	}
	return least
}

// named puts the tensors of a request into the model's order.
func (l *live) named(have []tensor.Tensor) ([]tensor.Tensor, error) {
	specs := l.inputs(-1)
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	in := make([]tensor.Tensor, len(specs))
	for _, t := range have {
		i := slices.Index(names, t.Name)
		if i < 0 {
			return nil, problem.New(problem.Invalid, "Give its inputs: "+strings.Join(names, ", ")+".",
				"Model %s has no input %q.", l.Name, clip(t.Name))
		}
		if in[i].Name != "" {
			return nil, problem.New(problem.Invalid, "Give each input once.", "The input %q is given twice.", t.Name)
		}
		if err := errors.Join(specs[i].Fits(t.Type, t.Shape), t.Check()); err != nil {
			return nil, l.misfit(specs[i], err)
		}
		in[i] = t
	}
	for i, t := range in {
		if t.Name == "" {
			return nil, problem.New(problem.Invalid, "Give all of its inputs: "+strings.Join(names, ", ")+".",
				"The input %q of model %s is missing.", names[i], l.Name)
		}
	}
	return in, nil
}

// misfit is the problem of a tensor that is not as the model wants it.
func (l *live) misfit(want tensor.Spec, err error) error {
	p := &problem.Error{
		Code: problem.Invalid, Err: err,
		Detail: "The " + strings.ReplaceAll(err.Error(), "\n", ", and the ") + ".",
		Remedy: "Send it as GET /v2/models/" + l.Name + " describes it.",
	}
	if l.converter != nil {
		p.Remedy = "Send it as GET /v2/models/" + l.Name + " describes it, or an image as a BYTES tensor of shape [1]."
	}
	return p
}

// largeImage is from how many bytes of decoding on an image is decoded alone, and its
// memory given back at once: a photo of 4 megapixels as PNG, or of 10 as a JPEG that is
// decoded at its full size.
const largeImage = 16e6

// decode makes the input of a photo.
func (l *live) decode(ctx context.Context, priority int, photo []byte, in tensor.Tensor, t *infer.Timing) (fit image.Fit, err error) {
	turn, large := l.decoders.Do, l.limits.Cost(photo, l.converter) > largeImage
	if large {
		turn = l.decoders.DoAlone
	}
	waited, err := turn(ctx, priority, func() error {
		start := time.Now()
		img, err := l.limits.Decode(photo, l.converter)
		if err == nil {
			fit, err = l.converter.Convert(img, in)
			img.Release()
		}
		t.Decode = time.Since(start)
		if large {
			// Left to the collector, several of them would pile up before it runs, and
			// what they took would stay the process's for minutes. It takes a few
			// milliseconds, and decoding some hundred.
			img = nil
			debug.FreeOSMemory()
		}
		return err
	})
	t.Queue += waited
	return fit, err
}

// run waits for the engine and lets it work: until the request's deadline, and for no
// longer than the manifest's resources.deadline, which counts from its turn.
func (l *live) run(ctx context.Context, priority, rows int, in, out []tensor.Tensor, t *infer.Timing) (infer.Run, error) {
	one := ride{in: in, out: out, run: infer.Run{Size: 1, First: true}}
	start := time.Now()
	var waited time.Duration
	var err error
	if l.joiner == nil {
		waited, err = l.queue.Do(ctx, priority, func() error {
			one.took, one.failed = l.work(ctx, &size{n: 1, session: l.session}, in, out)
			return one.failed
		})
	} else if waited, err = l.queue.DoJoint(ctx, priority, l.joiner.joint, rows, &one); !one.begun.IsZero() {
		waited = one.begun.Sub(start)
	}
	t.Infer = one.took
	t.Queue += waited
	switch failed := one.failed; {
	case err == nil:
		l.mean.Add(t.Infer / time.Duration(max(1, one.run.Size)))
		return one.run, nil
	case failed == nil && !errors.Is(err, infer.ErrBroken):
		return one.run, err
	case ctx.Err() != nil:
		return one.run, ended(ctx, "The deadline passed while model "+l.Name+" was at work.")
	case errors.Is(failed, errLong):
		return one.run, &problem.Error{
			Code: problem.Deadline, Err: failed,
			Detail: "Model " + l.Name + " was at work for longer than the " + l.Resources.Deadline.String() + " that its manifest gives one inference.",
			Remedy: "Send the request to another node, or raise resources.deadline in the manifest.",
		}
	case errors.Is(failed, infer.ErrDown):
		return one.run, down(l.Name, failed)
	}
	if r, ok := errors.AsType[*infer.Refused](one.failed); ok {
		return one.run, &problem.Error{Code: problem.Invalid, Err: err, Detail: "Model " + l.Name + ": " + r.Detail, Remedy: r.Remedy}
	}
	return one.run, &problem.Error{
		Code: problem.Unexpected, Err: err,
		Detail: "The engine " + l.engine + " failed on model " + l.Name + ".",
		Remedy: "Send the request to another node; the log of this one says why.",
	}
}

// errLong tells that a run took longer than the manifest allows.
var errLong = errors.New("it took longer than resources.deadline")

// work is one run of a session, which may take resources.deadline for each inference.
func (l *live) work(ctx context.Context, s *size, in, out []tensor.Tensor) (took time.Duration, err error) {
	work, cancel := ctx, context.CancelFunc(func() {})
	if limit := l.Resources.Deadline.D(); limit > 0 {
		work, cancel = context.WithTimeoutCause(ctx, time.Duration(s.n)*limit, errLong)
	}
	defer cancel()
	start := time.Now()
	err = s.session.Infer(work, in, out)
	took = time.Since(start)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(work), errLong) {
		err = fmt.Errorf("%w: %w", errLong, err)
	}
	return took, err
}

// process reads the outputs. An engine that gives what is no number is broken,
// and another node may have a better one.
func (l *live) process(out []tensor.Tensor, fit image.Fit) ([]tensor.Tensor, error) {
	ordered := make([]tensor.Tensor, len(l.order))
	for i, at := range l.order {
		ordered[i] = out[at]
		if out[at].Type == tensor.Float32 && noNumber(out[at].Float32s()) {
			return nil, problem.New(problem.Unexpected, "Send the request to another node; this one's engine needs a look.",
				"The engine %s gave what is no number in tensor %s of model %s.", l.engine, out[at].Name, l.Name)
		}
	}
	t, err := post.Tensor(l.processor.Output(), l.processor.Find(ordered, fit))
	if err != nil {
		return nil, err
	}
	return []tensor.Tensor{t}, nil
}

// noNumber reports whether there is a NaN among v, which may be tens of thousands.
func noNumber(v []float32) bool {
	for _, x := range v {
		if x != x {
			return true
		}
	}
	return false
}

// ended is the error of a request whose context has ended.
func ended(ctx context.Context, detail string) error {
	if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &problem.Error{
		Code: problem.Deadline, Err: context.DeadlineExceeded,
		Detail: detail, Remedy: "Allow more time in X-Deadline-Ms, or send the request to another node.",
	}
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"primespark/coordinator/fsm"
	"primespark/coordinator/status"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// decode reads a JSON body into out. Unknown fields are refused by name: a
// typo must not be a default. Its error is a *problem.Error or one of the reader.
func decode(r *call, out any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(out)
	if err == nil {
		_, err = d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = errors.New("something follows the JSON value")
		}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	const unknown = "json: unknown field "
	remedy, detail := "See /docs for the body of this call.", "The body is not the JSON that is wanted: "+err.Error()+"."
	switch {
	case strings.HasPrefix(err.Error(), unknown):
		detail = "The body has an unknown field " + strings.TrimPrefix(err.Error(), unknown) + "."
	case errors.Is(err, io.EOF):
		detail = "The body is empty."
	}
	return &problem.Error{Code: problem.Invalid, Err: err, Detail: detail, Remedy: remedy}
}

// empty refuses a body, save an empty JSON object, where none is wanted.
func empty(r *call) error {
	if r.ContentLength == 0 {
		return nil
	}
	err := decode(r, &struct{}{})
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// answer sends JSON.
func answer(w http.ResponseWriter, body any) error { return answerWith(w, http.StatusOK, body) }

func answerWith(w http.ResponseWriter, code int, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(code)
	if _, err := w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("%w: %w", status.ErrGone, err)
	}
	return nil
}

// label says which version of the state an answer shows.
func label(w http.ResponseWriter, s fsm.State) {
	w.Header().Set(wire.HeaderIndex, strconv.FormatUint(s.Index, 10))
}

// patience bounds how long a call waits for the group.
const patience = 10 * time.Second

func bounded(r *call) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), patience)
}

// propose has the group carry out what the caller wants, and reads the result.
func (a *API) propose(r *call, c fsm.Command, result any) error {
	ctx, cancel := bounded(r)
	defer cancel()
	b, err := a.cfg.Group.Propose(ctx, r.who.Actor, fsm.Once{Command: c, Call: r.once})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, result); err != nil {
		return fmt.Errorf("decode the result of %s: %w", c.Kind(), err)
	}
	return nil
}

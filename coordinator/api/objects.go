package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"

	"primespark/coordinator/status"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// A Shelf keeps objects, as the API uses it.
type Shelf interface {
	// Put keeps what is read, on enough disks, and tells on whose.
	Put(ctx context.Context, r io.Reader) (o task.Object, holders []string, err error)
	// Keep keeps a copy for another coordinator.
	Keep(r io.Reader, sha string) (task.Object, error)
	// Open finds an object on any coordinator, Here on this one only.
	Open(ctx context.Context, sha string) (*os.File, int64, error)
	Here(sha string) (*os.File, int64, error)
	// Confirm reports what is wrong with a reference.
	Confirm(ctx context.Context, o task.Object) error
	Missing(shas []string) []string
}

// objectRoutes are the rows of the table about objects.
func objectRoutes() []Route {
	one := wire.PathObjects + "/{sha}"
	return []Route{
		{"PUT", wire.PathObjects, Infer, "object.put", "Hand in bytes that a task then refers to by their SHA-256, such as a photo: the body as it is, 32 MiB at most. It is answered when two coordinators have them.", nil, nil, wire.ObjectBody{}, (*API).putObject},
		{"GET", one, View, "", "The bytes of an object.", []Param{{"local", "1: only if this coordinator itself has it"}}, nil, nil, (*API).object},
		{"PUT", one, Assist, "object.copy", "Keep a copy for another coordinator.", nil, nil, wire.ObjectBody{}, (*API).keepObject},
		{"POST", wire.PathMissing, Assist, "object.missing", "Which of these objects this coordinator does not have.", nil, wire.MissingBody{}, wire.MissingBody{}, (*API).missingObjects},
	}
}

// receiving bounds the objects that are received at the same time: each goes to
// the disk as it comes, and takes a file and a connection.
const receiving = 16

// receive reads an object from a call.
func (a *API) receive(w http.ResponseWriter, r *call, keep func(io.Reader) error) error {
	if r.ContentLength > task.MaxObject {
		return &http.MaxBytesError{Limit: task.MaxObject}
	}
	select {
	case a.receiving <- struct{}{}:
		defer func() { <-a.receiving }()
	default:
		return problem.New(problem.Busy, "Try again in a second.", "This coordinator receives %d objects already.", receiving)
	}
	return keep(http.MaxBytesReader(w, r.Body, task.MaxObject))
}

func (a *API) putObject(w http.ResponseWriter, r *call) error {
	return a.receive(w, r, func(body io.Reader) error {
		o, holders, err := a.cfg.Objects.Put(r.Context(), body)
		if err != nil {
			return err
		}
		return answerWith(w, http.StatusCreated, wire.ObjectBody{Object: o, Holders: holders})
	})
}

func (a *API) keepObject(w http.ResponseWriter, r *call) error {
	return a.receive(w, r, func(body io.Reader) error {
		o, err := a.cfg.Objects.Keep(body, r.PathValue("sha"))
		if err != nil {
			return err
		}
		return answerWith(w, http.StatusCreated, wire.ObjectBody{Object: o, Holders: []string{a.cfg.Self}})
	})
}

func (a *API) missingObjects(w http.ResponseWriter, r *call) error {
	var in wire.MissingBody
	if err := decode(r, &in); err != nil {
		return err
	}
	if len(in.Objects) > wire.MaxMissing {
		return problem.New(problem.Invalid, "Ask for 500 at a time.", "The call names %d objects.", len(in.Objects))
	}
	return answer(w, wire.MissingBody{Objects: a.cfg.Objects.Missing(in.Objects)})
}

func (a *API) object(w http.ResponseWriter, r *call) error {
	sha := r.PathValue("sha")
	if !task.ValidSHA256(sha) {
		return problem.New(problem.NotFound, "Name it by its SHA-256, 64 hexadecimal digits in lower case.", "There is no object %.64q.", sha)
	}
	find := func() (*os.File, int64, error) { return a.cfg.Objects.Open(r.Context(), sha) }
	if r.URL.Query().Get("local") == "1" {
		find = func() (*os.File, int64, error) { return a.cfg.Objects.Here(sha) }
	}
	f, size, err := find()
	if errors.Is(err, fs.ErrNotExist) {
		return problem.New(problem.NotFound, "Ask another coordinator.", "This coordinator does not have the object %.16s.", sha)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// What it is, is for whoever asks to know: a browser must not run it.
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", "attachment")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.Header().Set("ETag", `"`+sha+`"`)
	if _, err := io.Copy(w, f); err != nil {
		return fmt.Errorf("%w: %w", status.ErrGone, err)
	}
	return nil
}

// confirm reports what is wrong with the objects that a call refers to.
func (a *API) confirm(r *call, o task.Object) error {
	ctx, cancel := bounded(r)
	defer cancel()
	return a.cfg.Objects.Confirm(ctx, o)
}

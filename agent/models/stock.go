package models

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"primespark/shared/model"
	"primespark/shared/problem"
)

// A Stock is packages that are brought to the node by others. It checks the files
// that it opens.
type Stock interface {
	// Names lists its models, sorted.
	Names() []string
	// Package gives what opens the files of a model's package; fs.ErrNotExist if it has
	// none.
	Package(name string) (open func(file string) (*os.File, int64, error), err error)
}

// A stocked is a package of a stock.
type stocked func(file string) (*os.File, int64, error)

func (s stocked) open(name string) (*os.File, int64, error) { return s(name) }
func (stocked) Close() error                                { return nil }

// inStock finds a package in the stock, if the node has one.
func (r *Registry) inStock(name string) (source, error) {
	if r.cfg.Stock == nil {
		return nil, fs.ErrNotExist
	}
	open, err := r.cfg.Stock.Package(name)
	if err != nil {
		return nil, err
	}
	return stocked(open), nil
}

// Expect notes how a model stands that does not answer yet, for those who ask for it.
// Of one that answers it changes nothing.
func (r *Registry) Expect(s model.Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.models[s.Name]; e == nil || e.live == nil {
		r.models[s.Name] = &entry{status: s}
	}
}

// Drop ends a model whose package is gone, once the answers under way are given, and
// forgets it. If the node has another package of it, that one answers from now on.
func (r *Registry) Drop(ctx context.Context, name string) error {
	if err := r.Load(ctx, name); err == nil {
		return nil
	}
	err := r.Unload(ctx, name)
	if problem.Is(err, problem.NotFound) {
		return nil // it never came so far
	}
	from, missing := r.open(name)
	if missing == nil {
		return errors.Join(err, from.Close()) // it stays in the index, with the reason
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.models[name]; e != nil && e.live == nil {
		delete(r.models, name)
	}
	return err
}

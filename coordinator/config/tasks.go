package config

import (
	"time"

	"primespark/shared/conf"
)

// Tasks bounds the task queue, as this coordinator takes tasks for it.
type Tasks struct {
	Max      int       `yaml:"max"`       // that wait or run
	MaxBytes conf.Size `yaml:"max_bytes"` // of these, with their inputs
}

// Objects bounds what is kept beside the queue: photos and large results.
type Objects struct {
	Bytes  conf.Size     `yaml:"bytes"`  // on this coordinator's disk
	Keep   conf.Duration `yaml:"keep"`   // what no task refers to
	Copies int           `yaml:"copies"` // of each, on as many coordinators
}

func (c Tasks) check(f *conf.File) {
	if c.Max < 1 || c.Max > 100_000 {
		f.Bad("tasks.max", "%d is not between 1 and 100000, which is what the coordinators hold", c.Max)
	}
	if m := c.MaxBytes; m < 1<<20 || m > 64<<20 {
		f.Bad("tasks.max_bytes", "%v is not between 1MiB and 64MiB; larger images are kept as objects", m)
	}
}

func (c Objects) check(f *conf.File) {
	if b := c.Bytes; b < 64<<20 {
		f.Bad("objects.bytes", "%v is too little; give 64MiB or more, as in 1GiB", b)
	}
	f.CheckEvery("objects.keep", c.Keep, 10*time.Minute, 366*24*time.Hour)
	if c.Copies < 1 || c.Copies > 3 {
		f.Bad("objects.copies", "%d is not between 1 and 3; 2 survive the loss of one coordinator", c.Copies)
	}
}

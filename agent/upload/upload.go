// Package upload sends the samples of the outbox to a coordinator over HTTPS, which
// is how history comes about where there is no MQTT broker.
//
// A request holds what is new and part of what is old; its answer is the same
// cumulative acknowledgement that comes by MQTT, and means that the samples are
// stored by two coordinators where there are two.
package upload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/outbox"
	"primespark/shared/run"
	"primespark/shared/telemetry"
	"primespark/shared/wire"
)

const (
	most      = 2000             // samples in a request: some 200 KB
	patience  = 20 * time.Second // for an answer
	waitLeast = 500 * time.Millisecond
	waitMost  = 10 * time.Second
	again     = 5 * time.Second // without an acknowledgement, after which all is sent anew
)

// A Sender sends samples to a coordinator and returns what that has stored.
type Sender interface {
	Upload(ctx context.Context, u wire.TelemetryUpload) (wire.TelemetryAcks, error)
}

// An Uploader sends while it runs.
type Uploader struct {
	box  *outbox.Box
	to   Sender
	log  *slog.Logger
	sent prometheus.Counter
	errs prometheus.Counter
}

var _ run.Part = (*Uploader)(nil)

// New returns an uploader. Registerer may be nil.
func New(box *outbox.Box, to Sender, log *slog.Logger, reg prometheus.Registerer) (*Uploader, error) {
	u := &Uploader{
		box: box, to: to, log: log,
		sent: prometheus.NewCounter(prometheus.CounterOpts{Name: "primespark_upload_samples_total", Help: "Samples that were sent to a coordinator and answered, again and again included."}),
		errs: prometheus.NewCounter(prometheus.CounterOpts{Name: "primespark_upload_failures_total", Help: "Requests with samples that no coordinator answered well."}),
	}
	if reg == nil {
		return u, nil
	}
	if err := errors.Join(reg.Register(u.sent), reg.Register(u.errs)); err != nil {
		return nil, fmt.Errorf("register upload metrics: %w", err)
	}
	return u, nil
}

func (*Uploader) String() string { return "upload" }

// Run sends until ctx ends. It tells when that begins to fail, and when it works
// again.
func (u *Uploader) Run(ctx context.Context) error {
	var wait time.Duration
	for ctx.Err() == nil {
		err := u.session(ctx, func() {
			if wait > 0 {
				u.log.Info("samples are stored again")
			}
			wait = 0
		})
		if ctx.Err() != nil {
			return nil
		}
		u.errs.Inc()
		if wait == 0 {
			u.log.Info("samples wait on this node", "err", err, "remedy", "they are sent when a coordinator takes them; two of them must be up, where there are two")
		}
		wait = min(max(2*wait, waitLeast), waitMost)
		run.Sleep(ctx, run.Jitter(wait))
	}
	return nil
}

// session sends from the first sample on that is not acknowledged, until that
// fails.
func (u *Uploader) session(ctx context.Context, stored func()) error {
	courier := u.box.Courier()
	for {
		_, changed := u.box.Last()
		_, freed := u.box.Held()
		next, err := courier.Next(most)
		if err != nil {
			return err
		}
		if len(next) > 0 {
			if err := u.send(ctx, u.box.Letters(next)); err != nil {
				return err
			}
			stored()
			continue
		}
		overdue := time.NewTimer(again)
		select {
		case <-changed:
		case <-freed:
		case <-overdue.C:
			if left, err := courier.Left(); err != nil {
				overdue.Stop()
				return err
			} else if left { // the receiver had no place for some of them
				courier = u.box.Courier()
			}
		case <-ctx.Done():
			overdue.Stop()
			return nil
		}
		overdue.Stop()
	}
}

func (u *Uploader) send(ctx context.Context, letters []outbox.Letter) error {
	var samples []telemetry.Sample
	for _, l := range letters {
		samples = append(samples, l.Samples...)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	got, err := u.to.Upload(ctx, wire.TelemetryUpload{Samples: samples})
	if err != nil {
		return err
	}
	u.sent.Add(float64(len(samples)))
	for _, a := range got.Acks {
		u.box.Acknowledge(a)
	}
	return nil
}

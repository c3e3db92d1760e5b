package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"primespark/shared/mqttpipe"
	"primespark/shared/run"
)

const (
	patience   = 10 * time.Second // for the broker's word
	listenWait = time.Second      // between two tries, at first
	listenMost = 10 * time.Second // and at most: the nodes' samples wait
)

var errSilent = errors.New("the broker does not answer")

// Listen returns the part that listens to a broker of somebody else's. It runs on
// one coordinator at a time, the one that leads.
func (i *Ingest) Listen(cfg mqttpipe.Config, prefix, cluster string) run.Part {
	return run.Func("broker listener", func(ctx context.Context) error {
		wait, away := listenWait, false
		for ctx.Err() == nil {
			start := time.Now()
			err := i.listen(ctx, cfg, prefix, cluster, func() {
				away = false
				i.cfg.Log.Info("listening to the broker", "broker", cfg.Broker.Redacted())
			})
			if ctx.Err() != nil {
				return nil
			}
			if time.Since(start) > time.Minute {
				wait = listenWait
			}
			if !away {
				away = true
				i.cfg.Log.Warn("cannot listen to the broker, trying on; the nodes keep their samples", "broker", cfg.Broker.Redacted(), "err", err,
					"remedy", "check mqtt.broker and that it runs, and that its access list lets the coordinators read")
			}
			run.Sleep(ctx, run.Jitter(wait))
			wait = min(2*wait, listenMost)
		}
		return nil
	})
}

// listen listens on one connection, until that is lost.
func (i *Ingest) listen(ctx context.Context, cfg mqttpipe.Config, prefix, cluster string, up func()) error {
	client, lost, err := mqttpipe.Connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer client.Disconnect(100) // ms
	desk := i.NewDesk(prefix, cluster, func(topic string, payload []byte) error {
		t := client.Publish(topic, 1, false, payload)
		if !t.WaitTimeout(patience) {
			return errSilent
		}
		return t.Error()
	})
	t := client.Subscribe(desk.Filter(), 1, func(_ mqtt.Client, m mqtt.Message) { desk.Message(m.Topic(), m.Payload()) })
	if !t.WaitTimeout(patience) {
		return errSilent
	}
	if err := t.Error(); err != nil {
		return fmt.Errorf("listen to %s: %w", desk.Filter(), err)
	}
	if granted := t.(*mqtt.SubscribeToken).Result()[desk.Filter()]; granted > 1 {
		return fmt.Errorf("the broker does not let this coordinator listen to %s", desk.Filter())
	}
	i.metrics.connected.Set(1)
	defer i.metrics.connected.Set(0)
	up()
	working, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- desk.Run(working) }() // waited for below
	defer func() { stop(); <-done }()
	select {
	case err := <-lost:
		return err
	case <-ctx.Done():
		return nil
	}
}

package alerts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"primespark/shared/mqttpipe"
)

// MQTT is a channel that publishes to a topic. Alerts are rare, so each has a
// connection of its own.
type MQTT struct {
	Broker mqttpipe.Config
	Topic  string
}

// Send publishes a message, at least once and not retained.
func (c MQTT) Send(ctx context.Context, m Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the alert: %w", err)
	}
	client, _, err := mqttpipe.Connect(ctx, c.Broker)
	if err != nil {
		return err
	}
	defer client.Disconnect(250) // ms
	t := client.Publish(c.Topic, 1, false, body)
	if !t.WaitTimeout(patience) {
		return errors.New("the broker acknowledges nothing")
	}
	return t.Error()
}

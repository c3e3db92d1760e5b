package wire

import (
	"context"
	"time"
)

// PathAlerts is where the open alerts are.
const PathAlerts = "/v1/alerts"

// AlertsBody answers GET /v1/alerts: what is wrong now, the critical first and then
// the oldest.
type AlertsBody struct {
	Alerts []Alert `json:"alerts"`
}

// An Alert is something that somebody should know of. Severity is critical or warning.
type Alert struct {
	ID       uint64      `json:"id"`  // of this incident
	Key      string      `json:"key"` // rule and subject, as in node_down/pi-1
	Rule     string      `json:"rule"`
	Subject  string      `json:"subject"` // the node or thing that it is about
	Severity string      `json:"severity"`
	Detail   string      `json:"detail"` // one sentence
	Remedy   string      `json:"remedy"`
	Since    time.Time   `json:"since"`
	Told     []AlertTold `json:"told"` // who was told, in order
}

// An AlertTold is a message about an alert that its receiver has got.
type AlertTold struct {
	Channel string    `json:"channel"`
	At      time.Time `json:"at"`
	By      string    `json:"by"` // the coordinator that sent it
}

// Alerts reads what is wrong now.
func (c *Client) Alerts(ctx context.Context) ([]Alert, error) {
	var b AlertsBody
	err := c.get(ctx, PathAlerts, c.reading(), &b)
	return b.Alerts, err
}

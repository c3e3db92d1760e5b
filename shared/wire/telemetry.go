package wire

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"primespark/shared/telemetry"
)

// PathTelemetry is where samples are sent and asked for, and PathTelemetryLog
// where a coordinator reads what another one has stored.
const (
	PathTelemetry    = "/v1/telemetry"
	PathTelemetryLog = "/v1/telemetry/log"
)

// The headers of PathTelemetryLog.
const (
	HeaderLogID    = "X-History-Log"   // answer: the log's name; positions are of no use in another
	HeaderLogFirst = "X-History-First" // answer: number of the first row in the body
	HeaderLogLast  = "X-History-Last"  // answer: number of the newest row that there is
	HeaderMore     = "X-More"          // answer: "1" if there is more than the limit
)

// UploadBytes is the largest TelemetryUpload.
const UploadBytes = 1 << 20

// TelemetryUpload is what a node sends to PathTelemetry.
type TelemetryUpload struct {
	Samples []telemetry.Sample `json:"samples"`
}

// TelemetryAcks answers it: what of the node's streams is stored for good.
type TelemetryAcks struct {
	Acks []telemetry.Ack `json:"acks"`
}

// A TelemetryRow is one sample of the history, or in its place a gap: samples
// that the node had to drop.
type TelemetryRow struct {
	Node   string           `json:"node"`
	Boot   int64            `json:"boot"` // start of the process that measured, Unix ms
	Stream telemetry.Stream `json:"stream"`
	Seq    uint64           `json:"seq"`
	At     time.Time        `json:"at"`
	// Unsynced is not 0 if nothing had set the node's clock; times of one boot with the
	// same number go by each other.
	Unsynced uint32           `json:"unsynced,omitempty"`
	Value    *telemetry.Value `json:"value,omitempty"` // a number, or an object of numbers
	Unit     string           `json:"unit,omitempty"`  // of a value that is one number
	Gap      *TelemetryGap    `json:"gap,omitempty"`
}

// A TelemetryGap stands for the samples from a sequence up to its row's.
type TelemetryGap struct {
	From   uint64 `json:"from"`
	Reason string `json:"reason"`
}

// A TelemetryMinute sums one field of a stream up, over a minute or longer.
type TelemetryMinute struct {
	Node   string           `json:"node"`
	Stream telemetry.Stream `json:"stream"`
	At     time.Time        `json:"at"`              // when it begins
	Field  string           `json:"field,omitempty"` // empty if the value is one number
	Unit   string           `json:"unit,omitempty"`
	Min    float64          `json:"min"`
	Mean   float64          `json:"mean"`
	Max    float64          `json:"max"`
	Count  uint64           `json:"count"`
	// Unsynced is how many of Count were measured while nothing had set the node's clock:
	// they may have been at another time.
	Unsynced uint64 `json:"unsynced,omitempty"`
}

// A TelemetryQuery asks for the history of a node. Zero values leave the choice to
// the coordinator: all streams, the last hour, 1000 rows.
type TelemetryQuery struct {
	Node       string
	Stream     telemetry.Stream
	From, To   time.Time
	Limit      int
	Resolution time.Duration // of Minutes
}

func (q TelemetryQuery) values() url.Values {
	v := url.Values{"node": {q.Node}}
	set := func(key, value string, is bool) {
		if is {
			v.Set(key, value)
		}
	}
	set("stream", string(q.Stream), q.Stream != "")
	set("from", q.From.Format(time.RFC3339Nano), !q.From.IsZero())
	set("to", q.To.Format(time.RFC3339Nano), !q.To.IsZero())
	set("limit", strconv.Itoa(q.Limit), q.Limit > 0)
	set("resolution", q.Resolution.String(), q.Resolution > 0)
	return v
}

// Telemetry reads samples, oldest first.
func (c *Client) Telemetry(ctx context.Context, q TelemetryQuery) (rows []TelemetryRow, err error) {
	q.Resolution = 0
	err = c.get(ctx, PathTelemetry, q.values(), &rows)
	return rows, err
}

// TelemetryMinutes reads what samples come to in each stretch of q.Resolution.
func (c *Client) TelemetryMinutes(ctx context.Context, q TelemetryQuery) (all []TelemetryMinute, err error) {
	q.Resolution = max(q.Resolution, time.Minute)
	err = c.get(ctx, PathTelemetry, q.values(), &all)
	return all, err
}

// Upload sends samples of the node whose certificate the client shows. Sending
// some twice does no harm.
func (c *Client) Upload(ctx context.Context, u TelemetryUpload) (got TelemetryAcks, err error) {
	b, err := json.Marshal(u)
	if err != nil {
		return got, fmt.Errorf("encode samples: %w", err)
	}
	a, err := c.do(ctx, call{
		method: http.MethodPost, path: PathTelemetry, body: b, header: http.Header{"Content-Type": {"application/json"}}, safe: true,
	})
	if err != nil {
		return got, err
	}
	return got, a.decode(&got)
}

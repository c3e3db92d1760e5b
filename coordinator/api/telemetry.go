package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"primespark/coordinator/history"
	"primespark/coordinator/status"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/problem"
	"primespark/shared/telemetry"
	"primespark/shared/wire"
)

// A History stores the samples of nodes and answers questions about them.
type History interface {
	// Take stores samples of a node, and returns what of its streams is stored for good.
	Take(ctx context.Context, node string, samples []telemetry.Sample) ([]telemetry.Ack, error)
	Rows(ctx context.Context, q history.Query) (rows []history.Row, more bool, err error)
	Minutes(ctx context.Context, q history.Query, step time.Duration) (all []history.Minute, more bool, err error)
	// Log is what another coordinator reads of this one's log.
	Log(ctx context.Context, peer, id string, after uint64, wait time.Duration) (history.Page, error)
}

// Bounds of questions.
const (
	rowsUsual   = 1000
	rowsMost    = 10_000
	minutesMost = 31 * 24 * 60 // of one field for a month
	logWaitMost = time.Minute
)

func telemetryRoutes() []Route {
	return []Route{
		{"POST", wire.PathTelemetry, Belong, "telemetry.upload", "Store samples of the node whose certificate is shown. The answer tells what is stored for good, by two coordinators where there are two; what it does not name is sent again.", nil, wire.TelemetryUpload{}, wire.TelemetryAcks{}, (*API).upload},
		{"GET", wire.PathTelemetry, View, "", "What a node measured, by stream and time; with resolution, the least, mean and greatest of each stretch of time as TelemetryMinute. X-More: 1 tells of more than the limit: ask again from the last time.", []Param{
			{"node", "name of the node"},
			{"stream", "as in cpu; all if not given"},
			{"from", "RFC 3339; an hour before to if not given"},
			{"to", "RFC 3339, not included; now if not given"},
			{"limit", "at most so many rows, 1 to 10000; 1000 if not given"},
			{"resolution", "as in 1m or 1h: whole minutes; samples are kept for a day, minutes for a month"},
		}, nil, []wire.TelemetryRow{}, (*API).telemetry},
		{"GET", wire.PathTelemetryLog, Belong, "", "What this coordinator has stored, in the order in which it came, for the other coordinators.", []Param{
			{"log", "name of the log that after is of"},
			{"after", "number of the last row that the caller has stored"},
			{"wait", "for news, at most so long, as in 20s"},
		}, nil, nil, (*API).telemetryLog},
	}
}

// noHistory is the answer of a coordinator that keeps none.
func noHistory() error {
	return problem.New(problem.NotFound, "Ask another coordinator.", "This coordinator keeps no history.")
}

func (a *API) upload(w http.ResponseWriter, r *call) error {
	if a.cfg.History == nil {
		return noHistory()
	}
	var in wire.TelemetryUpload
	if err := decode(r, &in); err != nil {
		return err
	}
	id, err := identity.Peer(r.TLS)
	if err != nil {
		return err // the permission asks for a certificate
	}
	ctx, cancel := bounded(r)
	defer cancel()
	acks, err := a.cfg.History.Take(ctx, id.Name, in.Samples)
	if err != nil {
		return err
	}
	if acks == nil {
		acks = []telemetry.Ack{}
	}
	return answer(w, wire.TelemetryAcks{Acks: acks})
}

func (a *API) telemetry(w http.ResponseWriter, r *call) error {
	if a.cfg.History == nil {
		return noHistory()
	}
	q, step, err := telemetryQuery(r.URL.Query(), time.Now())
	if err != nil {
		return err
	}
	var body any
	var more bool
	if step > 0 {
		body, more, err = a.minutes(r.Context(), q, step)
	} else {
		body, more, err = a.rows(r.Context(), q)
	}
	if err != nil {
		return fmt.Errorf("read the history of %s: %w", q.Node, err)
	}
	if more {
		w.Header().Set(wire.HeaderMore, "1")
	}
	return answer(w, body)
}

func (a *API) rows(ctx context.Context, q history.Query) (any, bool, error) {
	rows, more, err := a.cfg.History.Rows(ctx, q)
	all := make([]wire.TelemetryRow, len(rows))
	for i, r := range rows {
		all[i] = wire.TelemetryRow{Node: r.Node, Boot: r.Boot, Stream: r.Stream, Seq: r.Seq, At: r.At.UTC(), Unsynced: r.Unsynced}
		if r.Gap != nil {
			all[i].Gap = &wire.TelemetryGap{From: r.Gap.From, Reason: r.Gap.Reason}
			continue
		}
		all[i].Value, all[i].Unit = &rows[i].Value, r.Value.Unit()
	}
	return all, more, err
}

func (a *API) minutes(ctx context.Context, q history.Query, step time.Duration) ([]wire.TelemetryMinute, bool, error) {
	minutes, more, err := a.cfg.History.Minutes(ctx, q, step)
	all := make([]wire.TelemetryMinute, len(minutes))
	for i, m := range minutes {
		all[i] = wire.TelemetryMinute{
			Node: q.Node, Stream: m.Stream, At: m.At, Field: m.Field, Unit: m.Unit, Min: m.Min, Mean: m.Mean, Max: m.Max, Count: m.Count, Unsynced: m.Unsynced,
		}
	}
	return all, more, err
}

// telemetryQuery reads the parameters; step is 0 if samples are asked for.
func telemetryQuery(v url.Values, now time.Time) (q history.Query, step time.Duration, err error) {
	bad := func(key, example string) error {
		return problem.New(problem.Invalid, "Give it as in "+key+"="+example+".", "The parameter %s is %.60q.", key, v.Get(key))
	}
	q = history.Query{Node: v.Get("node"), Stream: telemetry.Stream(v.Get("stream")), To: now, Limit: rowsUsual}
	if !fleet.ValidName(q.Node) {
		return q, 0, bad("node", "pi-1")
	}
	if q.Stream != "" && !q.Stream.Valid() {
		return q, 0, bad("stream", "cpu")
	}
	if s := v.Get("resolution"); s != "" {
		if step, err = time.ParseDuration(s); err != nil || step < time.Minute || step > 31*24*time.Hour || step%time.Minute != 0 {
			return q, 0, bad("resolution", "1m")
		}
		q.Limit = rowsMost
	}
	if s := v.Get("to"); s != "" {
		if q.To, err = time.Parse(time.RFC3339Nano, s); err != nil {
			return q, 0, bad("to", "2026-11-23T12:00:00Z")
		}
	}
	q.From = q.To.Add(-time.Hour)
	if s := v.Get("from"); s != "" {
		if q.From, err = time.Parse(time.RFC3339Nano, s); err != nil {
			return q, 0, bad("from", "2026-11-23T11:00:00Z")
		}
	}
	if s := v.Get("limit"); s != "" {
		most := rowsMost
		if step > 0 {
			most = minutesMost
		}
		if q.Limit, err = strconv.Atoi(s); err != nil || q.Limit < 1 || q.Limit > most {
			return q, 0, bad("limit", "1000")
		}
	}
	return q, step, nil
}

// telemetryLog answers another coordinator, in bytes: see history.EncodeRows.
func (a *API) telemetryLog(w http.ResponseWriter, r *call) error {
	if a.cfg.History == nil {
		return noHistory()
	}
	peer, err := identity.Peer(r.TLS)
	if err != nil {
		return err
	}
	if peer.Role != fleet.Coordinator {
		return problem.New(problem.Forbidden, "Ask with GET /v1/telemetry.", "Only coordinators read the log of the history.")
	}
	v := r.URL.Query()
	after, err := strconv.ParseUint(v.Get("after"), 10, 64)
	if err != nil || after > math.MaxInt64 {
		return problem.New(problem.Invalid, "Give it as in after=0.", "The parameter after is %.30q.", v.Get("after"))
	}
	wait, err := time.ParseDuration(v.Get("wait"))
	if err != nil || wait < 0 || wait > logWaitMost {
		return problem.New(problem.Invalid, "Give it as in wait=20s, at most 60s.", "The parameter wait is %.30q.", v.Get("wait"))
	}
	ctx, cancel := a.untilStop(r.Context())
	defer cancel()
	page, err := a.cfg.History.Log(ctx, peer.Name, v.Get("log"), after, wait)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx) // whoever follows would ask again and again until this coordinator has stopped
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "no-store")
	h.Set(wire.HeaderLogID, page.ID)
	h.Set(wire.HeaderLogFirst, strconv.FormatUint(page.First, 10))
	h.Set(wire.HeaderLogLast, strconv.FormatUint(page.Last, 10))
	if _, err := w.Write(history.EncodeRows(page.Rows)); err != nil {
		return errors.Join(status.ErrGone, err)
	}
	return nil
}

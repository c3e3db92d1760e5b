package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"primespark/shared/heartbeat"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

// An Ear takes the nodes' heartbeats.
type Ear interface {
	// Attend takes beats of the node who from in until they end or ctx does, and
	// closes in then. It asks still at each whether the node may go on, and calls pace
	// with how often the node shall beat, at first and after each, and whether that is
	// news to it.
	Attend(ctx context.Context, who identity.ID, in io.ReadCloser, still func() error, pace func(p heartbeat.Pace, news bool) error) error
}

// heartbeatRoute is the row of the table for beats, whose request does not end.
func heartbeatRoute() Route {
	return Route{
		"POST", heartbeat.Path, Belong, "node.heartbeat", "The node whose certificate is shown lives: a line for each beat, for as long as it does. The answer's lines say how often to beat.",
		nil,
		heartbeat.Beat{},
		heartbeat.Pace{},
		(*API).heartbeat,
	}
}

// heartbeat takes the beats of a node on a connection that is for them alone from
// then on, or, of older nodes, on a stream of HTTP/2, which answers while it reads.
func (a *API) heartbeat(w http.ResponseWriter, r *call) error {
	id, err := identity.Peer(r.TLS)
	if err != nil {
		return err // the permission asks for a certificate
	}
	if a.cfg.Ear == nil {
		return problem.New(problem.NotReady, "Ask another coordinator.", "This coordinator takes no heartbeats.")
	}
	if r.ProtoMajor >= 2 {
		return a.takeStream(w, r, id)
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), heartbeat.Protocol) {
		return problem.New(problem.Invalid, "Send Connection: Upgrade and Upgrade: "+heartbeat.Protocol+", or use HTTP/2.", "A heartbeat needs a connection of its own.")
	}
	return a.takeLine(w, r, id)
}

// takeLine takes beats on a connection that HTTP is done with. It returns as soon as
// that is so, for net/http to forget what it keeps of a request and its connection.
func (a *API) takeLine(w http.ResponseWriter, r *call, id identity.ID) error {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	early := make([]byte, buffered.Reader.Buffered())
	if _, err := io.ReadFull(buffered, early); err != nil {
		return err // it is there
	}
	l := &beatLine{Conn: conn, in: io.MultiReader(bytes.NewReader(early), conn)}
	still := r.outlive()
	go func() { // ends with the connection, at the latest when the API stops
		defer l.Close() // it may be so already
		defer func() {
			if v := recover(); v != nil {
				a.cfg.Log.Error("handler panicked", "path", heartbeat.Path, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			}
		}()
		if err := l.open(); err != nil {
			a.cfg.Log.Debug("heartbeat broken", "node", id.Name, "err", err)
			return
		}
		if err := a.cfg.Ear.Attend(a.open, id, l, still, l.pace); err != nil {
			a.cfg.Log.Info("heartbeat ended", "node", id.Name, "err", err)
		}
	}()
	return nil
}

// lineTimeout is the time for a node to take what it is told, which is little.
const lineTimeout = 5 * time.Second

// A beatLine is the connection of a node for its beats.
type beatLine struct {
	net.Conn
	in   io.Reader
	said time.Time
}

func (l *beatLine) Read(p []byte) (int, error) { return l.in.Read(p) }

// Close ends the connection at once: there is nobody to take leave of.
func (l *beatLine) Close() error {
	if c, ok := l.Conn.(*tls.Conn); ok {
		return c.NetConn().Close()
	}
	return l.Conn.Close()
}

// open tells the node that it may beat.
func (l *beatLine) open() error {
	if err := l.SetDeadline(time.Time{}); err != nil {
		return err
	}
	return l.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + heartbeat.Protocol + "\r\n\r\n")
}

// pace tells the node how often to beat, as an answer if it is no news.
func (l *beatLine) pace(p heartbeat.Pace, news bool) error {
	if !news && time.Since(l.said) < heartbeat.AnswerEvery {
		return nil
	}
	line, err := json.Marshal(p)
	if err != nil {
		return err
	}
	l.said = time.Now()
	return l.say(string(line) + "\n")
}

func (l *beatLine) say(text string) error {
	if err := l.SetWriteDeadline(time.Now().Add(lineTimeout)); err != nil {
		return err
	}
	_, err := io.WriteString(l.Conn, text)
	return err
}

// unbounded bounds a body that comes in lines, each of which is bounded.
const unbounded = math.MaxInt64

// takeStream takes beats on a stream of HTTP/2.
func (a *API) takeStream(w http.ResponseWriter, r *call, id identity.ID) error {
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // where there are no deadlines, none can pass
	_ = out.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(a.open, cancel)()
	return a.cfg.Ear.Attend(ctx, id, r.Body, r.still, func(p heartbeat.Pace, news bool) error {
		if !news {
			return nil // pings tell that this coordinator lives
		}
		line, err := json.Marshal(p)
		if err != nil {
			return err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
		return out.Flush()
	})
}

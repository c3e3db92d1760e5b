package heartbeat

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"time"

	"primespark/shared/run"
)

// Protocol is what a POST to Path by HTTP/1.1 asks to go on with (RFC 9110, 7.8):
// from there on nothing but beats in one direction and paces in the other. To a
// coordinator such a connection is one goroutine and the state of its TLS, about a
// quarter of what a stream of HTTP/2 is, and there are as many as nodes.
const Protocol = "prime-spark-heartbeat"

// AnswerEvery is the time after which the answer to a beat is due, news or not, by
// which a node knows that its coordinator lives.
const AnswerEvery = 1500 * time.Millisecond

// Times of a connection that nothing but beats go by.
const (
	silence   = 4 * time.Second // beyond the pace, until a coordinator that does not answer is given up
	writeTime = 5 * time.Second // for a beat, of which hundreds fit what the system keeps
	maxHeader = 16 << 10        // bytes of the coordinator's answer
)

// errOlder is a coordinator that takes beats by HTTP/2 alone.
var errOlder = errors.New("the coordinator is older")

// A line is a connection to a coordinator that has become one for beats. Reads come
// from what was read ahead first.
type line struct {
	net.Conn
	ahead io.Reader
}

func (l *line) Read(p []byte) (int, error) { return l.ahead.Read(p) }

// Write bounds the time of a write.
func (l *line) Write(p []byte) (int, error) {
	if err := l.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return l.Conn.Write(p)
}

// connect opens a line to a coordinator. An error of the kind errOlder means that it
// has to be asked by HTTP/2.
func (b *Beater) connect(ctx context.Context, to Target) (_ *line, err error) {
	dialing, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	raw, err := b.cfg.Dial(dialing, "tcp", to.API)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() }) // whatever is waited for
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			raw.Close() // of no use any more
		}
	}()
	if err := raw.SetDeadline(time.Now().Add(2 * connectTime)); err != nil {
		return nil, err
	}
	cfg := b.cfg.TLS(to.Name).Clone()
	cfg.NextProtos = []string{"http/1.1"}
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	ahead, err := upgrade(conn, to)
	if err != nil {
		return nil, err
	}
	return &line{conn, ahead}, raw.SetDeadline(time.Time{})
}

// upgrade has the coordinator at the other end of conn go on with beats, and returns
// what to read its paces from.
func upgrade(conn io.ReadWriter, to Target) (io.Reader, error) {
	req, err := http.NewRequest(http.MethodPost, "https://"+to.API+Path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", Protocol)
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	bounded := &io.LimitedReader{R: conn, N: maxHeader}
	ahead := bufio.NewReader(bounded)
	res, err := http.ReadResponse(ahead, req)
	if err != nil {
		return nil, err
	}
	switch res.StatusCode {
	case http.StatusSwitchingProtocols:
		bounded.N = math.MaxInt64 // each line has its own bound
		return ahead, nil
	case http.StatusBadRequest:
		return nil, errOlder
	}
	return nil, fmt.Errorf("%w: %s", errRefused, res.Status)
}

// onLine beats on a line until that breaks or ctx ends.
func (b *Beater) onLine(ctx context.Context, l *line, to Target) error {
	defer l.Conn.Close()                                        // the goodbye has been said, or it broke
	open, end := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx by the goodbye
	defer end()
	// A beat that nobody takes must not hold the end up.
	defer context.AfterFunc(ctx, func() { run.Sleep(open, 2*goodbye); l.Conn.Close() })()
	gone, paces := make(chan error, 1), make(chan time.Duration, 1)
	go func() { gone <- l.listen(paces) }() // ends with the line
	v := voice{say: b.cfg.Say, out: l}
	if err := v.beat(true); err != nil {
		return err
	}
	b.note(to, true)
	return v.speak(ctx, paces, gone)
}

// listen reads the coordinator's paces until it ends the line or falls silent.
func (l *line) listen(paces chan time.Duration) error {
	in, pace := NewReader(l), PaceFor(0)
	for {
		if err := l.SetReadDeadline(time.Now().Add(pace + silence)); err != nil {
			return err
		}
		p, err := in.pace()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("the coordinator has not answered for %v", pace+silence)
		}
		if err != nil {
			return fmt.Errorf("the coordinator ended it: %w", err)
		}
		pace = p.Every()
		tell(paces, pace)
	}
}

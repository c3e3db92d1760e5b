package heartbeat

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"time"

	"primespark/shared/run"
)

// A voice says on one connection what is new.
type voice struct {
	say  func() Beat
	out  io.WriteCloser
	said Beat
	seq  uint64
	late time.Duration
	mesh time.Time // when the mesh was told of last
}

// meshEvery is the time between two reports of the mesh: round trips are always
// others, and people look at them.
const meshEvery = 5 * time.Second

// speak beats until the connection ends or ctx does.
func (v *voice) speak(ctx context.Context, paces <-chan time.Duration, gone <-chan error) error {
	pace := PaceFor(0)
	var expected time.Time
	tick := time.NewTimer(0)
	defer tick.Stop()
	plan := func() {
		wait := run.Due(min(pace, noteEvery))
		expected = time.Now().Add(wait)
		tick.Reset(wait)
	}
	plan()
	last := time.Now()
	for {
		select {
		case now := <-paces:
			if now != pace {
				pace = now
				plan()
			}
		case err := <-gone:
			return err
		case <-ctx.Done():
			return v.bye(gone)
		case now := <-tick.C:
			v.late = lateness(v.late, now.Sub(expected))
			plan()
			due := now.Sub(last) >= pace-noteEvery/4
			if due {
				last = now
			}
			if err := v.beat(due); err != nil {
				return err
			}
		}
	}
}

// lateness remembers how late a timer was: the worst counts, and is forgotten
// within some beats.
func lateness(before, now time.Duration) time.Duration {
	return min(max(now, before*7/8, 0), maxLate)
}

// much is the lateness that is worth telling.
const much = 100 * time.Millisecond

// beat sends what has changed; if nothing has, an empty beat if one is due.
func (v *voice) beat(due bool) error {
	b, news := v.change(v.say())
	if v.late >= much {
		b.LateMS = v.late.Milliseconds()
	}
	if !news && !due {
		return nil
	}
	line, err := b.encode()
	if err != nil {
		return err
	}
	_, err = v.out.Write(line)
	return err
}

// change returns what of a beat has not been said yet.
func (v *voice) change(all Beat) (b Beat, news bool) {
	if all.Member != nil && !reflect.DeepEqual(all.Member, v.said.Member) {
		b.Member, v.said.Member, news = all.Member, all.Member, true
	}
	if all.Hears != nil && !reflect.DeepEqual(all.Hears, v.said.Hears) {
		b.Hears, v.said.Hears, news = all.Hears, all.Hears, true
	}
	if all.Keys != nil && !reflect.DeepEqual(all.Keys, v.said.Keys) {
		b.Keys, v.said.Keys, news = all.Keys, all.Keys, true
	}
	if now := time.Now(); all.Mesh != nil && now.Sub(v.mesh) >= meshEvery && !reflect.DeepEqual(all.Mesh, v.said.Mesh) {
		b.Mesh, v.said.Mesh, v.mesh, news = all.Mesh, all.Mesh, now, true
	}
	if all.Vital != nil {
		now := *all.Vital
		now.Seq = 0
		then := now
		then.Seq = 1 // never the same as now
		if v.said.Vital != nil {
			then = *v.said.Vital
			then.At = now.At // for people, and always another
		}
		if !reflect.DeepEqual(now, then) {
			v.said.Vital, news = &now, true
			v.seq++
			told := now
			told.Seq = v.seq
			b.Vital = &told
		}
	}
	return b, news
}

// bye says goodbye and waits a moment until the coordinator has ended the
// connection, which it does when it has heard.
func (v *voice) bye(gone <-chan error) error {
	line, err := Beat{Bye: true}.encode()
	if err != nil {
		return err
	}
	written := make(chan error, 1)
	go func() { _, err := v.out.Write(line); written <- err }() // ends at the latest when the caller closes the pipe
	wait := time.NewTimer(goodbye)
	defer wait.Stop()
	select {
	case err = <-written:
	case err = <-gone:
		return err
	case <-wait.C:
		return nil
	}
	if err != nil {
		return err
	}
	select {
	case <-gone:
	case <-wait.C:
	}
	return nil
}

// pace reads a coordinator's answer.
func (r Reader) pace() (Pace, error) {
	var p Pace
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return p, err
		}
		return p, io.EOF
	}
	if err := json.Unmarshal(r.lines.Bytes(), &p); err != nil {
		return p, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return p, nil
}

// tell puts the newest pace into a channel that is one deep, in place of an older one.
// Nobody else fills it.
func tell(paces chan time.Duration, pace time.Duration) {
	select {
	case <-paces:
	default:
	}
	paces <- pace
}

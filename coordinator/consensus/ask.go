package consensus

import (
	"context"
	"errors"
	"io"
	"net/http"
)

// OnAsk sets what answers Ask where this node leads. It is called before Run,
// once.
func (n *Node) OnAsk(answer func(ctx context.Context, body []byte) error) { n.asked.Store(&answer) }

// Ask has the leader do something that touches only its memory and may be done
// twice. It is forwarded once, and without a leader it waits and fails as Propose
// does.
func (n *Node) Ask(ctx context.Context, body []byte) error {
	return n.withLeader(ctx, func(ctx context.Context, leader string) error {
		if leader == n.name {
			return n.answerAsk(ctx, body)
		}
		var r reply
		if err := n.call(ctx, http.MethodPost, leader, pathAsk, body, &r); err != nil {
			return again(ctx, err)
		}
		return r.err()
	})
}

// answerAsk answers on this node, if it can lead.
func (n *Node) answerAsk(ctx context.Context, body []byte) error {
	answer := n.asked.Load()
	if answer == nil {
		return undone{errors.New("the leader is starting")}
	}
	return (*answer)(ctx, body)
}

// serveAsk answers another coordinator's Ask.
func (n *Node) serveAsk(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAsk))
	if err == nil {
		err = n.answerAsk(r.Context(), body)
	}
	n.answer(w, replyTo(nil, 0, err))
}

// maxAsk bounds what is asked, in bytes.
const maxAsk = 4 << 10

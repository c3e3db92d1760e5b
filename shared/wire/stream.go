package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
)

// MaxMessage bounds one message of a stream, in bytes.
const MaxMessage = 1 << 20

var errMessage = fmt.Errorf("a message of the stream is larger than %d bytes", MaxMessage)

// Stream reads what happens, as it happens: first the events after the one of
// that id (the last few if after is empty), then whatever comes, until ctx ends, the
// loop is left or the connection breaks. The last pair of a broken stream has the error.
// To go on, call it again with the id of the last event.
func (c *Client) Stream(ctx context.Context, after string) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		q := url.Values{}
		if after != "" {
			q.Set("after", after)
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		res, err := c.open(ctx, call{
			method: http.MethodGet, path: PathStream, query: q, safe: true,
			header: http.Header{"Accept": {"text/event-stream"}},
		})
		if err != nil {
			yield(Message{}, err)
			return
		}
		defer res.Body.Close()
		for m, err := range messages(res.Body) {
			if err != nil && ctx.Err() == nil {
				err = unreachable([]string{res.Request.URL.Host}, fmt.Errorf("the stream broke off: %w", err))
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// messages reads server-sent events (HTML standard, section 9.2.6). Comments
// and fields that it does not know are passed over. It ends with an error,
// io.ErrUnexpectedEOF at least: a stream has no end of its own.
func messages(r io.Reader) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		in := bufio.NewScanner(r)
		in.Buffer(make([]byte, 0, 4096), MaxMessage)
		var m Message
		var data []byte
		for in.Scan() {
			line := bytes.TrimSuffix(in.Bytes(), []byte("\r"))
			if len(line) == 0 {
				if data != nil {
					m.Data = data
					if !yield(m, nil) {
						return
					}
				}
				m, data = Message{}, nil
				continue
			}
			key, value, _ := bytes.Cut(line, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(key) {
			case "event":
				m.Type = string(value)
			case "id":
				m.ID = string(value)
			case "data":
				if data == nil {
					data = make([]byte, 0, len(value))
				} else {
					data = append(data, '\n')
				}
				if len(data)+len(value) > MaxMessage {
					yield(Message{}, errMessage)
					return
				}
				data = append(data, value...)
			}
		}
		err := in.Err()
		switch {
		case errors.Is(err, bufio.ErrTooLong):
			err = errMessage
		case err == nil:
			err = io.ErrUnexpectedEOF
		}
		yield(Message{}, err)
	}
}

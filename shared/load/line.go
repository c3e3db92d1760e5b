package load

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
)

// A Line is a connection on which one request is sent again and again, for measures in
// which the client must not count: net/http's copies the body in parts, and hands each
// request over to two goroutines and back. It is not safe to share.
type Line struct {
	conn    net.Conn
	answers *bufio.Reader
	request []byte
	body    bytes.Buffer
}

// Dial connects to a server that speaks plain HTTP/1.1, for requests of a method, a path,
// a header and a body.
func Dial(ctx context.Context, addr, method, path string, header http.Header, body []byte) (*Line, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", method, path, addr, len(body))
	if err := header.Write(&head); err != nil {
		return nil, fmt.Errorf("write the header: %w", err)
	}
	head.WriteString("\r\n")
	head.Write(body)
	return &Line{conn: conn, answers: bufio.NewReader(conn), request: head.Bytes()}, nil
}

// Ask sends the request and returns the answer, whose body is the line's own until it asks
// again. An answer that is not 200 is an error.
func (l *Line) Ask() (http.Header, []byte, error) {
	if _, err := l.conn.Write(l.request); err != nil {
		return nil, nil, fmt.Errorf("send: %w", err)
	}
	res, err := http.ReadResponse(l.answers, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer: %w", err)
	}
	l.body.Reset()
	if _, err := l.body.ReadFrom(res.Body); err != nil {
		return nil, nil, fmt.Errorf("read the answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("the server answers %s: %s", res.Status, l.body.Bytes())
	}
	return res.Header, l.body.Bytes(), nil
}

// Close ends the connection.
func (l *Line) Close() error { return l.conn.Close() }

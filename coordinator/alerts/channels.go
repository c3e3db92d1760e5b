package alerts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/logs"
)

func messageOf(cluster string, a fsm.Alert, phase string) Message {
	return Message{
		ID: fmt.Sprintf("%s/%d/%s", cluster, a.ID, phase), State: phase, Cluster: cluster, Key: a.Key, Severity: a.Severity,
		Subject: a.Subject, Detail: a.Detail, Remedy: a.Remedy, Since: a.Since, Resolved: a.Resolved,
	}
}

// HTTP is a channel that posts to an address: JSON, or as ntfy wants it, a text
// with headers.
type HTTP struct {
	URL    func() (logs.Secret, error) // it may hold a secret
	Token  func() (logs.Secret, error) // for Authorization: Bearer; nil for none
	Ntfy   bool
	Client *http.Client
}

// Client is what HTTP channels use: no redirects, which would take the token along.
func Client() *http.Client {
	return &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Send posts a message. Anything but a 2xx is an error.
func (c HTTP) Send(ctx context.Context, m Message) error {
	req, err := c.request(ctx, m)
	if err != nil {
		return err
	}
	if c.Token != nil {
		token, err := c.Token()
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	req.Header.Set("Idempotency-Key", m.ID)
	req.Header.Set("User-Agent", "prime-spark")
	res, err := c.Client.Do(req)
	if err != nil {
		return fmt.Errorf("post the alert: %w", unaddressed(err))
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)); err != nil {
		return fmt.Errorf("read the answer to the alert: %w", err)
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("post the alert: the receiver says %s", res.Status)
	}
	return nil
}

func (c HTTP) request(ctx context.Context, m Message) (*http.Request, error) {
	address, err := c.URL()
	if err != nil {
		return nil, err
	}
	body, kind := []byte(m.Detail+" "+m.Remedy), "text/plain; charset=utf-8"
	if !c.Ntfy {
		if body, err = json.Marshal(m); err != nil {
			return nil, fmt.Errorf("encode the alert: %w", err)
		}
		kind = "application/json"
	} else if m.State == "resolved" {
		body = fmt.Appendf(nil, "%s It is over after %s.", m.Detail, m.Resolved.Sub(m.Since).Round(time.Second))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address.Reveal(), bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the channel's url is no address") // which may hold a secret
	}
	req.Header.Set("Content-Type", kind)
	if c.Ntfy {
		title, priority, tag := "Prime Spark "+m.Cluster+": "+strings.ReplaceAll(m.Key, "/", " "), "4", "warning"
		if m.Severity == Critical {
			priority, tag = "5", "rotating_light"
		}
		if m.State == "resolved" {
			title, priority, tag = title+" is over", "2", "white_check_mark"
		}
		req.Header.Set("X-Title", title)
		req.Header.Set("X-Priority", priority)
		req.Header.Set("X-Tags", tag)
	}
	return req, nil
}

// unaddressed takes the address out of an error, since it may hold a secret.
func unaddressed(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

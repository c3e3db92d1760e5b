package uplink

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"primespark/shared/logs"
)

const (
	connectIn    = 10 * time.Second // the connection, TLS included; and again the broker's word
	keepAlive    = 30 * time.Second
	passwordMost = 4096 // bytes
)

// options make the library a dumb pipe: nothing is stored, nothing repeated and
// nothing reconnected behind our back.
func (u *Uplink) options(ctx context.Context) (*mqtt.ClientOptions, error) {
	password, err := readPassword(u.cfg.PasswordFile)
	if err != nil {
		return nil, err
	}
	return mqtt.NewClientOptions().
		AddBroker(u.broker.String()).
		SetProtocolVersion(4). // 3.1.1, which every broker speaks
		SetClientID(u.cfg.Topics.ClientID()).
		SetUsername(u.cfg.Username).
		SetPassword(password.Reveal()).
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetKeepAlive(keepAlive).
		SetPingTimeout(connectIn).
		SetConnectTimeout(connectIn).
		SetWriteTimeout(connectIn).
		SetWill(u.cfg.Topics.Status(), "offline", 1, true).
		SetCustomOpenConnectionFn(func(at *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
			return u.open(ctx, at)
		}), nil
}

// open makes the connection itself, so that it ends with ctx and tests can give
// their own network. The library sets the deadline for the broker's word.
func (u *Uplink) open(ctx context.Context, at *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectIn)
	defer cancel()
	conn, err := u.cfg.Dial(ctx, "tcp", at.Host)
	if err != nil {
		return nil, err
	}
	if at.Scheme == "ssl" {
		config := u.cfg.TLS.Clone()
		if config == nil {
			config = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if config.ServerName == "" {
			config.ServerName = at.Hostname()
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		conn = secure
	}
	return conn, nil
}

// readPassword reads the file that holds the password alone.
func readPassword(path string) (logs.Secret, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("mqtt password: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, passwordMost+1))
	if err != nil {
		return "", fmt.Errorf("mqtt password: %w", err)
	}
	if len(b) > passwordMost {
		return "", fmt.Errorf("mqtt password: %s is larger than %d bytes; it should hold the password alone", path, passwordMost)
	}
	return logs.Secret(bytes.TrimRight(b, "\r\n")), nil
}

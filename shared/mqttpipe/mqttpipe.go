// Package mqttpipe connects to an MQTT broker and uses the client library as a
// dumb pipe: nothing is stored, nothing repeated and nothing reconnected behind
// the caller's back. Who sends or listens begins anew with each connection.
package mqttpipe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"primespark/shared/logs"
	"primespark/shared/problem"
)

const (
	connectIn = 10 * time.Second // the connection, TLS included; and again the broker's word
	keepAlive = 30 * time.Second
)

// Config says which broker to use and as whom.
type Config struct {
	Broker       *url.URL // as Parse returns it
	ClientID     string   // a broker knows only one client of a name
	Username     string
	PasswordFile string      // holds the password alone; read for each connection
	TLS          *tls.Config // for ssl://; the system's authorities if nil
	Will         Will        // what the broker says when the client is gone; none without a topic

	// Dial connects.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// A Will is a message that the broker publishes, acknowledged, when the client is
// gone without a farewell.
type Will struct {
	Topic    string
	Payload  []byte
	Retained bool
}

// Parse reads the address of a broker.
func Parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "tcp" && u.Scheme != "ssl" {
		return nil, fmt.Errorf("mqtt broker %q: give tcp://host:1883 or ssl://host:8883", address)
	}
	return u, nil
}

// Connect opens one connection. Lost has the reason once it is gone.
func Connect(ctx context.Context, cfg Config) (client mqtt.Client, lost <-chan error, err error) {
	o, err := options(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	gone := make(chan error, 1)
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { gone <- err })
	client = mqtt.NewClient(o)
	t := client.Connect()
	<-t.Done() // within the timeouts of the options
	if err := t.Error(); err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	return client, gone, nil
}

func options(ctx context.Context, cfg Config) (*mqtt.ClientOptions, error) {
	password, err := logs.ReadSecret(cfg.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("mqtt password: %w", err)
	}
	o := mqtt.NewClientOptions().
		AddBroker(cfg.Broker.String()).
		SetProtocolVersion(4). // 3.1.1, which every broker speaks
		SetClientID(cfg.ClientID).
		SetUsername(cfg.Username).
		SetPassword(password.Reveal()).
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetKeepAlive(keepAlive).
		SetPingTimeout(connectIn).
		SetConnectTimeout(connectIn).
		SetWriteTimeout(connectIn).
		SetCustomOpenConnectionFn(func(at *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
			return open(ctx, cfg, at)
		})
	if w := cfg.Will; w.Topic != "" {
		o.SetBinaryWill(w.Topic, w.Payload, 1, w.Retained)
	}
	return o, nil
}

// open makes the connection itself, so that it ends with ctx and tests can give
// their own network. The library sets the deadline for the broker's word.
func open(ctx context.Context, cfg Config, at *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectIn)
	defer cancel()
	conn, err := cfg.Dial(ctx, "tcp", at.Host)
	if err != nil {
		return nil, err
	}
	if at.Scheme == "ssl" {
		config := cfg.TLS.Clone()
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

// Files are those that say whom to take for the broker, and who the client is.
type Files struct {
	CA        string // PEM; the system's authorities if empty, "cluster" for the cluster's own
	Cert, Key string // PEM; empty for none
}

// TLS makes the settings of a connection by files. Cluster are those of a call to a
// node of the cluster, by which the own certificate is shown.
func (f Files) TLS(cluster *tls.Config) (*tls.Config, error) {
	if f.CA == "cluster" {
		return cluster, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, &problem.Error{Code: problem.Invalid, Err: err, Detail: "The broker's authority " + f.CA + " cannot be read.", Remedy: "Correct mqtt.ca_file."}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, problem.New(problem.Invalid, "Correct mqtt.ca_file.", "There is no PEM certificate in %s.", f.CA)
		}
	}
	if f.Cert != "" {
		// Read for each connection: certificates are replaced while the daemon runs.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			var pair tls.Certificate
			key, err := logs.SecretPath(f.Key)
			if err == nil {
				pair, err = tls.LoadX509KeyPair(f.Cert, key)
			}
			if err != nil {
				return nil, fmt.Errorf("mqtt.cert_file and mqtt.key_file: %w", err)
			}
			return &pair, nil
		}
	}
	return c, nil
}

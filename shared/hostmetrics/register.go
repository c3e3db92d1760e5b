package hostmetrics

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/version"
)

// A Node is what every daemon tells of itself.
type Node struct {
	Name    string
	Cluster string // empty for a node that has not joined
	Role    fleet.Role
	Expires func() time.Time  // of the certificate; nil for a node that has none
	Mode    func() fleet.Mode // how much of the cluster it sees
	Health  func() health.List
}

// Register adds the figures of the Go runtime, the process, the host and the
// node to a registry. A host that cannot be read is told of in the error; all
// the rest is registered.
func Register(reg prometheus.Registerer, n Node) error {
	add := []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		n, health.Collector(n.Health),
	}
	host, err := New(Config{})
	if err == nil {
		add = append(add, host)
	}
	errs := []error{err}
	for _, c := range add {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("register the figures of the node: %w", err)
	}
	return nil
}

var (
	nodeInfo    = prometheus.NewDesc("primespark_node_info", "1, with who the node is and which release it runs.", []string{"node", "cluster", "role", "version"}, nil)
	nodeMode    = prometheus.NewDesc("primespark_node_mode", "1 for the autonomy level that holds.", []string{"mode"}, nil)
	certificate = prometheus.NewDesc("primespark_certificate_expiry_timestamp_seconds", "When the node's certificate expires, Unix time.", nil, nil)
)

// Describe tells the names.
func (Node) Describe(out chan<- *prometheus.Desc) {
	out <- nodeInfo
	out <- nodeMode
	out <- certificate
}

// Collect tells who the node is.
func (n Node) Collect(out chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	tell(nodeInfo, 1, n.Name, n.Cluster, string(n.Role), version.Number)
	now := n.Mode()
	for _, m := range []fleet.Mode{fleet.Normal, fleet.Degraded, fleet.Isolated} {
		tell(nodeMode, is(m == now), string(m))
	}
	if n.Expires != nil {
		tell(certificate, float64(n.Expires().Unix()))
	}
}

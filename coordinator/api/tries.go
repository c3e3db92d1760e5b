package api

import (
	"net"
	"sync"
	"time"
)

// How many wrong tokens an address may send to /login in a minute, and all addresses
// together; and how many addresses are remembered. A token has 128 bits and more,
// so this is about logs and load, not about luck.
const (
	maxWrong    = 10
	maxWrongAll = 300
	maxRemotes  = 1024
	wrongWindow = time.Minute
)

// tries counts wrong log-ins by address, a minute at a time. A try is counted before
// it is looked at and given back if it was right, so that many at once do not slip
// through. The zero value is ready; it is safe to share.
type tries struct {
	mu    sync.Mutex
	since time.Time
	all   int
	by    map[string]int
}

// take counts a try from an address (host:port), and tells how long to wait if it
// may not be looked at.
func (t *tries) take(remote string, now time.Time) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if past := now.Sub(t.since); t.by == nil || past >= wrongWindow || past < 0 {
		t.since, t.all, t.by = now, 0, map[string]int{}
	}
	host := source(remote)
	_, known := t.by[host]
	if t.all >= maxWrongAll || t.by[host] >= maxWrong || !known && len(t.by) >= maxRemotes {
		return t.since.Add(wrongWindow).Sub(now), false
	}
	t.all++
	t.by[host]++
	return 0, true
}

// give takes a try back.
func (t *tries) give(remote string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if host := source(remote); t.by[host] > 0 {
		t.by[host]--
		t.all--
	}
}

// source is who counts as one: an IPv4 address, or the network of an IPv6 one,
// which a single host has 2^64 of.
func source(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return ip.Mask(net.CIDRMask(64, 128)).String()
	}
	return host
}

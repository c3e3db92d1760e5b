package conf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ReadFile reads at most MaxSize bytes of a configuration file. If must is
// false, a file that is not there is an empty one.
func ReadFile(path string, must bool) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration %s: %w", path, err)
	}
	return data, nil
}

// Load reads the file at path and parses it; if must is false, a file that is
// not there is an empty one. An error names the file.
func Load[C any](path string, must bool, parse func([]byte) (C, error)) (C, error) {
	data, err := ReadFile(path, must)
	if err != nil {
		var none C
		return none, err
	}
	c, err := parse(data)
	if err != nil {
		return c, fmt.Errorf("%s:\n%w", path, err)
	}
	return c, nil
}

// HostName is this host's name as a node can bear it: its first label, in small
// letters. Empty if the host has none.
func HostName() string {
	h, err := os.Hostname()
	if err != nil {
		return ""
	}
	h, _, _ = strings.Cut(strings.ToLower(h), ".")
	return h
}

// CheckListen wants an address to listen on: a port, and before it an IP
// address, localhost or nothing.
func (f *File) CheckListen(key, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || !isIPOr(host, "", "localhost") {
		f.Bad(key, "%q is not an address to listen on; give an IP address and a port, as in 192.168.1.10:7480, or a port alone, as in :7480", addr)
	}
}

// CheckLoopback wants an address of this host alone, or nothing.
func (f *File) CheckLoopback(key, addr string) {
	if addr != "" && !IsLoopback(addr) {
		f.Bad(key, "%q is not a loopback address; give one as in 127.0.0.1:7491, since what is served there is not encrypted", addr)
	}
}

// CheckHostPort wants a name or an address with a port by which others reach
// something, or nothing.
func (f *File) CheckHostPort(key, addr string) {
	if addr == "" {
		return
	}
	host, port, err := net.SplitHostPort(addr)
	if p, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || p == 0 || host == "" || strings.ContainsAny(host, " /@") {
		f.Bad(key, "%q is not a host and a port; give both, as in 192.168.1.10:7480", addr)
	}
}

// CheckIPPort wants an IP address with a port by which others reach something,
// or nothing.
func (f *File) CheckIPPort(key, addr string) {
	if addr == "" {
		return
	}
	if at, err := netip.ParseAddrPort(addr); err != nil || at.Port() == 0 || at.Addr().IsUnspecified() {
		f.Bad(key, "%q is not an IP address and a port; give both, as in 192.168.1.10:7482", addr)
	}
}

// CheckEvery wants a duration between least and most.
func (f *File) CheckEvery(key string, d Duration, least, most time.Duration) {
	if d.D() < least || d.D() > most {
		f.Bad(key, "%v is not between %v and %v", d, least, most)
	}
}

// CheckOneOf wants one of a few words.
func (f *File) CheckOneOf(key, got string, words ...string) {
	if !slices.Contains(words, got) {
		f.Bad(key, "%q is not one of %s", got, strings.Join(words, ", "))
	}
}

// IsLoopback reports whether addr, a host and a port, is of this host alone.
func IsLoopback(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func isIPOr(host string, words ...string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || slices.Contains(words, host)
}

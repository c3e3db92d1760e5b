package download

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"primespark/shared/problem"
)

// anywhere connects to whatever address a name has, public to public ones only.
var (
	anywhere = transport(false)
	public   = transport(true)
)

func transport(strict bool) http.RoundTripper {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	guarded := *dialer
	guarded.Control = func(_, address string, _ syscall.RawConn) error { return onlyPublic(address) }
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: stall, DisableCompression: true,
	}
	if !strict {
		return t
	}
	return publicly{through: t, direct: &http.Transport{
		DialContext: guarded.DialContext, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: stall, DisableCompression: true,
	}}
}

// publicly makes its own connections to public addresses alone. Behind a proxy, which
// makes the connection, it can only look at what the name resolves to.
type publicly struct{ direct, through http.RoundTripper }

func (p publicly) RoundTrip(req *http.Request) (*http.Response, error) {
	proxy, err := http.ProxyFromEnvironment(req)
	if err != nil || proxy == nil {
		return p.direct.RoundTrip(req)
	}
	if err := resolvesPublic(req.Context(), req.URL); err != nil {
		return nil, err
	}
	return p.through.RoundTrip(req)
}

func resolvesPublic(ctx context.Context, u *url.URL) error {
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil // only the proxy knows the name; it is no address of ours
	}
	for _, ip := range all {
		if err := onlyPublic(netip.AddrPortFrom(ip, 443).String()); err != nil {
			return err
		}
	}
	return nil
}

// reserved are the networks that are neither public nor named by a method of
// netip.Addr (IANA's special-purpose address registries).
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// onlyPublic refuses an address, host:port, that is not one of the public Internet.
func onlyPublic(address string) error {
	a, err := netip.ParseAddrPort(address)
	ip := a.Addr().Unmap().WithZone("")
	bad := err != nil || !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast()
	for _, p := range reserved {
		bad = bad || p.Contains(ip)
	}
	if !bad {
		return nil
	}
	return problem.New(problem.Forbidden, "If that is right, give the address that it leads to.", "The server redirects to %s, which is in a private network.", address)
}

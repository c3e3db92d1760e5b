package overlay

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"

	"primespark/shared/conf"
	"primespark/shared/fleet"
	"primespark/shared/mesh"
)

// Settings are what agents and coordinators configure of the mesh alike.
type Settings struct {
	Enabled      bool     `yaml:"enabled"`
	Socket       string   `yaml:"socket"`        // of prime-spark-mesh, which builds the tunnels
	Port         int      `yaml:"port"`          // UDP; the next ones are used as well
	Endpoints    []string `yaml:"endpoints"`     // host:port by which others reach Port from outside
	AdvertiseLAN bool     `yaml:"advertise_lan"` // tell the others this host's own addresses
	Site         string   `yaml:"site"`          // nodes of one site try each other's addresses first

	_ struct{} `was:"interface"` // the helper names its interfaces
}

// DefaultSettings are those of a node whose file has none.
func DefaultSettings() Settings {
	return Settings{Socket: "/run/prime-spark-mesh/mesh.sock", Port: mesh.Port, Endpoints: []string{}, AdvertiseLAN: true}
}

// Bounds of the settings.
const (
	lastPort = 65500 // hubs use some ports after the one that is set
)

// Check tells a configuration file's faults below the key mesh.
func (s Settings) Check(f *conf.File) {
	if !filepath.IsAbs(s.Socket) {
		f.Bad("mesh.socket", "%q is no absolute path; give that of prime-spark-mesh, /run/prime-spark-mesh/mesh.sock as a rule", s.Socket)
	}
	if s.Port < 1 || s.Port > lastPort {
		f.Bad("mesh.port", "%d is not between 1 and %d; %d is WireGuard's usual one", s.Port, lastPort, mesh.Port)
	}
	if len(s.Endpoints) > mesh.MaxEndpoints/2 {
		f.Bad("mesh.endpoints", "has %d, at most %d are told; name those that are reached from everywhere", len(s.Endpoints), mesh.MaxEndpoints/2)
	}
	for i, e := range s.Endpoints {
		f.CheckHostPort(fmt.Sprintf("mesh.endpoints[%d]", i), e)
	}
	if s.Site != "" && !fleet.ValidName(s.Site) {
		f.Bad("mesh.site", "%q cannot name a site; use 1 to 32 of a-z, 0-9 and hyphen, as in barn", s.Site)
	}
}

// Candidates are the endpoints to announce: the configured ones, and of the host's
// own addresses those in its networks and those that are routed everywhere. Those
// that no packet of the mesh may go to are left out: of the host itself, of a link
// alone, of the mesh. Where nothing is configured, a hub takes the address that is
// reached best for its own.
func (s Settings) Candidates(own []netip.Addr, m mesh.Map, hub bool, best netip.Addr) (all []mesh.Endpoint) {
	at := func(k mesh.Kind, address string) {
		if len(all) < mesh.MaxEndpoints && !slices.ContainsFunc(all, func(e mesh.Endpoint) bool { return e.Address == address }) {
			all = append(all, mesh.Endpoint{Kind: k, Address: address})
		}
	}
	for _, e := range s.Endpoints {
		at(mesh.Static, e)
	}
	if hub && len(s.Endpoints) == 0 && best.IsValid() && !best.IsLoopback() {
		at(mesh.Static, netip.AddrPortFrom(best, uint16(s.Port)).String())
	}
	if !s.AdvertiseLAN {
		return all
	}
	own = slices.Clone(own)
	for i := range own {
		own[i] = own[i].Unmap().WithZone("")
	}
	slices.SortFunc(own, netip.Addr.Compare)
	for _, a := range own {
		if a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || m.Within(a) {
			continue
		}
		kind := mesh.LAN
		if a.Is6() && !a.IsPrivate() {
			kind = mesh.Global
		}
		at(kind, netip.AddrPortFrom(a, uint16(s.Port)).String())
	}
	return all
}

package wire

import (
	"context"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/mesh"
)

// The paths of the mesh.
const (
	PathMesh         = "/v1/mesh"
	PathMeshView     = "/v1/mesh/view"
	PathMeshAnnounce = "/v1/mesh:announce"
	PathMeshLeave    = "/v1/mesh:leave"
	PathMeshRotate   = "/v1/mesh:rotate"
	PathMeshClients  = "/v1/mesh/clients"
)

// MeshClientPath is the path of one client.
func MeshClientPath(name string) string { return PathMeshClients + "/" + url.PathEscape(name) }

// MeshBody answers GET /v1/mesh: the signed map, and beside it hints, which nobody
// has signed and which follow the hubs' reports within some seconds.
type MeshBody struct {
	mesh.Signed
	Version uint64      `json:"version"` // of the map, for the next call
	Hints   []mesh.Hint `json:"hints,omitempty"`
	Sum     string      `json:"sum,omitempty"` // of the hints, for the next call
}

// MeshVersion answers what changes the map: the version that has the change.
type MeshVersion struct {
	Version uint64 `json:"version"`
}

// MeshRotateRequest asks nodes for new keys: those named, or all.
type MeshRotateRequest struct {
	Nodes []string `json:"nodes,omitempty"`
}

// MeshRotateBody answers it: who was asked now. Those that were asked before and
// have not followed yet are not among them.
type MeshRotateBody struct {
	Asked []string `json:"asked"`
}

// MeshClientRequest lets a phone or a laptop into the mesh, whose key is its own.
type MeshClientRequest struct {
	Name   string         `json:"name"`
	Public mesh.PublicKey `json:"public_key"`
	TTL    string         `json:"ttl"` // a duration, as in 720h
}

// MeshClientBody is a client of the mesh. There is no secret in it.
type MeshClientBody struct {
	Name    string         `json:"name"`
	Public  mesh.PublicKey `json:"public_key"`
	Address netip.Addr     `json:"address"`
	IPv4    netip.Addr     `json:"ipv4,omitzero"`
	Created time.Time      `json:"created"`
	Expires time.Time      `json:"expires"`
	By      string         `json:"by"` // who approved it
}

// MeshViewBody answers GET /v1/mesh/view: the mesh as it should be, and as its
// nodes say that it is.
type MeshViewBody struct {
	Version uint64           `json:"version"`
	Prefix  netip.Prefix     `json:"prefix"`
	IPv4    netip.Prefix     `json:"ipv4,omitzero"`
	Nodes   []MeshNodeBody   `json:"nodes"`
	Clients []MeshClientBody `json:"clients"`
	Outside []string         `json:"outside,omitempty"` // nodes of the fleet that take no part
}

// MeshNodeBody is a node in that view.
type MeshNodeBody struct {
	Name       string         `json:"name"`
	Role       fleet.Role     `json:"role"`
	Address    netip.Addr     `json:"address"`
	IPv4       netip.Addr     `json:"ipv4,omitzero"`
	Site       string         `json:"site,omitempty"`
	Hub        *mesh.Hub      `json:"hub,omitempty"`
	Host       string         `json:"host,omitempty"`   // the member on the same host whose tunnels it uses
	Generation uint64         `json:"generation"`       // of its newest key
	Keys       int            `json:"keys"`             // that are good now; two while it changes its key
	Wanted     uint64         `json:"wanted,omitempty"` // the generation that it was asked for
	Liveness   fleet.Liveness `json:"liveness,omitempty"`
	Report     *mesh.Report   `json:"report,omitempty"` // nil: it has told nothing, or is not heard
}

// Mesh reads the map of the mesh, as soon as it is newer than a version or the hints
// are others than those of a sum, or as it is when the wait is over.
func (c *Client) Mesh(ctx context.Context, version uint64, sum string, wait time.Duration) (b MeshBody, err error) {
	err = c.get(ctx, PathMesh, url.Values{"version": {strconv.FormatUint(version, 10)}, "sum": {sum}, "wait": {wait.String()}}, &b)
	return b, err
}

// MeshView reads how the mesh is.
func (c *Client) MeshView(ctx context.Context) (b MeshViewBody, err error) {
	err = c.get(ctx, PathMeshView, c.reading(), &b)
	return b, err
}

// AnnounceMesh tells what the node whose certificate the client shows has at its end
// of the mesh. Twice is as good as once.
func (c *Client) AnnounceMesh(ctx context.Context, a mesh.Announcement) error {
	return c.post(ctx, PathMeshAnnounce, a, nil)
}

// LeaveMesh takes that node out of the mesh.
func (c *Client) LeaveMesh(ctx context.Context) error {
	return c.post(ctx, PathMeshLeave, nil, nil)
}

// RotateMesh asks nodes for new keys of the mesh; all, if none is named.
func (c *Client) RotateMesh(ctx context.Context, nodes ...string) (b MeshRotateBody, err error) {
	err = c.change(ctx, PathMeshRotate, "", MeshRotateRequest{nodes}, &b)
	return b, err
}

// AdmitToMesh lets a client into the mesh.
func (c *Client) AdmitToMesh(ctx context.Context, r MeshClientRequest) (b MeshClientBody, err error) {
	err = c.change(ctx, PathMeshClients, "", r, &b)
	return b, err
}

// ExpelFromMesh shuts a client out.
func (c *Client) ExpelFromMesh(ctx context.Context, name string) error {
	var v MeshVersion
	return c.change(ctx, MeshClientPath(name)+":revoke", "", struct{}{}, &v)
}

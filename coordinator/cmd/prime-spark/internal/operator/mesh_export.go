package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"primespark/coordinator/cmd/prime-spark/internal/qrcode"
	"primespark/shared/cli"
	"primespark/shared/mesh"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// An export is what a phone or a laptop needs.
type export struct {
	Client wire.MeshClientBody `json:"client"`
	Hub    string              `json:"hub"`
	Config string              `json:"config"` // wg-quick's; it has the private key
}

func meshExportCommand(s *session) *cobra.Command {
	var ttl time.Duration
	var hub, file, png, svg string
	var code bool
	cmd := &cobra.Command{
		Use: "export CLIENT", Short: "Let a phone or a laptop into the mesh: a wg-quick file, and a QR code of it", Args: cli.Words("CLIENT"),
		Long: `Let a phone or a laptop into the mesh: a file for wg-quick and WireGuard's apps,
and a QR code of it. The private key is made here, is in what is printed, and is
kept nowhere else: no coordinator knows it. The same name again is a new key, and
the older one is shut out. The client goes through one hub; --hub says which.

On standard output is the file alone; the QR code comes with --qr.`,
		Example: "  prime-spark mesh export phone --qr --file phone.conf\n  prime-spark mesh export laptop --ttl 8h > laptop.conf",
		RunE: func(cmd *cobra.Command, args []string) error {
			if ttl < time.Minute {
				return cli.Misuse(cmd, "--ttl is %v; give it a minute or more, as in 720h.", ttl)
			}
			for _, path := range []string{file, png, svg} {
				if _, err := os.Lstat(path); err == nil {
					return cli.Exit(cli.Misused, problem.New(problem.Conflict, "Remove it, or give another name: it may be the only copy of another key.", "The file %s is there already.", path))
				}
			}
			made, err := ask(cmd, s, "asking the coordinators", func(ctx context.Context, c *wire.Client) (export, error) {
				return newExport(ctx, c, args[0], hub, ttl)
			})
			if err != nil {
				return err
			}
			return made.show(cmd, file, png, svg, code)
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", 30*24*time.Hour, "how long the client may use the mesh")
	cmd.Flags().StringVar(&hub, "hub", "", "the hub to go through; the preferred one if not given")
	cmd.Flags().StringVar(&file, "file", "", "write the file here, for this user's eyes only, and not to standard output")
	cmd.Flags().BoolVar(&code, "qr", false, "show the QR code on the terminal (standard error)")
	cmd.Flags().StringVar(&png, "png", "", "write the QR code as PNG here")
	cmd.Flags().StringVar(&svg, "svg", "", "write the QR code as SVG here")
	cli.JSON(cmd)
	return cmd
}

// newExport makes a key, has the coordinators take its public half, and words the
// file. The hub is looked for first: nobody is let in who has no way in.
func newExport(ctx context.Context, c *wire.Client, name, hub string, ttl time.Duration) (export, error) {
	b, err := c.Mesh(ctx, 0, "", 0)
	if err != nil {
		return export{}, err
	}
	var m mesh.Map
	if b.Version == 0 {
		return export{}, problem.New(problem.NotFound, "Set mesh.enabled: true on coordinators and agents.", "This cluster has no mesh.")
	}
	if err = json.Unmarshal(b.Map, &m); err == nil {
		err = m.Check()
	}
	if err != nil {
		return export{}, &problem.Error{Code: problem.Unexpected, Err: err, Detail: "The map of the mesh is not what a coordinator sends.", Remedy: "Compare the versions of this program and of the coordinators."}
	}
	at, err := entrance(m, hub)
	if err != nil {
		return export{}, err
	}
	key, err := mesh.GenerateKey()
	if err != nil {
		return export{}, err
	}
	client, err := c.AdmitToMesh(ctx, wire.MeshClientRequest{Name: name, Public: key.Public(), TTL: ttl.String()})
	if err != nil {
		return export{}, err
	}
	return export{client, at.Name, wgQuick(m, client, at, key)}, nil
}

// entrance is the hub that a client goes through.
func entrance(m mesh.Map, wanted string) (mesh.Node, error) {
	hubs := m.Hubs()
	if len(hubs) == 0 {
		return mesh.Node{}, problem.New(problem.Conflict, "Set mesh.hub: true and mesh.endpoints on a coordinator.", "The mesh has no hub that a client could go through.")
	}
	if wanted == "" {
		return hubs[0], nil
	}
	var names []string
	for _, h := range hubs {
		if h.Name == wanted {
			return h, nil
		}
		names = append(names, h.Name)
	}
	return mesh.Node{}, problem.New(problem.NotFound, "The hubs are: "+strings.Join(names, " ")+".", "There is no hub %.64q.", wanted)
}

// wgQuick is the file of wg-quick(8). All that is in it has been checked: names,
// keys, addresses and host:port without space.
func wgQuick(m mesh.Map, c wire.MeshClientBody, hub mesh.Node, key mesh.PrivateKey) string {
	addresses, reach := c.Address.String()+"/128", m.Prefix.String()
	if c.IPv4.IsValid() {
		addresses += ", " + c.IPv4.String() + "/32"
		reach += ", " + m.IPv4.String()
	}
	return fmt.Sprintf(`# %s in the mesh of %s, until %s
[Interface]
PrivateKey = %s
Address = %s
MTU = 1280

# hub %s
[Peer]
PublicKey = %s
Endpoint = %s
AllowedIPs = %s
PersistentKeepalive = 25
`, c.Name, m.Cluster, c.Expires.UTC().Format(time.RFC3339), key.Text(), addresses, hub.Name, hub.Newest().Public, hub.Static()[0], reach)
}

// show prints the file, and writes what was asked for.
func (e export) show(cmd *cobra.Command, file, png, svg string, onTerminal bool) error {
	code, err := qrcode.New(e.Config)
	if err != nil {
		return err
	}
	for path, data := range map[string][]byte{file: []byte(e.Config), png: code.PNG(), svg: code.SVG()} {
		if path == "" {
			continue
		}
		if err := writeSecret(path, data); err != nil {
			return err
		}
	}
	if onTerminal {
		cmd.PrintErr(code.Terminal())
	}
	out := cli.Output(cmd)
	err = out.Data(e, func() {
		if file == "" {
			fmt.Fprint(cmd.OutOrStdout(), e.Config) // as it is: a program reads it
		}
	})
	cmd.PrintErrf("%s may use the mesh until %s, through %s. The key in it is shown once; prime-spark mesh revoke %s shuts it out.\n", cli.Text(e.Client.Name), clock(e.Client.Expires), cli.Text(e.Hub), cli.Text(e.Client.Name))
	if host, _, splitErr := net.SplitHostPort(endpointOf(e.Config)); splitErr == nil && net.ParseIP(host) != nil && net.ParseIP(host).IsPrivate() {
		cmd.PrintErrf("The hub is given by the private address %s: it is reached from its own network only. Set mesh.endpoints there to go in from outside.\n", host)
	}
	return err
}

func endpointOf(config string) string {
	_, rest, _ := strings.Cut(config, "Endpoint = ")
	endpoint, _, _ := strings.Cut(rest, "\n")
	return endpoint
}

// writeSecret writes a file that holds a key, for its owner only, and not over
// another one.
func writeSecret(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = f.Write(data)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return &problem.Error{Code: problem.Invalid, Err: err, Detail: "The file " + path + " cannot be written.", Remedy: "Give a path in a directory that you may write to, and run the command again: it makes a new key."}
	}
	return nil
}

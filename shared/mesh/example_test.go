package mesh_test

import (
	"crypto/sha256"
	"fmt"

	"primespark/shared/fleet"
	"primespark/shared/mesh"
)

// Whoever has the authority's certificate knows every node's address.
func ExampleNodeHost() {
	ca := sha256.Sum256([]byte("an authority's public key")) // identity.CAHash
	id := mesh.URI("home", fleet.Agent, "pi-1")
	fmt.Println(mesh.NodeHost(fleet.Agent, id).In(mesh.Prefix(ca)))
	// Output: fd6d:7a4e:7e2d:1:e86:5749:d89f:2193
}

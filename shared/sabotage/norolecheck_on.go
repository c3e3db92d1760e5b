//go:build sabotage_norolecheck

package sabotage

// NoRoleCheck tells that any certificate of the cluster opens the raft port.
const NoRoleCheck = true

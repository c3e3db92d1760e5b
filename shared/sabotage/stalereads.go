//go:build !sabotage_stalereads

package sabotage

// StaleReads tells that reads are answered from memory, whoever leads.
const StaleReads = false

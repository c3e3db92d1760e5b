// Package sabotage holds faults that are built into the programs on purpose, to
// see that the fault suite notices them (CONTRIBUTING.md). Each is a constant that
// only a build tag of its name makes true:
//
//	sabotage_nosync       the raft log is not flushed to the disk
//	sabotage_stalereads   reads are answered from memory, whoever leads
//	sabotage_nofencing    a lease that has ended still counts
//	sabotage_norolecheck  any certificate of the cluster opens the raft port
//
// In a program that is built without them all are false, and the compiler leaves
// nothing of what they guard. A sabotaged one says so when it starts.
package sabotage

// Any tells that this build is sabotaged.
const Any = NoSync || StaleReads || NoFencing || NoRoleCheck

// Warning is what a sabotaged program says at its start; no other one holds it.
const Warning = "this build is sabotaged for a test and loses data"

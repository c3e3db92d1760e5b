// Package supply brings the models that the fleet was given to this node, and takes
// those away that it was given no more.
//
// What is wanted comes from the plan; the bytes come from the coordinators, part by
// part, and each part and each file is checked by its SHA-256 before it counts. A
// transfer that broke off, by a power cut too, goes on where it was. Of a package only
// those variants are fetched that an engine of this node can run. A package is in force
// only when all of it is on the disk; if it then fails its selftest, the one before it
// stays in force, and the coordinators are told why.
//
// A node that sees no coordinator serves what it has.
package supply

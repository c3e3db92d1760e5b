// Package meshnet builds a node's part of the mesh out of the map, and keeps packets
// flowing when hubs fail.
//
// A program of its own, prime-spark-mesh, does that with the rights that it takes.
// This package is what agents and coordinators have of it: they tell it what is
// wanted and are told what is, over a Unix socket (Client). What that program is made
// of is below: helper decides with choice, acts by device, and probes by echo.
package meshnet

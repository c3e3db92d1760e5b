// Package hailo brings a Hailo-8 or Hailo-8L accelerator to a static Go program.
//
// Probe looks at the host, without loading or changing anything, and Diagnose
// says in words what keeps the chip from working and which command mends it. A
// Supervisor (package worker's) keeps one worker process, the only one that loads the vendor's
// library, and gives models a place on the chip. Nothing in the vendor's library,
// driver or model files can end this process: what crashes or hangs is the
// worker, which is started again.
//
// The package knows nothing of agents. DESIGN.md tells how its pieces work
// together, and what is proven and what is not.
package hailo

// Package worker keeps one process that runs a native engine's library, so that
// nothing in the library, its driver or its model files can end this one: what
// crashes or hangs is the worker, which is started again, with pauses that grow.
//
// A Supervisor is the same for every engine; an Engine says what differs: where
// its library is, what a failure means in words, and what else is to be measured.
// Package frame is what is said over the socket, and the folder native holds what
// workers in C have in common.
package worker

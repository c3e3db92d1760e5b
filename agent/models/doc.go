// Package models keeps the models that a node serves: it checks their packages,
// loads them, proves them on their own photo, and answers requests with them.
//
// A package is a folder, or a .tar, with a manifest, model.yaml, and the files that it names.
// What is not as the manifest says, because it was half copied or tampered with,
// is not loaded, and the index says why. One package, BlazeFace, is part of the
// binary, so that a node without network or disk has a model. A folder of its name
// comes first; if that is refused, the embedded one answers and the index says so.
//
// What a model takes of memory counts from its manifest's resources.memory or, if that
// is more, from what its session and tensors hold. Without that word in the manifest it
// may take 64 MiB and 16 times the size of its file, and never more than is left of
// models.memory.
//
// A model for which there is no room is cold: the first request has it loaded, and is told
// when to come back; the one that was used longest ago makes room.
//
// The manifest's resources.deadline is how long one inference may take on the device,
// without the wait for its turn; a request's own deadline holds besides.
//
// A model is ready only after it ran, and, if its manifest has a selftest, found
// on the photo what it is to find. Models of the same engine share its queue.
package models

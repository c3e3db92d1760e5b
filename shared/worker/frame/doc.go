// Package frame is what an agent and the worker process of a native engine say
// to each other: one message for each request and one for each reply, over a
// socketpair that the worker inherits, and tensors in shared memory beside it. It
// knows nothing of any engine.
//
// # The socket
//
// File descriptor 3 of the worker is one end of a Unix socketpair of type
// SOCK_SEQPACKET: a packet is a message, whole or not at all, so there are no
// partial headers. The end of the file means that the other side is gone; a
// worker then ends at once. Only the agent asks; the worker answers each request
// exactly once, in any order. What a worker has to tell people goes to its
// standard error, a line for each.
//
// A worker that is started with --unit is one of systemd, which accepted a connection
// of the agent's, and passes it as descriptor 3 all the same. The first request to it is
// Start: the arguments that it would have had, and a pipe for what it has to tell people.
//
// # A message
//
// A header of 40 bytes, little-endian, and then length bytes of payload, at most
// MaxPayload:
//
//	 0  u32 magic   "PSW1"
//	 4  u16 type    what is asked; the reply repeats it
//	 6  u16 flags   bit 0: this is a reply; others are 0
//	 8  u32 seq     chosen by the agent, repeated by the reply
//	12  i32 status  0; in a reply also what went wrong (Status)
//	16  u32 length  of the payload
//	20  u32 model   which model, for Map, Infer and Unload; from 0, in the order of Load
//	24  u64 a       by type
//	32  u64 b       by type
//
// A reply whose status is not 0 has a Failure as its payload, whatever its type.
// Requests have plain text as payload, lines of "key value", so that a worker in
// C reads them without a parser worth the name; replies have JSON, which every
// worker writes easily.
//
//	type        request                      reply
//	1 Hello     a = Version                  a = the worker's version; HelloReply
//	2 Device    -                            DeviceReply: which accelerator
//	3 Load      LoadRequest, model file      model; LoadReply: its tensors
//	4 Map       model, a = size, arena       -
//	5 Infer     model, a, b: see below       a = ns in the engine, b = ns waited before it; see below
//	6 Ping      -                            PingReply: counters; never touches the engine
//	7 Sense     -                            SenseReply: temperature, power; may take long
//	8 Unload    model                        -; an engine that cannot answers Unsupported
//	9 Bye       -                            -; then the worker frees the device and ends
//	10 Start    lines of "arg VALUE", stderr a = its process number; no payload
//
// The model file of Load and the arena of Map come as one file descriptor with
// the request's packet (SCM_RIGHTS); its position is shared with the agent, so a
// worker maps it, or reads at offsets, and closes it. Hello, Ping and the refusal of nonsense are
// answered by a thread that never waits for the engine; so a silent Ping means a
// dead worker, and a silent Infer an engine that hangs. Device, Load, Map, Sense
// and Unload are done one after the other.
//
// # The arena
//
// Each model has an arena of its own: a memfd of the agent, sealed against
// shrinking and growing, so that nobody can take the memory away from under the
// other. The worker refuses one without these seals. Its size is a multiple of
// Granule.
//
// In Infer a is the offset of the inputs in the model's arena, and b that of the
// outputs. The tensors of one side lie one after the other in the order of the
// LoadReply, each at the next multiple of Align; SideBytes adds them up. The memory of an
// inference belongs to the worker from the request to the reply. Until the reply
// comes, or the worker is dead, nobody else may write there.
//
// Where the data decide the shape of an output, its Bytes are the room that it has, and
// the payload of the reply to Infer is {"shapes": [[2, 3], ...]}, one for each output; it is
// empty for other models. More than there is room for is answered with TooLarge.
//
// A model takes Depth inferences at a time; one more is answered with Full. Once
// an inference failed in the engine all others of that model get Broken: the
// worker has to be replaced.
//
// An engine that frees models one by one uses the numbers of those that left again.
//
// # Change
//
// Types, fields and status codes are only added. Version counts up when an older
// worker cannot be talked to any more; agent and worker come in one package, so
// the agent refuses any other version.
package frame

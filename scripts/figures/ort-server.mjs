// The server that one would write in an afternoon: Node's own HTTP, ONNX Runtime, the
// numbers of one tensor in the body and those of all outputs in the answer. It is
// what the agent's protocol layer is measured against.
import http from 'node:http';
import ort from 'onnxruntime-node';

const [file, ...shape] = process.argv.slice(2);
const session = await ort.InferenceSession.create(file, { intraOpNumThreads: 1, interOpNumThreads: 1 });

const server = http.createServer(async (req, res) => {
  const parts = [];
  for await (const part of req) parts.push(part);
  const body = Buffer.concat(parts);
  const floats = new Float32Array(body.buffer.slice(body.byteOffset, body.byteOffset + body.length));
  const out = await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', floats, shape.map(Number)) });
  res.end(Buffer.concat(session.outputNames.map((n) => Buffer.from(out[n].data.buffer, out[n].data.byteOffset, out[n].data.byteLength))));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume().on('end', () => process.exit(0)); // it ends with whoever started it

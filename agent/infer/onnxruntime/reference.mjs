// Runs a model with onnxruntime-node, as told by the JSON that is the one argument:
// {model, threads, inputs: [{name, type, dims, file}], outputs: [file]}. The files hold
// the tensors' bytes; those of the outputs are written, in the order of the model's.
import { readFileSync, writeFileSync } from 'node:fs';
import ort from 'onnxruntime-node';

const task = JSON.parse(process.argv[2]);
const session = await ort.InferenceSession.create(task.model, { intraOpNumThreads: task.threads, interOpNumThreads: 1 });
const arrays = { float32: Float32Array, int64: BigInt64Array, uint8: Uint8Array };
const feeds = {};
for (const { name, type, dims, file } of task.inputs) {
  const bytes = readFileSync(file);
  const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  feeds[name] = new ort.Tensor(type, new arrays[type](copy), dims);
}
const out = await session.run(feeds);
session.outputNames.forEach((name, i) => {
  const { buffer, byteOffset, byteLength } = out[name].data;
  writeFileSync(task.outputs[i], Buffer.from(buffer, byteOffset, byteLength));
});

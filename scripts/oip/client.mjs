// An independent client of the Open Inference Protocol, version 2, so that the
// servers are not only tested with code of their own: REST by fetch and gRPC by
// @grpc/grpc-js, against a server that runs and has the model "blazeface".
//
//   node client.mjs --rest http://127.0.0.1:7490 --grpc 127.0.0.1:7490 --proto inference.proto --image photo.jpg
//   node client.mjs ... --ca ca.pem --token-file token     over TLS
//   node client.mjs ... --control                          unload and load the model, too
//
// It prints a line for each check and exits with 1 if one of them fails.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { parseArgs } from 'node:util';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const { values: args } = parseArgs({
  options: {
    rest: { type: 'string' }, grpc: { type: 'string' }, proto: { type: 'string' }, image: { type: 'string' },
    ca: { type: 'string' }, 'token-file': { type: 'string' }, control: { type: 'boolean' },
  },
});
for (const name of ['rest', 'grpc', 'proto', 'image']) {
  if (!args[name]) {
    console.error(`client.mjs: --${name} is missing; see the head of the file.`);
    process.exit(2);
  }
}

const model = 'blazeface';
const image = fs.readFileSync(args.image);
const token = args['token-file'] ? fs.readFileSync(args['token-file'], 'utf8').trim() : '';
const auth = token ? { authorization: `Bearer ${token}` } : {};

// REST ------------------------------------------------------------------------

async function rest(method, path, body, headers = {}) {
  const res = await fetch(args.rest + path, { method, body, headers: { ...auth, ...headers }, signal: AbortSignal.timeout(20_000) });
  const bytes = Buffer.from(await res.arrayBuffer());
  return { status: res.status, headers: res.headers, bytes };
}

async function json(method, path, body) {
  const r = await rest(method, path, body === undefined ? undefined : JSON.stringify(body), body === undefined ? {} : { 'content-type': 'application/json' });
  return { ...r, body: r.bytes.length ? JSON.parse(r.bytes) : undefined };
}

// infer sends a request whose inputs may have bytes, which go as binary data, and
// returns the outputs by name, those that came as binary data with bytes.
async function infer(request, path = `/v2/models/${model}/infer`) {
  const binary = [];
  const inputs = request.inputs.map(({ bytes, ...input }) => {
    if (!bytes) return input;
    binary.push(bytes);
    return { ...input, parameters: { binary_data_size: bytes.length } };
  });
  const head = Buffer.from(JSON.stringify({ ...request, inputs }));
  const headers = binary.length
    ? { 'content-type': 'application/octet-stream', 'inference-header-content-length': String(head.length) }
    : { 'content-type': 'application/json' };
  return answer(await rest('POST', path, Buffer.concat([head, ...binary]), headers));
}

function answer(r) {
  const length = r.headers.get('inference-header-content-length');
  const head = JSON.parse(r.bytes.subarray(0, length === null ? undefined : Number(length)));
  if (r.status !== 200) return { ...r, error: head.error };
  let at = length === null ? r.bytes.length : Number(length);
  const outputs = {};
  for (const o of head.outputs) {
    const size = o.parameters?.binary_data_size;
    outputs[o.name] = o;
    if (size !== undefined) {
      o.bytes = r.bytes.subarray(at, at + size);
      at += size;
    }
  }
  assert.equal(at, r.bytes.length, 'bytes after the last output');
  return { ...r, head, outputs };
}

// A refusal has the protocol's form, {"error": "<text>"}, and nothing else.
function refused(r, ...statuses) {
  assert.ok(statuses.includes(r.status), `status ${r.status}: ${r.bytes}`);
  const body = JSON.parse(r.bytes);
  assert.deepEqual(Object.keys(body), ['error']);
  assert.ok(typeof body.error === 'string' && body.error.length > 10, `error ${r.bytes}`);
}

// gRPC ------------------------------------------------------------------------

const definition = protoLoader.loadSync(args.proto, { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: false });
const { GRPCInferenceService } = grpc.loadPackageDefinition(definition).inference;
const credentials = args.ca ? grpc.credentials.createSsl(fs.readFileSync(args.ca)) : grpc.credentials.createInsecure();
const client = new GRPCInferenceService(args.grpc, credentials, { 'grpc.max_receive_message_length': -1 });

function metadata(extra = {}) {
  const m = new grpc.Metadata();
  for (const [k, v] of Object.entries({ ...auth, ...extra })) m.set(k, v);
  return m;
}

function call(method, request, { deadline = 20_000, extra } = {}) {
  return new Promise((done, fail) => {
    let header;
    const c = client[method](request, metadata(extra), { deadline: Date.now() + deadline }, (err, reply) => {
      if (err) fail(err);
      else done({ ...reply, $header: header });
    });
    c.on('metadata', (m) => { header = m; });
  });
}

async function fails(code, promise) {
  const err = await promise.then(() => assert.fail('it was answered'), (e) => e);
  assert.equal(grpc.status[err.code], code, `${err.code}: ${err.details}`);
  assert.ok(err.details.length > 10, `details ${err.details}`);
  return err;
}

// Tensors ---------------------------------------------------------------------

// The model's input, filled with what every run and every language makes alike.
let shape, floats, input;
function prepare(meta) {
  input = meta.inputs[0];
  shape = input.shape.map(Number);
  floats = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.fround(((i * 7919) % 2001) / 1000 - 1));
}
const floatBytes = (values) => Buffer.from(new Float32Array(values).buffer);
const bytesTensor = (element) => {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(element.length);
  return Buffer.concat([head, element]);
};
const elements = (bytes) => {
  const all = [];
  for (let at = 0; at < bytes.length;) {
    const size = bytes.readUInt32LE(at);
    all.push(bytes.subarray(at + 4, at + 4 + size).toString());
    at += 4 + size;
  }
  return all;
};

// The photo has one face, around pixel (226, 129).
function oneFace(texts) {
  assert.equal(texts.length, 1, `detections ${texts}`);
  const d = JSON.parse(texts[0]);
  assert.equal(d.label, 'face');
  assert.ok(d.score > 0.5 && d.score <= 1, `score ${d.score}`);
  const [x1, y1, x2, y2] = d.box;
  assert.ok(x1 < 226 && 226 < x2 && y1 < 129 && 129 < y2, `box ${d.box}`);
}

// Checks ----------------------------------------------------------------------

const extensions = ['binary_tensor_data', 'classification', 'model_repository', 'statistics'];
let raw; // what the model makes of the floats, by REST in binary

const checks = {
  'REST: server metadata': async () => {
    const r = await json('GET', '/v2');
    assert.equal(r.status, 200);
    assert.equal(typeof r.body.name, 'string');
    assert.equal(typeof r.body.version, 'string');
    assert.deepEqual(r.body.extensions.toSorted(), extensions);
  },
  'REST: live and ready': async () => {
    assert.equal((await json('GET', '/v2/health/live')).body.live, true);
    assert.equal((await json('GET', '/v2/health/ready')).status, 200);
    const r = await json('GET', `/v2/models/${model}/ready`);
    assert.equal(r.status, 200);
    assert.equal(r.body.name, model);
    assert.equal(r.body.ready, true);
  },
  'REST: model metadata': async () => {
    const r = await json('GET', `/v2/models/${model}`);
    assert.equal(r.status, 200);
    assert.equal(r.body.name, model);
    assert.match(r.body.platform, /^[a-z]+_[a-z0-9]+$/);
    prepare(r.body);
    const one = await json('GET', `/v2/models/${model}/versions/${r.body.versions[0]}`);
    assert.deepEqual(one.body, r.body);
  },
  'REST: a photo as the body': async () => {
    const r = answer(await rest('POST', `/v2/models/${model}/infer`, image, { 'inference-header-content-length': '0' }));
    oneFace(r.outputs.detections.data);
    assert.ok(r.headers.get('x-prime-spark-node'), 'no X-Prime-Spark-Node');
  },
  'REST: a photo as a BYTES tensor': async () => {
    const r = await infer({ id: 'é-1', inputs: [{ name: input.name, datatype: 'BYTES', shape: [1], bytes: bytesTensor(image) }], parameters: { binary_data_output: true } });
    assert.equal(r.head.id, 'é-1');
    assert.equal(r.head.model_name, model);
    oneFace(elements(r.outputs.detections.bytes));
  },
  'REST: JSON and binary say the same': async () => {
    raw = (await infer({ inputs: [{ name: input.name, datatype: 'FP32', shape, bytes: floatBytes(floats) }], parameters: { binary_data_output: true } })).outputs;
    assert.ok(Object.keys(raw).length >= 2, `outputs ${Object.keys(raw)}`);
    const text = (await infer({ inputs: [{ name: input.name, datatype: 'FP32', shape, data: floats }] })).outputs;
    for (const [name, o] of Object.entries(raw)) {
      assert.deepEqual(text[name].shape, o.shape);
      assert.ok(floatBytes(text[name].data).equals(o.bytes), `${name} differs`);
    }
  },
  'REST: outputs, one by one': async () => {
    const names = Object.keys(raw).toReversed();
    const r = await infer({
      inputs: [{ name: input.name, datatype: 'FP32', shape, bytes: floatBytes(floats) }],
      outputs: [{ name: names[0] }, { name: names[1], parameters: { binary_data: false } }], parameters: { binary_data_output: true },
    });
    assert.deepEqual(r.head.outputs.map((o) => o.name), names.slice(0, 2));
    assert.ok(r.outputs[names[0]].bytes.equals(raw[names[0]].bytes));
    assert.ok(floatBytes(r.outputs[names[1]].data).equals(raw[names[1]].bytes));
  },
  'REST: classification': async () => {
    const [name, o] = Object.entries(raw)[0];
    const values = new Float32Array(o.bytes.buffer.slice(o.bytes.byteOffset, o.bytes.byteOffset + o.bytes.length));
    const r = await infer({ inputs: [{ name: input.name, datatype: 'FP32', shape, bytes: floatBytes(floats) }], outputs: [{ name, parameters: { classification: 3 } }] });
    const got = r.outputs[name];
    assert.equal(got.datatype, 'BYTES');
    assert.deepEqual(got.shape, [o.shape[0], 3]);
    const [value, index] = got.data[0].split(':');
    assert.equal(Math.fround(Number(value)), Math.max(...values));
    assert.equal(values[Number(index)], Math.max(...values));
  },
  'REST: refusals': async () => {
    refused(await json('GET', '/v2/models/none'), 404);
    refused(await json('GET', `/v2/models/${model}/versions/none`), 404);
    refused(await json('GET', '/v2/nothing'), 404);
    refused(await infer({ inputs: [] }), 400);
    refused(await infer({ inputs: [{ name: input.name, datatype: 'FP32', shape: [1, 2], data: [1, 2] }] }), 400);
    refused(await infer({ inputs: [{ name: 'none', datatype: 'FP32', shape, bytes: floatBytes(floats) }] }), 400);
    refused(await infer({ inputs: [{ name: input.name, datatype: 'FP32', shape, bytes: floatBytes(floats).subarray(4) }] }), 400);
    refused(await rest('POST', `/v2/models/${model}/infer`, '{"inputs": [', { 'content-type': 'application/json' }), 400);
    refused(await rest('POST', `/v2/models/${model}/infer`, 'no photo', { 'inference-header-content-length': '0' }), 400, 415);
    refused(await rest('POST', `/v2/models/${model}/infer`, '{}', { 'inference-header-content-length': '99' }), 400);
  },
  'REST: statistics': async () => {
    const count = async () => (await json('GET', `/v2/models/${model}/stats`)).body.model_stats.reduce((n, m) => n + m.inference_stats.success.count, 0);
    const before = await count();
    await infer({ inputs: [{ name: input.name, datatype: 'FP32', shape, bytes: floatBytes(floats) }] });
    assert.ok(await count() > before, 'an inference was not counted');
    assert.ok((await json('GET', '/v2/models/stats')).body.model_stats.some((m) => m.name === model));
  },
  'REST: repository index': async () => {
    const all = await json('POST', '/v2/repository/index', {});
    assert.ok(all.body.some((m) => m.name === model && m.state === 'READY'), `index ${all.bytes}`);
    refused(await json('POST', '/v2/repository/index', { ready: 'yes' }), 400);
    refused(await json('POST', '/v2/repository/models/none/load', {}), 404);
    refused(await json('POST', `/v2/repository/models/${model}/load`, { parameters: { 'file:1/model.onnx': 'AA==' } }), 400);
  },

  'gRPC: live and ready': async () => {
    assert.equal((await call('ServerLive', {})).live, true);
    assert.equal((await call('ServerReady', {})).ready, true);
    assert.equal((await call('ModelReady', { name: model })).ready, true);
    assert.equal((await call('ModelReady', { name: 'none' })).ready, false);
  },
  'gRPC: metadata is that of REST': async () => {
    const server = await call('ServerMetadata', {});
    assert.deepEqual(server.extensions.toSorted(), extensions);
    const got = await call('ModelMetadata', { name: model });
    const want = (await json('GET', `/v2/models/${model}`)).body;
    for (const key of ['name', 'versions', 'platform']) assert.deepEqual(got[key], want[key]);
    assert.deepEqual(got.inputs, want.inputs);
    assert.deepEqual(got.outputs, want.outputs);
  },
  'gRPC: a photo': async () => {
    const r = await call('ModelInfer', { model_name: model, id: 'é-2', inputs: [{ name: input.name, datatype: 'BYTES', shape: [1] }], raw_input_contents: [bytesTensor(image)] });
    assert.equal(r.id, 'é-2');
    assert.equal(r.outputs[0].name, 'detections');
    oneFace(elements(r.raw_output_contents[0]));
    assert.ok(r.$header.get('x-prime-spark-node')[0], 'no x-prime-spark-node');
    const typed = await call('ModelInfer', { model_name: model, inputs: [{ name: input.name, datatype: 'BYTES', shape: [1], contents: { bytes_contents: [image] } }] });
    oneFace(typed.outputs[0].contents.bytes_contents.map(String));
  },
  'gRPC: raw and typed say what REST says': async () => {
    const r = await call('ModelInfer', { model_name: model, inputs: [{ name: input.name, datatype: 'FP32', shape }], raw_input_contents: [floatBytes(floats)] });
    assert.deepEqual(r.outputs.map((o) => o.name).toSorted(), Object.keys(raw).toSorted());
    r.outputs.forEach((o, i) => {
      assert.deepEqual(o.shape, raw[o.name].shape);
      assert.ok(r.raw_output_contents[i].equals(raw[o.name].bytes), `${o.name} differs, raw`);
    });
    const typed = await call('ModelInfer', { model_name: model, inputs: [{ name: input.name, datatype: 'FP32', shape, contents: { fp32_contents: floats } }] });
    assert.equal(typed.raw_output_contents.length, 0);
    for (const o of typed.outputs) assert.ok(floatBytes(o.contents.fp32_contents).equals(raw[o.name].bytes), `${o.name} differs, typed`);
  },
  'gRPC: one output, classified': async () => {
    const [name] = Object.keys(raw);
    const r = await call('ModelInfer', {
      model_name: model, inputs: [{ name: input.name, datatype: 'FP32', shape }], raw_input_contents: [floatBytes(floats)],
      outputs: [{ name, parameters: { classification: { int64_param: 2 } } }],
    });
    assert.equal(r.outputs.length, 1);
    assert.equal(r.outputs[0].datatype, 'BYTES');
    assert.match(elements(r.raw_output_contents[0])[0], /^-?[0-9.e+-]+:[0-9]+/);
  },
  'gRPC: refusals': async () => {
    const good = { model_name: model, inputs: [{ name: input.name, datatype: 'FP32', shape }], raw_input_contents: [floatBytes(floats)] };
    await fails('NOT_FOUND', call('ModelMetadata', { name: 'none' }));
    await fails('NOT_FOUND', call('ModelInfer', { ...good, model_name: 'none' }));
    await fails('NOT_FOUND', call('ModelInfer', { ...good, model_version: 'none' }));
    await fails('INVALID_ARGUMENT', call('ModelInfer', { ...good, raw_input_contents: [floatBytes(floats).subarray(4)] }));
    await fails('INVALID_ARGUMENT', call('ModelInfer', { ...good, raw_input_contents: [...good.raw_input_contents, Buffer.alloc(1)] }));
    await fails('INVALID_ARGUMENT', call('ModelInfer', { ...good, inputs: [] }));
    await fails('INVALID_ARGUMENT', call('ModelInfer', { ...good, outputs: [{ name: 'none' }] }));
    await fails('INVALID_ARGUMENT', call('ModelInfer', good, { extra: { 'x-priority': '9' } }));
    await fails('NOT_FOUND', call('RepositoryModelLoad', { model_name: 'none' }));
  },
  'gRPC: a stream': async () => {
    const s = client.ModelStreamInfer(metadata(), { deadline: Date.now() + 20_000 });
    const got = [];
    const end = new Promise((done, fail) => {
      s.on('data', (m) => got.push(m));
      s.on('end', done);
      s.on('error', fail);
    });
    const request = { model_name: model, inputs: [{ name: input.name, datatype: 'FP32', shape }], raw_input_contents: [floatBytes(floats)] };
    s.write({ ...request, id: 'a' });
    s.write({ ...request, id: 'b', model_name: 'none' });
    s.write({ ...request, id: 'c' });
    s.end();
    await end; // a stream that ends with a status other than OK is an error
    assert.deepEqual(got.map((m) => m.infer_response.id), ['a', 'b', 'c']);
    assert.deepEqual(got.map((m) => m.error_message !== ''), [false, true, false]);
    assert.ok(got[2].infer_response.raw_output_contents[0].equals(raw[got[2].infer_response.outputs[0].name].bytes));
  },
  'gRPC: statistics and index': async () => {
    const stats = await call('ModelStatistics', { name: model });
    assert.ok(stats.model_stats[0].inference_stats.success.count > 0);
    assert.ok((await call('RepositoryIndex', { ready: true })).models.some((m) => m.name === model && m.state === 'READY'));
  },
};

if (token) {
  checks['a wrong token'] = async () => {
    const r = await rest('GET', '/v2', undefined, { authorization: 'Bearer wrong' });
    refused(r, 401);
    await fails('UNAUTHENTICATED', call('ServerLive', {}, { extra: { authorization: 'Bearer wrong' } }));
  };
}
if (args.control) {
  checks['unload and load'] = async () => {
    assert.equal((await json('POST', `/v2/repository/models/${model}/unload`, {})).status, 200);
    await becomes(false);
    await fails('UNAVAILABLE', call('ModelInfer', { model_name: model, inputs: [{ name: input.name, datatype: 'FP32', shape }], raw_input_contents: [floatBytes(floats)] }))
      .catch((e) => { if (!/NOT_FOUND/.test(e.message)) throw e; });
    await call('RepositoryModelLoad', { model_name: model });
    await becomes(true);
    await call('RepositoryModelUnload', { model_name: model, parameters: { unload_dependents: { bool_param: true } } });
    await becomes(false);
    assert.equal((await json('POST', `/v2/repository/models/${model}/load`)).status, 200);
    await becomes(true);
  };
}

// becomes waits until the model is ready, or is not: a fleet hears of it by gossip.
async function becomes(want) {
  for (let i = 0; i < 200; i++) {
    if ((await call('ModelReady', { name: model })).ready === want) return;
    await new Promise((done) => { setTimeout(done, 50); });
  }
  assert.fail(`ready does not become ${want}`);
}

await becomes(true);
let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok    ${name}`);
  } catch (err) {
    failed++;
    console.log(`FAIL  ${name}: ${err.stack}`);
  }
}
client.close();
process.exitCode = failed ? 1 : 0;

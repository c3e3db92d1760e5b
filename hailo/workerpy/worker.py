"""The Hailo worker in Python, on hailo_platform.

The agent starts it in place of the C worker when HailoRT has a version that the
C worker does not know, or the chip is a Hailo-10H: the package hailo_platform
always fits the library that it was installed with. It speaks the protocol of the
Go package shared/worker/frame, over the socket that it inherits as descriptor 3.

It needs python3, numpy and hailo_platform (python3-hailort, python3-h10-hailort).
"""

import argparse
import array
import ctypes
import fcntl
import json
import mmap
import os
import queue
import signal
import socket
import struct
import sys
import threading
import time

VERSION = 1
MAX_PAYLOAD = 65536
MAX_MODELS = 32
MAX_TENSORS = 64
MAX_DEPTH = 32
MAX_ARENA = 1073741824
MAX_NAME = 127
ALIGN = 64

HELLO, DEVICE, LOAD, MAP, INFER, PING, SENSE, UNLOAD, BYE = range(1, 10)

OK = 0
MALFORMED = -1
NO_LIBRARY = -2
UNKNOWN = -3
LAYOUT = -4
FULL = -5
BROKEN = -6
MEMORY = -7
UNSUPPORTED = -8
NO_DEVICE = -9
CRASHED = -10

HEADER = struct.Struct("<4sHHIiIIQQ")
MAGIC = b"PSW1"
FLAG_REPLY = 1

# Of <fcntl.h> and <sys/prctl.h>, which this Python's modules may lack.
F_GET_SEALS = 1034
SEALS = 0x2 | 0x4  # against shrinking and growing
PR_SET_PDEATHSIG = 1


class Failure(Exception):
    """A request that failed: what the reply says."""

    def __init__(self, status, detail="", call="", text=""):
        super().__init__(detail)
        self.status, self.detail, self.call, self.text = status, detail, call, text


def guard(call, do):
    """Runs do; what hailo_platform raises becomes a Failure with the library's status, if there is one."""
    try:
        return do()
    except Failure:
        raise
    except Exception as e:  # hailo_platform has many kinds, and they differ between releases
        status = getattr(e, "status", None)
        raise Failure(status if isinstance(status, int) and status > 0 else CRASHED, str(e)[:200], call, type(e).__name__) from e


class Socket:
    """The agent's socket: one packet is one message."""

    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)

    def receive(self):
        """The next request as (type, seq, model, a, b, payload, file descriptor or -1); None at the end."""
        room = socket.CMSG_SPACE(struct.calcsize("i"))
        packet, control, flags, _ = self.socket.recvmsg(HEADER.size + MAX_PAYLOAD, room, socket.MSG_CMSG_CLOEXEC)
        fd = -1
        for level, kind, data in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS and len(data) >= 4:
                fd = array.array("i", data[:4])[0]
        if not packet:
            return None
        if flags & socket.MSG_TRUNC or len(packet) < HEADER.size:
            raise ValueError("a packet of %d bytes is no request of this protocol" % len(packet))
        magic, kind, flag, seq, _, length, model, a, b = HEADER.unpack_from(packet)
        if magic != MAGIC or flag != 0 or length != len(packet) - HEADER.size:
            raise ValueError("a packet of %d bytes is no request of this protocol" % len(packet))
        return kind, seq, model, a, b, packet[HEADER.size :], fd

    def reply(self, request, status=OK, model=None, a=0, b=0, body=None):
        payload = b"" if body is None else json.dumps(body, allow_nan=False).encode()
        if len(payload) > MAX_PAYLOAD:
            status, payload = MEMORY, b'{"detail":"the answer is too long"}'
        model = request[2] if model is None else model
        header = HEADER.pack(MAGIC, request[0], FLAG_REPLY, request[1], status, len(payload), model, a, b)
        try:
            self.socket.sendmsg([header, payload], [], socket.MSG_NOSIGNAL)
        except OSError:
            os._exit(0)  # nobody is there to read it

    def fail(self, request, failure):
        self.reply(request, failure.status, body={"call": failure.call, "text": failure.text, "detail": failure.detail})


def parse_load(payload):
    """A Load request: lines of "key value"."""
    request = {"facts": []}
    for line in payload.decode(errors="replace").splitlines():
        key, _, value = line.partition(" ")
        try:
            if key == "name":
                request[key] = value
            elif key == "fact":
                words = value.split(" ", 8)
                numbers = [int(w) for w in words[:6]]
                request["facts"].append((numbers, float(words[6]), float(words[7]), words[8]))
            elif key in ("depth", "timeout_ms", "raw", "scheduler_timeout_ms", "scheduler_threshold", "scheduler_priority"):
                request[key] = int(value)
            else:
                raise ValueError("unknown key")
        except (ValueError, IndexError) as e:
            raise Failure(MALFORMED, "%.40s: %s" % (line, e)) from e
    if not request.get("name") or not 1 <= request.get("depth", 0) <= MAX_DEPTH or request.get("timeout_ms", 0) < 1:
        raise Failure(MALFORMED, "a name, a depth of 1 to %d and a timeout are needed" % MAX_DEPTH)
    return request


class Tensor:
    """One input or output, as the library describes it."""

    def __init__(self, stream, info, output, raw, numpy):
        self.name = info.name
        self.output = output
        shape = [int(n) for n in stream.shape]
        order = str(getattr(stream.format, "order", getattr(info.format, "order", ""))).rsplit(".", 1)[-1]
        self.nms = getattr(info, "nms_shape", None) if "NMS" in order else None
        self.dtype = numpy.dtype(numpy.float32 if output and (not raw or self.nms is not None) else numpy.uint8)
        if self.nms is not None:
            self.classes = int(self.nms.number_of_classes)
            self.per_class = int(self.nms.max_bboxes_per_class)
            shape = [self.classes * (1 + 5 * self.per_class)]
        self.shape = shape
        self.layout = "nms_by_class" if self.nms is not None else {"NHWC": "nhwc", "NC": "nc"}.get(order, "other " + order.lower())
        self.bytes = self.dtype.itemsize
        for n in shape:
            self.bytes *= n
        quant = getattr(info, "quant_info", None)
        self.scale = float(getattr(quant, "qp_scale", 0))
        self.zero = float(getattr(quant, "qp_zp", 0))

    def describe(self):
        d = {"name": self.name, "type": "FP32" if self.dtype.itemsize == 4 else "UINT8", "shape": self.shape, "layout": self.layout}
        d.update(bytes=self.bytes, scale=self.scale, zero=self.zero)
        if self.nms is not None:
            d.update(classes=self.classes, per_class=self.per_class)
        return d

    def check(self, numbers, scale, zero):
        """Holds the tensor against what its file says."""
        _, nms, quantized, h, w, c = numbers
        if nms:
            same = self.nms is not None and (self.classes, self.per_class) == (h, w)
        else:
            full = [1] * (3 - len(self.shape)) + self.shape
            same = self.nms is None and full == [h, w, c]
        if same and quantized:
            same = abs(self.scale - scale) <= 1e-5 * abs(scale) and abs(self.zero - zero) <= 1e-5 * abs(zero)
        if not same:
            raise Failure(LAYOUT, "%.100s is %dx%dx%d, scale %g, zero %g in the file, and %s to the library" % (self.name, h, w, c, scale, zero, self.describe()))


def padded(n):
    return (n + ALIGN - 1) // ALIGN * ALIGN


class Model:
    """A loaded model. Inferences run pipelined: depth at a time, by the library's own threads."""

    def __init__(self, worker, request, path):
        self.worker, self.depth, self.timeout = worker, request["depth"], request["timeout_ms"]
        self.broken, self.arena, self.inflight = False, None, 0
        self.lock = threading.Lock()
        hp, raw = worker.platform, bool(request.get("raw"))
        self.infer_model = guard("create_infer_model", lambda: worker.vdevice().create_infer_model(path))
        infos = {}
        for info in list(self.infer_model.hef.get_input_vstream_infos()) + list(self.infer_model.hef.get_output_vstream_infos()):
            infos[info.name] = info
        if not raw:
            for stream in self.infer_model.outputs:
                stream.set_format_type(hp.FormatType.FLOAT32)
        self.inputs = [Tensor(s, infos[s.name], False, raw, worker.numpy) for s in self.infer_model.inputs]
        self.outputs = [Tensor(s, infos[s.name], True, raw, worker.numpy) for s in self.infer_model.outputs]
        known = {(t.output, t.name): t for t in self.inputs + self.outputs}
        for numbers, scale, zero, name in request["facts"]:
            tensor = known.get((bool(numbers[0]), name))
            if tensor is None:
                raise Failure(LAYOUT, "the library does not know %.100s, which is in the file" % name)
            tensor.check(numbers, scale, zero)
        self.configured = guard("configure", self.infer_model.configure)
        if hasattr(self.configured, "__enter__"):
            self.configured = guard("configure", self.configured.__enter__)
        for key, setter, scaled in (
            ("scheduler_timeout_ms", "set_scheduler_timeout", True),
            ("scheduler_threshold", "set_scheduler_threshold", False),
            ("scheduler_priority", "set_scheduler_priority", False),
        ):
            if request.get(key) and hasattr(self.configured, setter):
                guard(setter, lambda s=setter, v=request[key]: getattr(self.configured, s)(v))
        self.jobs = queue.SimpleQueue()
        threading.Thread(target=self.run, daemon=True).start()

    def map(self, fd, size):
        if self.arena is not None:
            raise Failure(MALFORMED, "the model has an arena already")
        try:
            sealed = fcntl.fcntl(fd, F_GET_SEALS) & SEALS == SEALS
        except OSError:
            sealed = False
        if not sealed:
            raise Failure(MALFORMED, "the arena is not sealed against shrinking and growing")
        if not 0 < size <= MAX_ARENA or os.fstat(fd).st_size != size:
            raise Failure(MALFORMED, "the arena does not have the %d bytes that were said" % size)
        self.arena = mmap.mmap(fd, size)

    def views(self, tensors, at):
        """Each tensor as an array in the arena."""
        numpy = self.worker.numpy
        for t in tensors:
            yield t, numpy.frombuffer(self.arena, t.dtype, t.bytes // t.dtype.itemsize, at).reshape(t.shape)
            at += padded(t.bytes)

    def infer(self, request):
        """Takes an inference, or refuses it at once."""
        a, b = request[3], request[4]
        sizes = [sum(padded(t.bytes) for t in side) for side in (self.inputs, self.outputs)]
        if self.arena is None:
            raise Failure(MALFORMED, "the model has no arena yet")
        for at, size in zip((a, b), sizes):
            if at % ALIGN or at + size > len(self.arena):
                raise Failure(MALFORMED, "the tensors are not within the arena")
        if self.broken:
            raise Failure(BROKEN, "an inference failed before")
        with self.lock:
            if self.inflight >= self.depth:
                raise Failure(FULL, "%d inferences are under way" % self.depth)
            self.inflight += 1
        self.jobs.put((request, time.monotonic_ns()))

    def run(self):
        """Hands jobs to the library, one after the other; it answers them when they are done."""
        while True:
            request, arrived = self.jobs.get()
            begun = time.monotonic_ns()
            try:
                if self.broken:
                    raise Failure(BROKEN, "an inference failed before")
                guard("run_async", lambda: self.begin(request, arrived, begun))
            except Failure as f:
                self.finish(request, f)

    def begin(self, request, arrived, begun):
        bindings = self.configured.create_bindings()
        for t, array_ in self.views(self.inputs, request[3]):
            bindings.input(t.name).set_buffer(array_)
        taken = list(self.views(self.outputs, request[4]))
        for t, array_ in taken:
            bindings.output(t.name).set_buffer(array_)
        self.configured.wait_for_async_ready(timeout_ms=self.timeout)

        def done(completion_info=None):
            failure = None
            error = getattr(completion_info, "exception", None)
            if error is not None:
                try:
                    guard("run_async", lambda: (_ for _ in ()).throw(error))
                except Failure as f:
                    failure = f
            self.finish(request, failure, time.monotonic_ns() - begun, begun - arrived)

        self.configured.run_async([bindings], done)

    def finish(self, request, failure, engine=0, waited=0):
        with self.lock:
            self.inflight -= 1
        if failure is not None:
            self.broken = True
            self.worker.errors += 1
            self.worker.socket.fail(request, failure)
            return
        self.worker.frames += 1
        self.worker.socket.reply(request, a=engine, b=waited)


class Worker:
    def __init__(self, sock, shared):
        self.socket, self.shared = sock, shared
        self.models, self.frames, self.errors = [], 0, 0
        self.device_, self.vdevice_ = None, None
        self.why, self.platform, self.numpy = "", None, None
        try:
            import numpy
            import hailo_platform

            self.numpy, self.platform = numpy, hailo_platform
            if not hasattr(hailo_platform.VDevice, "create_infer_model"):  # before 4.18
                self.why = "this hailo_platform has no InferModel; HailoRT 4.18 or newer is needed"
        except Exception as e:  # also what the extension module raises when the versions differ
            self.why = "%s: %s" % (type(e).__name__, e)

    def fault(self):
        return NO_LIBRARY if self.platform is None else UNKNOWN if self.why else OK

    def version(self):
        return getattr(self.platform, "__version__", "") if self.platform else ""

    def need(self):
        if self.platform is None:
            raise Failure(NO_LIBRARY, self.why[:200])

    def vdevice(self):
        if self.vdevice_ is None:
            hp = self.platform

            def create():
                params = hp.VDevice.create_params()
                params.scheduling_algorithm = hp.HailoSchedulingAlgorithm.ROUND_ROBIN
                if self.shared:
                    params.multi_process_service = True
                    params.group_id = "SHARED"
                return hp.VDevice(params)

            self.vdevice_ = guard("VDevice", create)
        return self.vdevice_

    def ids(self):
        return [str(d) for d in guard("Device.scan", self.platform.Device.scan)]

    def device(self):
        if self.device_ is None:
            ids = self.ids()
            if not ids:
                raise Failure(NO_DEVICE, "no Hailo device")
            self.device_ = guard("Device", lambda: self.platform.Device(ids[0]))
        return self.device_

    def hello(self, request):
        body = {"worker": "hailo-python", "pid": os.getpid(), "fault": self.fault(), "why": self.why, "library": self.version()}
        body["path"] = getattr(self.platform, "__file__", "") or ""
        self.socket.reply(request, a=VERSION, body=body)

    def ping(self, request):
        with open("/proc/self/statm", encoding="ascii") as f:
            rss = int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        inflight = sum(m.inflight for m in self.models)
        body = {"frames": self.frames, "errors": self.errors, "inflight": inflight, "models": len(self.models), "rss": rss}
        self.socket.reply(request, body=body)

    def identify(self, request):
        self.need()
        ids = self.ids()
        if not ids:
            return {"devices": 0, "arch": 0}
        info = guard("identify", self.device().control.identify)
        firmware = info.firmware_version
        names = {"HAILO8": 1, "HAILO8L": 2, "HAILO10H": 6}
        arch = getattr(info.device_architecture, "name", "") or str(info.device_architecture).rsplit(".", 1)[-1]
        return {
            "devices": len(ids),
            "id": ids[0],
            "arch": names.get(arch, 0),
            "firmware": "%d.%d.%d" % (firmware.major, firmware.minor, firmware.revision),
            "board": str(info.board_name).strip("\0 "),
            "serial": str(info.serial_number).strip("\0 "),
            "part": str(info.part_number).strip("\0 "),
        }

    def sense(self, request):
        self.need()
        control = self.device().control
        body = {"temperature_status": 0, "power_status": 0}

        def temperature():
            t = control.get_chip_temperature()
            return [float(t.ts0_temperature), float(t.ts1_temperature)]

        for key, status, read in (
            ("temperature_c", "temperature_status", temperature),
            ("power_w", "power_status", lambda: float(control.power_measurement())),
        ):
            try:
                body[key] = guard(key, read)
            except Failure as f:
                body[status] = f.status
        return body

    def load(self, request):
        self.need()
        if self.why:
            raise Failure(UNKNOWN, self.why[:200])
        payload, fd = request[5], request[6]
        begin = time.monotonic()
        wanted = parse_load(payload)
        if fd < 0 or os.fstat(fd).st_size <= 0:
            raise Failure(MALFORMED, "no model file came along, or an empty one")
        if len(self.models) == MAX_MODELS:
            raise Failure(FULL, "%d models are loaded" % MAX_MODELS)
        # hailo_platform wants a name. The file stays open: some releases read the weights later.
        model = Model(self, wanted, "/proc/self/fd/%d" % fd)
        self.models.append(model)
        body = {"inputs": [t.describe() for t in model.inputs], "outputs": [t.describe() for t in model.outputs]}
        body["ms"] = (time.monotonic() - begin) * 1e3
        self.socket.reply(request, model=len(self.models) - 1, body=body)

    def perform(self, request):
        """Does what may take long."""
        kind, _, number, a, _, _, fd = request
        if kind == DEVICE:
            self.socket.reply(request, body=self.identify(request))
        elif kind == SENSE:
            self.socket.reply(request, body=self.sense(request))
        elif kind == LOAD:
            self.load(request)
        elif kind == MAP:
            if number >= len(self.models) or fd < 0:
                raise Failure(MALFORMED, "no such model, or no arena came along")
            self.models[number].map(fd, a)
            self.socket.reply(request)
        elif kind == UNLOAD:
            raise Failure(UNSUPPORTED, "HailoRT frees models only with the whole device; start a new worker")
        elif kind == BYE:
            end = time.monotonic() + 2
            while time.monotonic() < end and any(m.inflight for m in self.models):
                time.sleep(0.01)
            if self.vdevice_ is not None and not any(m.inflight for m in self.models) and hasattr(self.vdevice_, "release"):
                guard("release", self.vdevice_.release)
            self.socket.reply(request)
            os._exit(0)
        else:
            raise Failure(MALFORMED, "type %d is unknown" % kind)

    def work(self, tasks):
        while True:
            request = tasks.get()
            try:
                guard("", lambda: self.perform(request))
            except Failure as f:
                self.socket.fail(request, f)
            finally:
                if request[6] >= 0 and request[0] != LOAD:
                    os.close(request[6])

    def serve(self):
        tasks = queue.Queue(8)
        threading.Thread(target=self.work, args=(tasks,), daemon=True).start()
        while True:
            request = self.socket.receive()
            if request is None:
                os._exit(0)
            try:
                if request[0] == INFER:
                    if request[2] >= len(self.models):
                        raise Failure(MALFORMED, "there is no model %d" % request[2])
                    self.models[request[2]].infer(request)
                elif request[0] == PING:
                    self.ping(request)
                elif request[0] == HELLO:
                    self.hello(request)
                else:
                    tasks.put_nowait(request)
            except queue.Full:
                self.socket.fail(request, Failure(FULL, "too many requests are waiting"))
            except Failure as f:
                self.errors += 1
                self.socket.fail(request, f)


def main():
    parser = argparse.ArgumentParser(description="The agent starts this program, with a socket as descriptor 3. It runs models on a Hailo accelerator.")
    parser.add_argument("--shared", action="store_true", help="use the accelerator through hailort.service")
    parser.add_argument("--library", help="ignored: hailo_platform has a library of its own")
    options = parser.parse_args()
    try:
        sock = Socket(3)
    except OSError:
        print("descriptor 3 is not the agent's socket", file=sys.stderr)
        return 2
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The driver gives a wait up at any signal; threads inherit this.
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    try:
        Worker(sock, options.shared).serve()
    except ValueError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os._exit(main())

"""A double of hailo_platform: what worker.py uses of it, without a chip.

Answers are computed from the pixels, like those of the double of libhailort.
HAILORT_DOUBLE_FAULT=NAME[@N] makes the function NAME raise after N good calls,
HAILORT_DOUBLE_VERSION sets the version.
"""

import enum
import os
import struct
import threading
import types

import numpy

__version__ = os.environ.get("HAILORT_DOUBLE_VERSION", "5.1.1")


class HailoRTException(Exception):
    pass


_calls = {}


def _fault(name):
    what, _, after = os.environ.get("HAILORT_DOUBLE_FAULT", "").partition("@")
    if what == name:
        _calls[name] = _calls.get(name, 0) + 1
        if _calls[name] > int(after or 0):
            raise HailoRTException("a simulated fault of " + name)


class FormatType(enum.Enum):
    AUTO, UINT8, UINT16, FLOAT32 = range(4)


class FormatOrder(enum.Enum):
    NHWC = 1
    NC = 6
    HAILO_NMS_BY_CLASS = 22


class HailoSchedulingAlgorithm(enum.Enum):
    NONE, ROUND_ROBIN = range(2)


class DeviceArchitectureTypes(enum.IntEnum):
    HAILO8_A0, HAILO8, HAILO8L, HAILO15H, HAILO15L, HAILO15M, HAILO10H = range(7)


def _fields(message):
    """The fields of a protobuf message as (number, value)."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            size = {1: 8, 5: 4}.get(key & 7) or varint()
            yield key >> 3, message[at : at + size]
            at += size


def _all(message, *path):
    """Everything at a path of field numbers."""
    if not path:
        yield message
        return
    for number, value in _fields(message):
        if number == path[0]:
            yield from _all(value, *path[1:])


def _one(message, *path, otherwise=0):
    return next(_all(message, *path), otherwise)


class HEF:
    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        if data[:4] != b"\x01HEF":
            raise HailoRTException("no HEF")
        proto = data[(32, 28, 44, 56)[data[7]] :][: struct.unpack(">I", data[8:12])[0]]
        self.inputs, self.outputs = [], []
        for edge in _all(proto, 2, 8, 4, 3, 3, 2):
            base, numeric = _one(edge, 3, 2), _one(edge, 3, 3)
            shape = [_one(base, 1), _one(base, 3), _one(base, 5)]
            zero, scale = (struct.unpack("<f", _one(numeric, n, otherwise=bytes(4)))[0] for n in (1, 2))
            order = FormatOrder.NC if shape[:2] == [1, 1] else FormatOrder.NHWC
            info = types.SimpleNamespace(
                name=_one(edge, 3, 1).decode(), shape=shape, format=types.SimpleNamespace(order=order, type=FormatType.UINT8),
                quant_info=types.SimpleNamespace(qp_zp=zero, qp_scale=scale),
            )
            (self.outputs if _one(edge, 1) else self.inputs).append(info)
        for op in _all(proto, 2, 8):
            nms = _one(op, 5, otherwise=None)
            if nms is not None:
                shape = types.SimpleNamespace(number_of_classes=_one(nms, 4), max_bboxes_per_class=_one(nms, 3))
                self.outputs = [
                    types.SimpleNamespace(
                        name=_one(op, 1).decode(), shape=[shape.number_of_classes, shape.max_bboxes_per_class, 0], nms_shape=shape,
                        format=types.SimpleNamespace(order=FormatOrder.HAILO_NMS_BY_CLASS, type=FormatType.FLOAT32),
                        quant_info=types.SimpleNamespace(qp_zp=0, qp_scale=0),
                    )
                ]

    def get_input_vstream_infos(self):
        return self.inputs

    def get_output_vstream_infos(self):
        return self.outputs


class _Stream:
    def __init__(self, info):
        self.name, self.shape, self.format, self.info = info.name, info.shape, info.format, info
        self.type = FormatType.AUTO

    def set_format_type(self, kind):
        self.type = kind


class InferModel:
    def __init__(self, path):
        self.hef = HEF(path)
        self.inputs = [_Stream(i) for i in self.hef.inputs]
        self.outputs = [_Stream(i) for i in self.hef.outputs]

    def configure(self):
        _fault("configure")
        return ConfiguredInferModel(self)


class _Binding:
    def set_buffer(self, buffer):
        if not buffer.flags["C_CONTIGUOUS"]:
            raise HailoRTException("not contiguous")
        self.buffer = buffer


class _Bindings:
    def __init__(self):
        self.edges = {}

    def input(self, name):
        return self.edges.setdefault(name, _Binding())

    output = input


class ConfiguredInferModel:
    def __init__(self, model):
        self.model = model

    def __enter__(self):
        return self

    def create_bindings(self):
        return _Bindings()

    def wait_for_async_ready(self, timeout_ms=1000, frames_count=1):
        _fault("wait_for_async_ready")

    def run_async(self, bindings, callback):
        _fault("run_async")
        threading.Thread(target=self._run, args=(bindings[0], callback)).start()

    def _run(self, bindings, callback):
        exception = None
        try:
            _fault("infer")
            images = [bindings.input(s.name).buffer for s in self.model.inputs]
            for i, stream in enumerate(self.model.outputs):
                to = bindings.output(stream.name).buffer
                if hasattr(stream.info, "nms_shape"):
                    _boxes(images[0], stream.info.nms_shape, to)
                else:
                    _means(images[i % len(images)], stream, to)
        except HailoRTException as e:
            exception = e
        callback(completion_info=types.SimpleNamespace(exception=exception))


def _boxes(image, shape, to):
    height, width, _ = image.shape
    at = 0
    for k in range(shape.number_of_classes):
        ys, xs = numpy.nonzero(image[:, :, 0] == 255 - k)
        to[at] = len(ys) > 0
        at += 1
        if len(ys):
            to[at : at + 5] = [ys.min() / height, xs.min() / width, (ys.max() + 1) / height, (xs.max() + 1) / width, 0.9]
            at += 5


def _means(image, stream, to):
    flat, count, quant = image.reshape(-1), to.size, stream.info.quant_info
    out = to.reshape(-1)
    for i in range(count):
        begin, end = i * flat.size // count, (i + 1) * flat.size // count
        mean = int(flat[begin : max(end, begin + 1)].astype(numpy.int64).sum()) // max(end - begin, 1)
        out[i] = mean if stream.type != FormatType.FLOAT32 else (mean - quant.qp_zp) * quant.qp_scale


class VDevice:
    def __init__(self, params=None):
        _fault("VDevice")
        if params.scheduling_algorithm != HailoSchedulingAlgorithm.ROUND_ROBIN or params.multi_process_service != (params.group_id == "SHARED"):
            raise HailoRTException("params")

    @staticmethod
    def create_params():
        return types.SimpleNamespace(scheduling_algorithm=None, multi_process_service=False, group_id="UNIQUE")

    def create_infer_model(self, path):
        return InferModel(path)

    def release(self):
        pass


class _Control:
    def identify(self):
        version = types.SimpleNamespace(major=5, minor=1, revision=1)
        return types.SimpleNamespace(
            firmware_version=version, device_architecture=DeviceArchitectureTypes.HAILO10H, board_name="Hailo-10H\0", serial_number="HLD10\0", part_number="P",
        )

    def get_chip_temperature(self):
        _fault("get_chip_temperature")
        return types.SimpleNamespace(ts0_temperature=50.5, ts1_temperature=51.5)

    def power_measurement(self):
        raise HailoRTException("no meter")


class Device:
    def __init__(self, device_id):
        self.control = _Control()

    @classmethod
    def scan(cls):
        _fault("scan")
        return ["0001:01:00.0"]

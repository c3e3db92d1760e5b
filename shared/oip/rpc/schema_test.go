package rpc_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"primespark/shared/oip/rpc"
	"primespark/shared/oip/rpc/rpctest"
)

// Random requests, written by another implementation of protocol buffers, are
// echoed as they were: each datatype, typed and raw, through both of our codecs.
func TestRandomTensorsComeBack(t *testing.T) {
	c := dial(t, &rest{}, rpc.Config{})
	r := rand.New(rand.NewPCG(3, 4))
	for _, typ := range []string{"BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP32", "FP64", "BYTES"} {
		column := map[string]string{
			"BOOL": "bool", "INT8": "int", "INT16": "int", "INT32": "int", "INT64": "int64", "UINT8": "uint", "UINT16": "uint",
			"UINT32": "uint", "UINT64": "uint64", "FP32": "fp32", "FP64": "fp64", "BYTES": "bytes",
		}[typ]
		for n := range 5 {
			request := rpctest.Message(t, "ModelInferRequest", fmt.Sprintf(`{"model_name": "echo", "inputs": [{"name": "x", "datatype": %q, "shape": [%d], "contents": {}}]}`, typ, n))
			contents := request.Get(request.Descriptor().Fields().ByName("inputs")).List().Get(0).Message()
			contents = contents.Mutable(contents.Descriptor().Fields().ByName("contents")).Message()
			list := contents.Mutable(contents.Descriptor().Fields().ByName(protoreflect.Name(column + "_contents"))).List()
			for range n {
				list.Append(value(r, typ))
			}
			got := c.Call(t, t.Context(), "ModelInfer", request)
			if got.Code != codes.OK {
				t.Fatalf("%s: %s %s", typ, got.Code, got.Text)
			}
			out := got.Message.Get(got.Message.Descriptor().Fields().ByName("outputs")).List().Get(0).Message()
			out = out.Get(out.Descriptor().Fields().ByName("contents")).Message()
			if !proto.Equal(contents.Interface().(*dynamicpb.Message), out.Interface().(*dynamicpb.Message)) {
				t.Errorf("%s: %v became %v", typ, contents, out)
			}
			if len(got.Message.GetUnknown()) > 0 {
				t.Errorf("%s: the answer has fields that the schema has not", typ)
			}
		}
	}
}

// value is a random one that typ can hold.
func value(r *rand.Rand, typ string) protoreflect.Value {
	switch typ {
	case "BOOL":
		return protoreflect.ValueOfBool(r.IntN(2) == 1)
	case "INT8":
		return protoreflect.ValueOfInt32(int32(int8(r.Uint32())))
	case "INT16":
		return protoreflect.ValueOfInt32(int32(int16(r.Uint32())))
	case "INT32":
		return protoreflect.ValueOfInt32(int32(r.Uint32()))
	case "INT64":
		return protoreflect.ValueOfInt64(int64(r.Uint64()))
	case "UINT8":
		return protoreflect.ValueOfUint32(uint32(uint8(r.Uint32())))
	case "UINT16":
		return protoreflect.ValueOfUint32(uint32(uint16(r.Uint32())))
	case "UINT32":
		return protoreflect.ValueOfUint32(r.Uint32())
	case "UINT64":
		return protoreflect.ValueOfUint64(r.Uint64())
	case "FP32":
		return protoreflect.ValueOfFloat32(r.Float32())
	case "FP64":
		return protoreflect.ValueOfFloat64(r.Float64())
	}
	return protoreflect.ValueOfBytes(fmt.Append(nil, r.Uint64()))
}

// The schema has the calls that the package answers, and no others.
func TestSchemaHasTheCalls(t *testing.T) {
	c := dial(t, &rest{}, rpc.Config{})
	calls := rpctest.Schema(t).Services().Get(0).Methods()
	if calls.Len() != 11 {
		t.Errorf("the schema has %d calls, want 11", calls.Len())
	}
	for i := range calls.Len() {
		m := calls.Get(i)
		if m.IsStreamingClient() {
			continue
		}
		r := c.Call(t, t.Context(), string(m.Name()), dynamicpb.NewMessage(m.Input()))
		if r.Code == codes.Unimplemented {
			t.Errorf("%s: %s", m.Name(), r.Text)
		}
	}
}

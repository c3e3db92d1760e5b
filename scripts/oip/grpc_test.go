package oip_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"primespark/shared/oip/rpc/rpctest"
)

// A call is a sentence of the documents (kserve/open-inference-protocol,
// inference_grpc.md, and Triton's extension_*.md) with a call that it is about, and
// what must come of it.
type call struct {
	says    string
	method  string
	request string // JSON, in the way of protocol buffers

	code codes.Code
	want string // the response, as a whole; or, with a / before it, a text in it, or in the status
}

const (
	typed0 = `"inputs":[{"name":"input0","datatype":"UINT32","shape":[2,2],"contents":{"uint_contents":[1,2,3,4]}},{"name":"input1","datatype":"BOOL","shape":[3],"contents":{"bool_contents":[true,false,true]}}]`
	raw0   = `"inputs":[{"name":"input0","datatype":"UINT32","shape":[2,2]},{"name":"input1","datatype":"BOOL","shape":[3]}],"raw_input_contents":["AQAAAAIAAAADAAAABAAAAA==","AQAB"]`
	head   = `"model_name":"mymodel","model_version":"1",`
	one    = `"inputs":[{"name":"input0","datatype":"UINT32","shape":[2,2],"contents":{"uint_contents":[1,2,3,4]}}]`
)

// echoOf asks "echo" to give one input back, typed, and is what comes back.
func echoOf(says, datatype, contents string) call {
	x := `{"name":"x","datatype":"` + datatype + `","shape":["2"],"contents":{` + contents + `}}`
	return call{says, "ModelInfer", `{"model_name":"echo","inputs":[` + x + `]}`, codes.OK, `{"model_name":"echo","model_version":"2","outputs":[` + x + `]}`}
}

var calls = []call{
	{"The ServerLive API indicates if the inference server is able to receive and respond to metadata and inference requests.", "ServerLive", `{}`, codes.OK, `{"live":true}`},
	{"The ServerReady API indicates if the server is ready for inferencing.", "ServerReady", `{}`, codes.OK, `{"ready":true}`},
	{"The ModelReady API indicates if a specific model is ready for inferencing.", "ModelReady", `{"name":"mymodel"}`, codes.OK, `{"ready":true}`},
	{"// True if the model is ready, false if not ready.", "ModelReady", `{"name":"lame"}`, codes.OK, `{}`},
	{"The version of the model to check for readiness. If not given the server will choose a version based on the model and internal policy.", "ModelReady", `{"name":"mymodel","version":"1"}`, codes.OK, `{"ready":true}`},
	{"The ServerMetadata API provides information about the server.", "ServerMetadata", `{}`, codes.OK, `/"extensions":["binary_tensor_data","classification","model_repository","statistics"]`},
	{"The per-model metadata API provides information about a model.", "ModelMetadata", `{"name":"mymodel","version":"1"}`, codes.OK, `{"name":"mymodel","versions":["1"],"platform":"onnx_builtin","inputs":[{"name":"input0","datatype":"UINT32","shape":["2","2"]},{"name":"input1","datatype":"BOOL","shape":["3"]}],"outputs":[{"name":"output0","datatype":"FP32","shape":["3","2"]}]}`},
	{"// The tensor shape. A variable-size dimension is represented by a -1 value.", "ModelMetadata", `{"name":"echo"}`, codes.OK, `/"shape":["-1","2"]`},
	{"Errors are indicated by the google.rpc.Status returned for the request. The OK code indicates success and other codes indicate failure.", "ModelMetadata", `{"name":"none"}`, codes.NotFound, `/none`},

	{"or in the repeated type that matches the tensor's data type", "ModelInfer", `{"model_name":"mymodel",` + typed0 + `}`, codes.OK, `{` + head + `"outputs":[{"name":"output0","datatype":"FP32","shape":["3","2"],"contents":{"fp32_contents":[1,1.1,2,2.1,3,3.1]}}]}`},
	{"To use the raw representation 'raw_input_contents' must be initialized with data for each tensor in the same order as 'inputs'.", "ModelInfer", `{"model_name":"mymodel",` + raw0 + `}`, codes.OK, `{` + head + `"outputs":[{"name":"output0","datatype":"FP32","shape":["3","2"]}],"raw_output_contents":["AACAP83MjD8AAABAZmYGQAAAQEBmZkZA"]}`},
	{"If this field is specified then InferInputTensor::contents must not be specified for any input tensor.", "ModelInfer", `{"model_name":"mymodel",` + typed0 + `,"raw_input_contents":["AQAAAAIAAAADAAAABAAAAA==","AQAB"]}`, codes.InvalidArgument, `/both`},
	{"For each tensor, the size of this content must match what is expected by the tensor's shape and data type.", "ModelInfer", `{"model_name":"echo","inputs":[{"name":"x","datatype":"FP32","shape":[1,2]}],"raw_input_contents":["AAAA"]}`, codes.InvalidArgument, `/want 8`},
	{"Note that the FP16 data type must be represented as raw content as there is no specific data type for a 16-bit float type.", "ModelInfer", `{"model_name":"echo","inputs":[{"name":"x","datatype":"FP16","shape":[1]}],"raw_input_contents":["ADw="]}`, codes.OK, `{"model_name":"echo","model_version":"2","outputs":[{"name":"x","datatype":"FP16","shape":["1"]}],"raw_output_contents":["ADw="]}`},
	{"(FP16 in another way)", "ModelInfer", `{"model_name":"echo","inputs":[{"name":"x","datatype":"FP16","shape":[1],"contents":{"fp32_contents":[1]}}]}`, codes.InvalidArgument, `/FP16`},
	{"// Optional identifier for the request. If specified will be returned in the response.", "ModelInfer", `{"model_name":"mymodel","id":"42",` + typed0 + `}`, codes.OK, `/"id":"42"`},
	{"// The requested output tensors for the inference. Optional, if not specified all outputs produced by the model will be returned.", "ModelInfer", `{"model_name":"three","outputs":[{"name":"c"},{"name":"a"}],"inputs":[{"name":"a","datatype":"UINT8","shape":[1]},{"name":"b","datatype":"UINT8","shape":[1]},{"name":"c","datatype":"INT16","shape":[1]}],"raw_input_contents":["AQ==","Ag==","AwQ="]}`, codes.OK, `{"model_name":"three","model_version":"2","outputs":[{"name":"c","datatype":"INT16","shape":["1"]},{"name":"a","datatype":"UINT8","shape":["1"]}],"raw_output_contents":["AwQ=","AQ=="]}`},
	{"(an output that there is not)", "ModelInfer", `{"model_name":"mymodel","outputs":[{"name":"none"}],` + typed0 + `}`, codes.InvalidArgument, `/none`},
	{"// The version of the model to use for inference.", "ModelInfer", `{"model_name":"mymodel","model_version":"9",` + typed0 + `}`, codes.NotFound, `/mymodel`},
	{"A server can implement server-specific parameters to provide non-standard capabilities.", "ModelInfer", `{"model_name":"mymodel","parameters":{"a":{"bool_param":true},"b":{"int64_param":1},"c":{"string_param":"d"}},` + typed0 + `}`, codes.OK, `/fp32_contents`},
	{"The size must match what is expected by the tensor's shape.", "ModelInfer", `{"model_name":"echo","inputs":[{"name":"x","datatype":"BYTES","shape":[2],"contents":{"bytes_contents":["aGk="]}}]}`, codes.InvalidArgument, `/1 elements, want 2`},
	echoOf("Representation for BOOL data type.", "BOOL", `"bool_contents":[true,false]`),
	echoOf("Representation for INT8, INT16, and INT32 data types. (INT8)", "INT8", `"int_contents":[-128,127]`),
	echoOf("Representation for INT8, INT16, and INT32 data types. (INT16)", "INT16", `"int_contents":[-32768,32767]`),
	echoOf("Representation for INT8, INT16, and INT32 data types. (INT32)", "INT32", `"int_contents":[-2147483648,2147483647]`),
	echoOf("Representation for INT64 data types.", "INT64", `"int64_contents":["-9223372036854775808","9223372036854775807"]`),
	echoOf("Representation for UINT8, UINT16, and UINT32 data types. (UINT8)", "UINT8", `"uint_contents":[0,255]`),
	echoOf("Representation for UINT8, UINT16, and UINT32 data types. (UINT16)", "UINT16", `"uint_contents":[0,65535]`),
	echoOf("Representation for UINT8, UINT16, and UINT32 data types. (UINT32)", "UINT32", `"uint_contents":[0,4294967295]`),
	echoOf("Representation for UINT64 data types.", "UINT64", `"uint64_contents":["0","18446744073709551615"]`),
	echoOf("Representation for FP32 data type.", "FP32", `"fp32_contents":[0.5,-3.25]`),
	echoOf("Representation for FP64 data type.", "FP64", `"fp64_contents":[0.1,-1e300]`),
	echoOf("Representation for BYTES data type.", "BYTES", `"bytes_contents":["aGk=","AP8="]`),
	{"(NaN, which REST has in binary alone)", "ModelInfer", `{"model_name":"echo","inputs":[{"name":"x","datatype":"FP64","shape":[1],"contents":{"fp64_contents":["NaN"]}}]}`, codes.OK, `/"NaN"`},

	{"“classification” : int64_param indicating the number of classes that should be returned for the output.", "ModelInfer", `{"model_name":"scores","outputs":[{"name":"output0","parameters":{"classification":{"int64_param":2}}}],` + one + `}`, codes.OK, `{"model_name":"scores","model_version":"1","outputs":[{"name":"output0","datatype":"BYTES","shape":["2"],"contents":{"bytes_contents":["My4zOjE6aW5kZXhfMV9sYWJlbA==","Mi40OjM6aW5kZXhfM19sYWJlbA=="]}}]}`},
	{"The RepositoryIndex API returns information about every model available in a model repository, even if it is not currently loaded into Triton.", "RepositoryIndex", `{}`, codes.OK, `/"name":"lame","version":"1","state":"UNAVAILABLE","reason":`},
	{"// If true return only models ready for inferencing.", "RepositoryIndex", `{"ready":true}`, codes.OK, `/"models":[{"name":"echo","version":"2","state":"READY"}`},
	{"The RepositoryModelLoad API requests that a model be loaded into Triton, or reloaded if the model is already loaded.", "RepositoryModelLoad", `{"model_name":"mymodel"}`, codes.OK, `{}`},
	{"(a model that is not in the repository)", "RepositoryModelLoad", `{"model_name":"none"}`, codes.NotFound, `/none`},
	{"“config” : string parameter that contains a JSON representation of the model configuration (refused: a node runs what is in its store)", "RepositoryModelLoad", `{"model_name":"mymodel","parameters":{"config":{"string_param":"{}"}}}`, codes.InvalidArgument, `/config`},
	{"The RepositoryModelUnload API requests that a model be unloaded from Triton.", "RepositoryModelUnload", `{"model_name":"mymodel","parameters":{"unload_dependents":{"bool_param":true}}}`, codes.OK, `{}`},
	{"// The name of the model. If not given returns statistics for all models.", "ModelStatistics", `{}`, codes.OK, `/"name":"scores"`},
	{"// The version of the model. If not given returns statistics for all model versions.", "ModelStatistics", `{"name":"mymodel","version":"1"}`, codes.OK, `/"inference_stats":{"success":{"count":"`},
	{"(statistics of no model)", "ModelStatistics", `{"name":"none"}`, codes.NotFound, `/none`},
}

func TestGRPCKeepsTheRules(t *testing.T) {
	for _, s := range servers(t) {
		for _, c := range calls {
			t.Run(s.name+"/"+c.says, func(t *testing.T) {
				r := s.rpc.Call(t, t.Context(), c.method, rpctest.Message(t, c.method+"Request", c.request))
				if r.Code != c.code {
					t.Fatalf("%s %s, want %s", r.Code, r.Text, c.code)
				}
				got := r.JSON()
				if r.Code != codes.OK {
					got = r.Text
				}
				if part, ok := strings.CutPrefix(c.want, "/"); ok {
					if !strings.Contains(squeezed(got), part) {
						t.Errorf("got  %s\nwant %s", got, part)
					}
				} else if !sameJSON(t, got, c.want) {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
			})
		}
	}
}

// squeezed is JSON without the spaces that protojson sets now and then.
func squeezed(s string) string {
	return strings.NewReplacer(`": `, `":`, `, "`, `,"`, `}, {`, `},{`).Replace(s)
}

// Package rpctest is a gRPC client of the Open Inference Protocol that owes
// nothing to package rpc but the text of inference.proto: the messages are those
// that a compiler of protocol buffers makes of it, and the calls are those of
// google.golang.org/grpc.
package rpctest

import (
	"context"
	"sync"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"primespark/shared/oip/rpc"
)

// Service is the path of the protocol's service.
const Service = "/inference.GRPCInferenceService/"

var schema = sync.OnceValues(func() (protoreflect.FileDescriptor, error) {
	const file = "inference.proto"
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{file: rpc.Proto})}}
	files, err := c.Compile(context.Background(), file)
	if err != nil {
		return nil, err
	}
	return files[0], nil
})

// Schema is inference.proto, compiled.
func Schema(t testing.TB) protoreflect.FileDescriptor {
	t.Helper()
	s, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// New returns an empty message of that name.
func New(t testing.TB, name string) *dynamicpb.Message {
	t.Helper()
	d := Schema(t).Messages().ByName(protoreflect.Name(name))
	if d == nil {
		t.Fatalf("inference.proto has no message %s", name)
	}
	return dynamicpb.NewMessage(d)
}

// Message returns a message of that name with the fields that text, JSON in the
// way of protocol buffers, gives.
func Message(t testing.TB, name, text string) *dynamicpb.Message {
	t.Helper()
	m := New(t, name)
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

// Read reads a message of that name; a field that the schema does not have is a fault.
func Read(t testing.TB, name string, b []byte) *dynamicpb.Message {
	t.Helper()
	m := New(t, name)
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	if len(m.GetUnknown()) > 0 {
		t.Errorf("fields that %s does not have: %x", name, m.GetUnknown())
	}
	return m
}

// A Client calls one server.
type Client struct {
	conn *grpc.ClientConn
}

// Dial returns a client of the server at address, closed at the test's end.
func Dial(t testing.TB, address string, secure credentials.TransportCredentials, options ...grpc.DialOption) *Client {
	t.Helper()
	conn, err := grpc.NewClient(address, append(options, grpc.WithTransportCredentials(secure))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Client{conn}
}

// A Reply is how a call ended.
type Reply struct {
	Message *dynamicpb.Message // also if the call failed; then empty
	Code    codes.Code
	Text    string // of the status
	Header  metadata.MD
	Trailer metadata.MD
}

// JSON is the message as JSON, its fields named as in the schema.
func (r Reply) JSON() string {
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(r.Message)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Call makes a unary call of the protocol's service, whose messages are named for it.
func (c *Client) Call(t testing.TB, ctx context.Context, method string, request proto.Message, options ...grpc.CallOption) Reply {
	t.Helper()
	r := Reply{Message: New(t, method+"Response")}
	err := c.conn.Invoke(ctx, Service+method, request, r.Message, append(options, grpc.Header(&r.Header), grpc.Trailer(&r.Trailer))...)
	s := status.Convert(err)
	r.Code, r.Text = s.Code(), s.Message()
	return r
}

// Stream begins a ModelStreamInfer.
func (c *Client) Stream(t testing.TB, ctx context.Context) grpc.ClientStream {
	t.Helper()
	s, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, Service+"ModelStreamInfer")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Conn is the connection, for what is none of the protocol's calls.
func (c *Client) Conn() *grpc.ClientConn { return c.conn }

// Authority names another host than the address in the calls.
func Authority(name string) grpc.DialOption { return grpc.WithAuthority(name) }

package oip

import (
	"net/http"
	"strconv"

	"primespark/shared/tensor"
)

// A Body is an encoded message.
type Body struct {
	Bytes []byte
	JSON  int // how many of the bytes are JSON; -1 if all of them, with no header
}

// SetHeaders says in h what kind of body it is.
func (b Body) SetHeaders(h http.Header) {
	if b.JSON < 0 {
		h.Set("Content-Type", TypeJSON)
		return
	}
	h.Set("Content-Type", TypeBinary)
	h.Set(HeaderLength, strconv.Itoa(b.JSON))
}

// A message is what requests and responses have in common.
type message struct {
	json   []byte
	binary [][]byte
}

// tensors writes a member of tensors and keeps what is to follow as binary data.
func (m *message) tensors(member string, all []Input, binary func(name string) bool) error {
	m.json = append(m.json, '"')
	m.json = append(append(m.json, member...), `":[`...)
	for i, in := range all {
		if i > 0 {
			m.json = append(m.json, ',')
		}
		asBytes := binary != nil && binary(in.Name)
		var err error
		if m.json, err = appendTensor(m.json, in.Tensor, in.Params, asBytes); err != nil {
			return err
		}
		if asBytes {
			m.binary = append(m.binary, in.Data)
		}
	}
	m.json = append(m.json, ']')
	return nil
}

func (m *message) body() Body {
	if m.binary == nil {
		return Body{m.json, -1}
	}
	b := Body{m.json, len(m.json)}
	for _, data := range m.binary {
		b.Bytes = append(b.Bytes, data...)
	}
	return b
}

// Encode writes the request; binary tells which inputs go as binary data, none
// if it is nil. A raw request is its own body.
func (r *Request) Encode(binary func(input string) bool) (Body, error) {
	if r.Raw != nil {
		return Body{r.Raw, 0}, nil
	}
	m, err := r.message(binary)
	if err != nil {
		return Body{}, err
	}
	return m.body(), nil
}

// Parts is Encode in pieces: the JSON, and the inputs' binary data, not copied,
// that follow it in the body. The request is not a raw one.
func (r *Request) Parts(binary func(input string) bool) (json []byte, data [][]byte, err error) {
	m, err := r.message(binary)
	return m.json, m.binary, err
}

func (r *Request) message(binary func(input string) bool) (message, error) {
	m := message{json: []byte{'{'}}
	if r.ID != "" {
		m.json = append(appendText(append(m.json, `"id":`...), r.ID), ',')
	}
	if len(r.Params) > 0 {
		m.json = append(r.Params.append(append(m.json, `"parameters":`...)), ',')
	}
	if err := m.tensors("inputs", r.Inputs, binary); err != nil {
		return m, err
	}
	if len(r.Outputs) > 0 {
		m.json = append(m.json, `,"outputs":[`...)
		for i, o := range r.Outputs {
			if i > 0 {
				m.json = append(m.json, ',')
			}
			m.json = appendText(append(m.json, `{"name":`...), o.Name)
			if len(o.Params) > 0 {
				m.json = o.Params.append(append(m.json, `,"parameters":`...))
			}
			m.json = append(m.json, '}')
		}
		m.json = append(m.json, ']')
	}
	m.json = append(m.json, '}')
	return m, nil
}

// A Response is the answer to an inference request.
type Response struct {
	Model   string
	Version string // "" for a server that has no versions
	ID      string // that of the request, if it had one
	Params  Params
	Outputs []tensor.Tensor
}

// Encode writes the response after dst, whose memory it uses; binary tells which
// outputs go as binary data (see Request.Binary), none if it is nil.
func (r *Response) Encode(dst []byte, binary func(output string) bool) (Body, error) {
	m := message{json: appendText(append(dst[:0], `{"model_name":`...), r.Model)}
	if r.Version != "" {
		m.json = appendText(append(m.json, `,"model_version":`...), r.Version)
	}
	if r.ID != "" {
		m.json = appendText(append(m.json, `,"id":`...), r.ID)
	}
	if len(r.Params) > 0 {
		m.json = r.Params.append(append(m.json, `,"parameters":`...))
	}
	outputs := make([]Input, len(r.Outputs))
	for i, t := range r.Outputs {
		outputs[i].Tensor = t
	}
	m.json = append(m.json, ',')
	if err := m.tensors("outputs", outputs, binary); err != nil {
		return Body{}, err
	}
	m.json = append(m.json, '}')
	return m.body(), nil
}

// DecodeResponse reads the body of an answer to an inference request, for
// clients. Binary data stays in the memory of body.
func DecodeResponse(h http.Header, body []byte, limits Limits) (*Response, error) {
	d, err := newDecoder("Output", h, body, limits)
	if err != nil {
		return nil, err
	}
	r := &Response{}
	var outputs []Input
	seen := once{}
	err = d.object(func(key string) error {
		switch key {
		case "model_name", "model_version", "id", "parameters", "outputs":
			if err := seen.see(key); err != nil {
				return err
			}
		}
		var err error
		switch key {
		case "model_name":
			r.Model, err = d.text()
		case "model_version":
			r.Version, err = d.optionalText()
		case "id":
			r.ID, err = d.optionalText()
		case "parameters":
			r.Params, err = d.params()
		case "outputs":
			outputs, err = d.tensors()
		default:
			err = d.skip(0)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	if err := d.attach(outputs); err != nil {
		return nil, err
	}
	for _, o := range outputs {
		r.Outputs = append(r.Outputs, o.Tensor)
	}
	return r, nil
}

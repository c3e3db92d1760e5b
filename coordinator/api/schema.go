package api

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// schemas collects the JSON Schemas of named types.
type schemas object

// of returns the schema of v's type as encoding/json writes it, by reference
// where the type has a name.
func (s schemas) of(v any) object { return s.typed(reflect.TypeOf(v)) }

func (s schemas) typed(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return object{} // whatever JSON there is
	case t != reflect.TypeFor[time.Time]() && t.Implements(reflect.TypeFor[json.Marshaler]()):
		return object{} // what it makes of itself
	case t != reflect.TypeFor[time.Time]() && t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.typed(t.Elem())
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": s.typed(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.typed(t.Elem())}
	case reflect.Struct:
		return s.structure(t)
	case reflect.Interface:
		return object{}
	}
	return object{"type": "integer"}
}

func (s schemas) structure(t reflect.Type) object {
	if t == reflect.TypeFor[time.Time]() {
		return object{"type": "string", "format": "date-time"}
	}
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if _, done := s[name]; !done {
		s[name] = nil // so that a type that holds itself ends
		fields, required := object{}, []string{}
		s.fields(t, fields, &required)
		s[name] = object{"type": "object", "properties": fields, "required": required}
	}
	return object{"$ref": "#/components/schemas/" + name}
}

// fields gathers the properties of t, those of embedded structs among them.
func (s schemas) fields(t reflect.Type, into object, required *[]string) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.fields(f.Type, into, required)
			continue
		case !f.IsExported() || name == "-":
			continue
		}
		into[name] = s.typed(f.Type)
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
		}
	}
}

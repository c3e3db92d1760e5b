package api

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"primespark/shared/version"
)

// object is a piece of JSON.
type object = map[string]any

var pathParam = regexp.MustCompile(`\{([a-z]+)\}`)

// description is the table as OpenAPI 3.1, with the examples of its calls.
func description(examples map[string]Example) object {
	s := schemas{}
	paths := object{}
	for _, r := range routes() {
		item, _ := paths[r.Path].(object)
		if item == nil {
			item = object{}
			paths[r.Path] = item
		}
		item[strings.ToLower(r.Method)] = operation(r, s, examples[r.Method+" "+r.Path])
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Prime Spark coordinator", "version": version.Number,
			"description": "Any coordinator answers any call. Errors are {\"error\": {\"code\", \"detail\", \"remedy\"}}, and {\"error\": \"text\"} with the header X-Error-Code below /v2.",
		},
		"paths": paths,
		"components": object{
			"schemas": s,
			"securitySchemes": object{
				"token":       object{"type": "http", "scheme": "bearer"},
				"certificate": object{"type": "mutualTLS"},
				"session":     object{"type": "apiKey", "in": "cookie", "name": cookieName},
			},
		},
	}
}

func operation(r Route, s schemas, e Example) object {
	op := object{
		"summary":     r.Summary,
		"operationId": operationID(r),
		"responses":   object{e.status(): object{"description": "Done."}, "default": object{"description": "An error, with a code and a remedy."}},
	}
	params := []object{}
	for _, m := range pathParam.FindAllStringSubmatch(r.Path, -1) {
		params = append(params, e.shown(m[1], object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}}))
	}
	for _, p := range r.Query {
		params = append(params, e.shown(p.Name, object{"name": p.Name, "in": "query", "description": p.About, "schema": object{"type": "string"}}))
	}
	if len(params) > 0 {
		op["parameters"] = params
	}
	if r.In != nil {
		op["requestBody"] = object{"required": true, "content": object{"application/json": media(s.of(r.In), e.Body)}}
	}
	if r.Out != nil {
		op["responses"].(object)[e.status()] = object{"description": "Done.", "content": object{"application/json": media(s.of(r.Out), e.Answer)}}
	}
	if r.Permission != Public {
		op["description"] = "For " + words(granted[r.Permission]) + "."
		op["security"] = []object{{"token": []string{}}, {"certificate": []string{}}, {"session": []string{}}}
	}
	return op
}

// media is a body in JSON, with an example if there is one.
func media(schema object, example json.RawMessage) object {
	m := object{"schema": schema}
	if len(example) > 0 {
		m["example"] = example
	}
	return m
}

// shown adds to a parameter what the example gives for it.
func (e Example) shown(name string, param object) object {
	if v := e.value(name); v != nil {
		param["example"] = v
	}
	return param
}

var wordBreak = regexp.MustCompile(`[^a-z0-9]+`)

// operationID is a name for generated clients: get_v1_nodes_name.
func operationID(r Route) string {
	return strings.Trim(wordBreak.ReplaceAllString(strings.ToLower(r.Method+" "+r.Path), "_"), "_")
}

func (a *API) openAPI(w http.ResponseWriter, _ *call) error { return answer(w, a.spec) }

package models

import (
	"strings"
	"testing"

	"primespark/shared/model"
)

func TestOrdered(t *testing.T) {
	variant := func(text string) model.Variant {
		engine, file, _ := strings.Cut(text, ":")
		return model.Variant{Engine: engine, File: file}
	}
	for name, test := range map[string]struct{ manifest, prefer, want string }{
		"as it stands":     {"hailo:h8 hailo:h8l onnxruntime:o builtin:b", "", "hailo:h8 hailo:h8l onnxruntime:o builtin:b"},
		"the other way":    {"builtin:b onnxruntime:o", "onnxruntime", "onnxruntime:o builtin:b"},
		"the same file":    {"hailo:h8 builtin:b", "onnxruntime builtin", "onnxruntime:b builtin:b hailo:h8"},
		"the builtin last": {"builtin:b hailo:h8 hailo:h8l", "hailo builtin", "hailo:h8 hailo:h8l builtin:b"},
		"not asked for":    {"builtin:b", "hailo", "builtin:b"},
		"no ONNX file":     {"hailo:h8", "onnxruntime", "hailo:h8"},
	} {
		var all []model.Variant
		for v := range strings.FieldsSeq(test.manifest) {
			all = append(all, variant(v))
		}
		var got []string
		for _, v := range ordered(all, strings.Fields(test.prefer)) {
			got = append(got, v.Engine+":"+v.File)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

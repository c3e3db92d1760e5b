package models

import "primespark/shared/model"

// Engines whose files are ONNX, so that one runs what was meant for the other.
const (
	builtinEngine = "builtin"
	onnxRuntime   = "onnxruntime"
)

// ordered are the variants of a model in the order in which they are tried: those of
// the preferred engines first, one engine after the other, and then the rest as they
// stand in the manifest. If ONNX Runtime is preferred it is tried with the files for
// the builtin engine, too, in a package that has none for it.
func ordered(all []model.Variant, prefer []string) (order []model.Variant) {
	of := map[string][]model.Variant{}
	for _, v := range all {
		of[v.Engine] = append(of[v.Engine], v)
	}
	taken := map[string]bool{}
	for _, engine := range prefer {
		variants := of[engine]
		if engine == onnxRuntime && len(variants) == 0 {
			for _, v := range of[builtinEngine] {
				v.Engine = onnxRuntime
				variants = append(variants, v)
			}
		}
		order = append(order, variants...)
		taken[engine] = true
	}
	for _, v := range all {
		if !taken[v.Engine] {
			order = append(order, v)
		}
	}
	return order
}

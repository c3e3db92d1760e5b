package shelf

import (
	"fmt"
	"strings"

	"primespark/hailo/hef"
)

func head(name string) string {
	return fmt.Sprintf("apiVersion: edge/v1\nkind: Model\nname: %s\nversion: \"1\"\nvariants:\n", name)
}

// manifest is the part of a manifest that tells of the tensors, and the label
// file that it names. The networks of Hailo's zoo take RGB as it is: what else
// is to be done to the pixels is in the file.
func manifest(name string, g hef.Group) (text, labels string, data []byte) {
	var b strings.Builder
	image := len(g.Inputs) == 1 && g.Inputs[0].Features == 3 && !g.Inputs[0].Planes
	b.WriteString("inputs:\n")
	for _, in := range g.Inputs {
		fmt.Fprintf(&b, "  - {name: %q, datatype: UINT8, shape: [1, %d, %d, %d], layout: NHWC}\n", in.Name, in.Height, in.Width, in.Features)
	}
	switch {
	case image && len(g.NMS) == 1 && !g.NMS[0].BoxesOnly:
		n := g.NMS[0]
		fmt.Fprintf(&b, "outputs: [{name: %q, datatype: FP32, shape: [1, %d, %d]}]\n", n.Name, n.Classes, 1+5*n.PerClass)
		b.WriteString("task: object-detection\npreprocess: {resize: letterbox, pad: 114}\npostprocess: {kind: nms-in-model, score: 0.3}\n")
		labels, data = boxLabels(name, n.Classes)
	case image && len(g.Outputs) == 1 && g.Outputs[0].Height == 1 && g.Outputs[0].Width == 1 && classes(g) == 1000:
		softmax := len(g.Logits) == 0 && !strings.Contains(g.Outputs[0].Name, "softmax")
		fmt.Fprintf(&b, "outputs: [{name: %q, datatype: FP32, shape: [1, 1000]}]\n", g.Outputs[0].Name)
		fmt.Fprintf(&b, "task: image-classification\npreprocess: {resize: crop}\npostprocess: {kind: classification, softmax: %v}\n", softmax)
		labels, data = "imagenet1000.txt", imagenet
	case image: // what it finds is for who knows the network
		b.WriteString("preprocess: {resize: letterbox, pad: 114}\n")
	}
	if data != nil {
		fmt.Fprintf(&b, "labels: %s\n", labels)
	}
	return b.String(), labels, data
}

func classes(g hef.Group) int { return g.Outputs[0].Features }

// boxLabels are the names of what a detector finds.
func boxLabels(name string, classes int) (file string, data []byte) {
	switch {
	case classes == 80:
		return "coco80.txt", coco
	case classes == 2 && strings.Contains(name, "personface"):
		return "labels.txt", []byte("person\nface\n")
	}
	return "", nil
}

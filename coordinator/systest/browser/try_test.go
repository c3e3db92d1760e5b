package browser_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"primespark/coordinator/status"
	"primespark/shared/wire"
)

func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string can be encoded
	}
	return string(b)
}

// picture makes a PNG of grey with a darker square.
func picture(wide, high int) []byte {
	m := image.NewRGBA(image.Rect(0, 0, wide, high))
	for i := range wide * high {
		m.Set(i%wide, i/wide, color.Gray{200})
		if x, y := i%wide, i/wide; x > wide/4 && x < wide/2 && y > high/4 && y < high/2 {
			m.Set(x, y, color.Gray{60})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err) // into memory
	}
	return b.Bytes()
}

// photo chooses a picture, as a person does in the dialogue for files.
func (b *tab) photo(wide, high int) { b.t.Helper(); b.file(picture(wide, high)) }

func (b *tab) file(content []byte) {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "photo.png")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#photo"), []string{path}))
}

// answered is a gateway that finds those objects in every picture.
func answered(objects ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(wire.HeaderLength) != "0" {
			http.Error(w, `{"error":"no picture"}`, http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set(wire.HeaderNode, "pi-7")
		w.Header().Set(wire.HeaderBackend, "hailo")
		w.Header().Set(wire.HeaderGateway, "c2")
		w.Header().Add(wire.HeaderTiming, "queue;dur=0.50, decode;dur=2.25, infer;dur=11.00, post;dur=0.25")
		w.Header().Add(wire.HeaderTiming, "gateway;dur=16.00")
		_ = json.NewEncoder(w).Encode(map[string]any{"model_name": "m", "outputs": []map[string]any{{"name": "detections", "datatype": "BYTES", "shape": []int{len(objects)}, "data": objects}}})
	}
}

// pixel is a point of the drawing, as "r g b".
func (b *tab) pixel(x, y int) string {
	return eval[string](b, fmt.Sprintf(`[...document.getElementById("canvas").getContext("2d").getImageData(%d, %d, 1, 1).data].slice(0, 3).join(" ")`, x, y))
}

// TestTryIt shows a photo to the gateway and sees the boxes, the node and where the time
// went.
func TestTryIt(t *testing.T) {
	s := play(t, troubled())
	s.answer.Store(answered(`{"label":"face","score":0.93,"box":[200,150,400,300]}`, `{"label":"cat","score":0.5,"box":[10,200,100,290]}`, `not JSON`, `{"label":"whole picture","score":0.7}`))
	b := open(t)
	b.navigate(s.URL + "/")
	b.photo(800, 600)
	b.until(`!document.getElementById("result").hidden`)
	b.has("3 found by blazeface on pi-7 (hailo), through c2, in ", "face 93 %", "cat 50 %", "waiting", "0.5 ms", "decoding", "2.3 ms", "inference", "11.0 ms", "gateway and way to the agent", "2.0 ms", "all of it")
	if got := b.pixel(400, 200); got != "29 127 78" { // the right edge of the first box
		t.Errorf("the edge of the box is %s", got)
	}
	if got := b.pixel(600, 500); got != "200 200 200" {
		t.Errorf("beside the box is %s", got)
	}
	if got := eval[string](b, `document.getElementById("canvas").getAttribute("aria-label")`); got != "Your photo, with boxes around: face 93 %, cat 50 %, whole picture 70 %" {
		t.Errorf("to those who do not see it: %q", got)
	}

	b.file([]byte("this is no picture"))
	b.until(`document.getElementById("said").className === "bad"`)
	b.has("This is no picture that your browser knows.")
	s.answer.Store(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"error":"The queue is full. Try again in a second."}`)
	})
	b.photo(80, 60)
	b.until(`document.getElementById("said").textContent.startsWith("The queue is full.")`)
}

// TestTryItIsForOperators: who may not infer has no form.
func TestTryItIsForOperators(t *testing.T) {
	s := play(t, troubled())
	s.reader.Store(status.Reader{Name: "ada", Role: "viewer", Session: true})
	b := open(t)
	b.navigate(s.URL + "/")
	if text := b.text(); strings.Contains(text, "TRY IT") || strings.Contains(text, "Requeue") || !strings.Contains(text, "ada, viewer") {
		t.Errorf("a viewer sees\n%s", text)
	}
}

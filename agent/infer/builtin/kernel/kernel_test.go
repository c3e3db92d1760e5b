package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// random returns n numbers around 0.
func random(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	for i := range want {
		g, w := float64(got[i]), float64(want[i])
		if math.Abs(g-w) > tolerance*(1+math.Abs(w)) || math.IsNaN(g) != math.IsNaN(w) {
			t.Fatalf("%s: element %d of %d is %v, want %v", what, i, len(want), g, w)
		}
	}
}

// eachSet runs a test for all sets of the machine, the plain one too.
func eachSet(t *testing.T, f func(t *testing.T, s Set, r *rand.Rand)) {
	for _, s := range Sets() {
		t.Run(s.String(), func(t *testing.T) { f(t, s, rand.New(rand.NewPCG(1, 2))) })
	}
}

func TestGemm(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set, r *rand.Rand) {
		tile := s.Tile()
		for range 200 {
			k, rows := 1+r.IntN(70), 1+r.IntN(40)
			vecs := 1 + r.IntN(tile.Vecs)
			width, panels := vecs*tile.Lanes, 1+r.IntN(4)
			full := (rows + tile.Rows - 1) / tile.Rows * tile.Rows
			ldb, ldc := width+r.IntN(9), panels*width+r.IntN(9)
			step := r.IntN(k*ldb + 20)
			a, b, bias := random(r, rows*k), random(r, (panels-1)*step+(k-1)*ldb+width), random(r, full)
			packed := make([]float32, full*k)
			s.PackA(packed, a, rows, k)
			g := Gemm{
				K: k, Rows: full, Vecs: vecs, Panels: panels, A: packed, B: b, LDB: ldb, Step: step, Bias: bias,
				C: make([]float32, (full-1)*ldc+panels*width), LDC: ldc, Lo: -5, Hi: 6,
			}
			if r.IntN(2) == 0 {
				g.Add = random(r, len(g.C))
			}
			s.Gemm(&g)
			for i := range rows {
				for j := range panels * width {
					want := float64(bias[i])
					for x := range k {
						want += float64(a[i*k+x]) * float64(b[j/width*step+x*ldb+j%width])
					}
					if g.Add != nil {
						want += float64(g.Add[i*ldc+j])
					}
					want = min(max(want, -5), 6)
					if got := float64(g.C[i*ldc+j]); math.Abs(got-want) > 1e-4 {
						t.Fatalf("k %d rows %d vecs %d: C[%d,%d] = %v, want %v", k, rows, vecs, i, j, got, want)
					}
				}
				for j := panels * width; j < ldc && i < full-1; j++ {
					if g.C[i*ldc+j] != 0 {
						t.Fatalf("row %d was written beyond its %d columns", i, panels*width)
					}
				}
			}
		}
	})
}

func TestDepth(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set, r *rand.Rand) {
		for _, taps := range []int{1, 3, 9, 9, 25} {
			for vecs := 1; vecs < 6; vecs++ {
				width := vecs * s.Tile().Lanes
				d := Depth{
					W: random(r, taps), Rows: 1 + r.IntN(4), Vecs: vecs, SrcStep: width + r.IntN(20),
					DstStep: width - r.IntN(3), Bias: 0.5, Lo: -2, Hi: 2, MaxOff: 50,
				}
				for range taps {
					d.Offs = append(d.Offs, 4*r.IntN(50))
				}
				d.Src = random(r, (d.Rows-1)*d.SrcStep+d.MaxOff+width)
				d.Dst = make([]float32, (d.Rows-1)*d.DstStep+width)
				want := d
				want.Dst = make([]float32, len(d.Dst))
				plainDepth(&want, width)
				s.Depth(&d)
				near(t, fmt.Sprintf("%d taps, %d vectors", taps, vecs), d.Dst, want.Dst, 1e-5)
				d.Src[r.IntN(len(d.Src))] = float32(math.NaN())
				plainPeak(&want, width)
				s.Peak(&d)
				near(t, fmt.Sprintf("largest of %d taps, %d vectors", taps, vecs), d.Dst, want.Dst, 0)
			}
		}
	})
}

func TestPack(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set, r *rand.Rand) {
		cols := s.Tile().Cols()
		for _, stride := range []int{1, 2} {
			for count := 1; count < 5; count++ {
				p := Pack{Stride: stride, MaxOff: 200}
				for range 1 + r.IntN(30) {
					p.Offs = append(p.Offs, 4*r.IntN(200))
				}
				at := 0
				for range count {
					n := 1 + r.IntN(cols/4)
					p.Segs = append(p.Segs, Segment{4 * r.IntN(100), 4 * at, n})
					at += n
				}
				p.Segs[count-1].N += cols - at // the last one fills the panel
				p.Src = random(r, p.MaxOff+100+stride*cols)
				p.Dst = make([]float32, len(p.Offs)*cols+2*cols)
				want := p
				want.Dst = make([]float32, len(p.Dst))
				plainPack(&want, cols)
				s.Pack(&p)
				near(t, fmt.Sprintf("stride %d, %d segments", stride, count), p.Dst, want.Dst[:len(p.Offs)*cols], 0)
			}
		}
	})
}

func TestRows(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set, r *rand.Rand) {
		for n := range 40 {
			rows := Rows{Count: 3, N: n, Src: random(r, 3*(2*n+5)), SrcStep: 2*n + 5, DstStep: n + 2}
			size := 3 * (n + 2)
			rows.Dst, rows.Odd = make([]float32, size), make([]float32, size)
			want := rows
			want.Dst, want.Odd = make([]float32, size), make([]float32, size)
			s.Copy(&rows)
			Plain.Copy(&want)
			near(t, fmt.Sprintf("copy of %d", n), rows.Dst, want.Dst, 0)
			s.Split(&rows)
			Plain.Split(&want)
			near(t, fmt.Sprintf("even of %d", n), rows.Dst, want.Dst, 0)
			near(t, fmt.Sprintf("odd of %d", n), rows.Odd, want.Odd, 0)
		}
	})
}

func TestMaps(t *testing.T) {
	inf := float32(math.Inf(1))
	eachSet(t, func(t *testing.T, s Set, r *rand.Rand) {
		for n := range 140 {
			a, b := random(r, n), random(r, n)
			got, want := make([]float32, n), make([]float32, n)
			check := func(what string, tolerance float64, f func(x, y float64) float64) {
				t.Helper()
				for i := range want {
					want[i] = float32(f(float64(a[i]), float64(b[i])))
				}
				near(t, fmt.Sprintf("%s of %d", what, n), got, want, tolerance)
			}
			for op, f := range map[Binary]func(x, y float64) float64{
				Add: func(x, y float64) float64 { return x + y }, Sub: func(x, y float64) float64 { return x - y },
				Mul: func(x, y float64) float64 { return x * y }, Div: func(x, y float64) float64 { return x / y },
				Max: math.Max, Min: math.Min,
			} {
				s.Zip(op, got, a, b)
				check(fmt.Sprint("zip ", op), 1e-6, f)
			}
			s.Affine(got, a, 2, -1, -inf, 1.5)
			check("affine", 1e-6, func(x, _ float64) float64 { return min(2*x-1, 1.5) })
			s.Gate(got, a, Line{Slope: 2, Offset: 0.5, Lo: -0.25, Hi: 1.5}, 3)
			check("gate", 1e-6, func(x, _ float64) float64 { return x*min(max(2*x+0.5, -0.25), 1.5) + 3 })
			s.Leaky(got, a, 0.1)
			check("leaky", 1e-6, func(x, _ float64) float64 { return max(x, 0.1*x) })
			for i := range a {
				a[i] *= 20
			}
			s.Exp(got, a)
			check("exp", 1e-6, func(x, _ float64) float64 { return math.Exp(x) })
			s.Sigmoid(got, a)
			check("sigmoid", 1e-6, func(x, _ float64) float64 { return 1 / (1 + math.Exp(-x)) })
			s.SiLU(got, a)
			check("silu", 1e-6, func(x, _ float64) float64 { return x / (1 + math.Exp(-x)) })
			total := float32(0)
			for _, v := range b {
				total += v
			}
			near(t, "sum", []float32{s.Sum(b)}, []float32{total}, 1e-5)
		}
	})
}

// TestExtremes holds the sets to the documented bounds of Exp.
func TestExtremes(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set, _ *rand.Rand) {
		x := slices.Repeat([]float32{-1e30, -200, 200, 1e30}, 8)
		y := make([]float32, len(x))
		s.Sigmoid(y, x)
		for i, v := range y {
			if want := float32(i % 4 / 2); math.Abs(float64(v-want)) > 1e-30 {
				t.Errorf("sigmoid(%g) = %g, want %g", x[i], v, want)
			}
		}
		s.Exp(y, x)
		for i, v := range y {
			if v <= 0 || math.IsInf(float64(v), 0) || (i%4 < 2) != (v < 1) {
				t.Errorf("exp(%g) = %g", x[i], v)
			}
		}
	})
}

// TestBounds shows that a slice that is too short panics in Go, before assembly runs.
func TestBounds(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set, _ *rand.Rand) {
		tile := s.Tile()
		n := tile.Cols()
		full := func() *Gemm {
			return &Gemm{
				K: 2, Rows: tile.Rows, Vecs: tile.Vecs, A: make([]float32, 2*tile.Rows), B: make([]float32, 2*n), LDB: n,
				C: make([]float32, tile.Rows*n), LDC: n, Bias: make([]float32, tile.Rows),
			}
		}
		s.Gemm(full())
		for name, shorten := range map[string]func(*Gemm){
			"A":    func(g *Gemm) { g.A = g.A[1:] },
			"B":    func(g *Gemm) { g.B = g.B[1:] },
			"C":    func(g *Gemm) { g.C = g.C[1:] },
			"Bias": func(g *Gemm) { g.Bias = g.Bias[1:] },
			"Add":  func(g *Gemm) { g.Add = g.C[1:] },
			"rows": func(g *Gemm) { g.Rows-- },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("a product with a short %s went through", name)
					}
				}()
				g := full()
				shorten(g)
				s.Gemm(g)
			}()
		}
	})
}

// TestGenerated holds the committed assembly to what the generator writes.
func TestGenerated(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs the go command: ", err)
	}
	if _, err := os.Stat("gen"); err != nil {
		t.Skip("runs in the source tree only: ", err)
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), tool, "run", "./gen", "-dir", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"kernels_amd64.s", "kernels_arm64.s"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s is not what gen writes; run go generate ./agent/infer/builtin/kernel", name)
		}
	}
}

// TestNaN puts what is no number into one element of each kernel's input: it comes out
// again, wherever it meets a clamp or stands beside a number.
func TestNaN(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	eachSet(t, func(t *testing.T, s Set, r *rand.Rand) {
		check := func(what string, v []float32, at int) {
			t.Helper()
			for i, x := range v {
				if (x != x) != (i == at) {
					t.Errorf("%s: element %d is %v, and the NaN went in at %d", what, i, x, at)
				}
			}
		}
		for _, at := range []int{0, 5, 34} { // within vectors, and in the tail of some
			n := 35
			clean, bad, out := random(r, n), random(r, n), make([]float32, n)
			bad[at] = nan
			for op := Add; op <= Min; op++ {
				s.Zip(op, out, bad, clean)
				check(fmt.Sprint("left of ", op), out, at)
				s.Zip(op, out, clean, bad)
				check(fmt.Sprint("right of ", op), out, at)
				s.Zip(op, out, bad, bad)
				check(fmt.Sprint("both of ", op), out, at)
			}
			for _, bounds := range [][2]float32{{-inf, inf}, {0, inf}, {0, 6}, {-inf, 1}} {
				s.Affine(out, bad, 2, 1, bounds[0], bounds[1])
				check(fmt.Sprint("affine within ", bounds), out, at)
			}
			s.Gate(out, bad, Line{Slope: 1.0 / 6, Offset: 0.5, Hi: 1}, 0)
			check("gate", out, at)
			s.Leaky(out, bad, 0.1)
			check("leaky", out, at)
			for name, f := range map[string]func(dst, a []float32){"exp": s.Exp, "sigmoid": s.Sigmoid, "SiLU": s.SiLU} {
				f(out, bad)
				check(name, out, at)
			}
		}
		for i, bounds := range [][2]float32{{nan, inf}, {-inf, nan}, {nan, nan}} {
			out := make([]float32, 35)
			s.Affine(out, random(r, 35), 1, 0, bounds[0], bounds[1])
			for j, x := range out {
				if x == x {
					t.Errorf("affine within bounds %d: element %d is %v", i, j, x)
				}
			}
		}

		tile := s.Tile()
		for _, bounds := range [][2]float32{{-inf, inf}, {0, 6}} {
			width := tile.Cols()
			g := Gemm{
				K: 2, Rows: tile.Rows, Vecs: tile.Vecs, A: random(r, 2*tile.Rows), B: random(r, 2*width), LDB: width,
				C: make([]float32, tile.Rows*width), LDC: width, Bias: random(r, tile.Rows), Lo: bounds[0], Hi: bounds[1],
			}
			g.B[1] = nan
			s.Gemm(&g)
			for row := range tile.Rows {
				check("matrix product", g.C[row*width:(row+1)*width], 1)
			}
			d := Depth{
				Offs: []int{0}, W: []float32{1}, Src: random(r, 3*tile.Lanes), Dst: make([]float32, 3*tile.Lanes),
				Rows: 1, Vecs: 3, SrcStep: 1, DstStep: 1, Lo: bounds[0], Hi: bounds[1],
			}
			d.Src[2] = nan
			s.Depth(&d)
			check("depthwise convolution", d.Dst, 2)
		}
	})
}

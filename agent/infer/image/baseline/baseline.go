// Package baseline decodes the JPEGs that cameras make, and no others: sequential,
// Huffman-coded, of eight bits, gray or YCbCr, in one scan (ITU T.81, process 1). On
// request it makes a half, a quarter or an eighth of the width and height, by leaving the
// high frequencies of each block out, which is quicker than to decode all and to scale it
// down, and takes a fraction of the memory. That memory is used again for the next image.
//
// Whatever is of another kind is refused before anything is decoded: image/jpeg takes more.
package baseline

import "errors"

// ErrOther says that this package is not the one to decode an image, and ErrBroken that
// nothing can.
var (
	ErrOther  = errors.New("no plain baseline JPEG")
	ErrBroken = errors.New("the data of the JPEG ends too early, or has a code that its tables do not have")
)

// A Plane is one component of an image.
type Plane struct {
	Pix           []byte
	Stride        int
	Width, Height int // in samples
	SubX, SubY    int // pixels of the image, at full size, from one sample to the next
}

// Scales are the numbers by which an image can be made smaller.
var Scales = [...]int{8, 4, 2, 1}

// A Decoder decodes one image at a time. The zero value is ready. It is not safe to share.
type Decoder struct {
	head
	reader  reader
	data    []byte // entropy-coded data without its stuffing, and zeros behind it
	ends    []int  // of the parts of it between restart markers
	samples []byte // of all planes
	planes  [maxComponents]Plane
}

// Held is the memory that the decoder keeps for the next image, in bytes.
func (d *Decoder) Held() int { return cap(d.data) + cap(d.samples) }

// Read reads all of a JPEG but its pixels, and returns its size. The error is ErrOther.
func (d *Decoder) Read(data []byte) (width, height int, err error) {
	scan, ok := d.parse(data)
	if !ok || !d.unstuff(scan) || len(d.ends) != d.parts() {
		return 0, 0, ErrOther
	}
	return d.width, d.height, nil
}

// parts is how many there have to be of the entropy-coded data.
func (d *Decoder) parts() int {
	if d.interval == 0 {
		return 1
	}
	return (d.across*d.down + d.interval - 1) / d.interval
}

// Decode returns the planes of the JPEG that was read last, its width and height divided
// by scale, one of Scales: one for gray, or Y, Cb and Cr. They are the decoder's own until
// it decodes again. The caller has seen to it that the size is not too much. The error is
// ErrBroken.
func (d *Decoder) Decode(scale int) ([]Plane, error) {
	d.lay(scale)
	if !d.scan(8 / scale) {
		return nil, ErrBroken
	}
	return d.planes[:d.count], nil
}

// lay makes room for the planes, in whole units, so that no block has to be cut.
func (d *Decoder) lay(scale int) {
	size := 8 / scale // of a block
	total := 0
	for i := range d.count {
		c := d.components[i]
		total += d.across * c.h * size * d.down * c.v * size
	}
	if cap(d.samples) < total {
		d.samples = make([]byte, total)
	}
	rest := d.samples[:total]
	for i := range d.count {
		c := d.components[i]
		stride, high := d.across*c.h*size, d.down*c.v*size
		subX, subY := scale*d.h/c.h, scale*d.v/c.v
		d.planes[i] = Plane{
			Pix: rest[:stride*high], Stride: stride, SubX: subX, SubY: subY,
			Width: (d.width + subX - 1) / subX, Height: (d.height + subY - 1) / subY,
		}
		rest = rest[stride*high:]
	}
}

// scan decodes all units, with blocks of size × size samples.
func (d *Decoder) scan(size int) bool {
	interval := d.interval
	if interval == 0 {
		interval = d.across * d.down
	}
	var dc [maxComponents]int32
	part, left := 0, 0
	for y := range d.down {
		for x := range d.across {
			if left == 0 {
				d.reader.start(d.data, d.ends, part)
				dc = [maxComponents]int32{}
				part, left = part+1, interval
			}
			left--
			for i := range d.count {
				if !d.unit(&d.components[i], &d.planes[i], &dc[i], x, y, size) {
					return false
				}
			}
		}
	}
	return true
}

// unit decodes the blocks of one component in unit x, y.
func (d *Decoder) unit(c *component, p *Plane, dc *int32, x, y, size int) bool {
	for v := range c.v {
		at := (y*c.v+v)*size*p.Stride + x*c.h*size
		for range c.h {
			var b block
			last, ok := d.reader.block(&b, dc, &d.dc[c.dc], &d.ac[c.ac], &d.quants[c.quant])
			if !ok {
				return false
			}
			out := p.Pix[at:]
			switch {
			case last == 0 || size == 1:
				flat(out, p.Stride, size, b[0])
			case size == 8:
				b.inverse8(out, p.Stride)
			case size == 4:
				b.inverse4(out, p.Stride)
			default:
				b.inverse2(out, p.Stride)
			}
			at += size
		}
	}
	return true
}

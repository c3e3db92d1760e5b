// Package image turns the bytes of a photo into the tensor that a model eats,
// and points of that tensor back into pixels of the photo.
//
// It takes JPEG, PNG, WebP, BMP and TIFF. Before anything is decoded the header is read,
// and what is too large, in pixels or in the memory that decoding would take, is
// refused: a file of a few kilobytes never costs more than Limits.Memory.
//
// Width, height and boxes are always those of the image as it is displayed, so
// after the turn that its EXIF orientation asks for. Transparent parts are shown
// on white.
package image

package hailo

// Boxes is boxes, for the fuzz test.
var Boxes = boxes

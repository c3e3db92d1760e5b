package builtin

import (
	"errors"
	"fmt"
	"math"

	"primespark/agent/infer/builtin/kernel"
	"primespark/agent/infer/builtin/onnx"
	"primespark/shared/tensor"
)

// operators are the operators of ONNX that the engine runs.
var operators = map[string]opFunc{
	"Conv": opConv, "ConvTranspose": opConvTranspose, "Gemm": opGemm, "MatMul": opMatMul,
	"MaxPool": opMaxPool, "AveragePool": opAveragePool,
	"GlobalAveragePool": opGlobal, "GlobalMaxPool": opGlobal,
	"BatchNormalization": opBatchNorm, "LRN": opLRN, "InstanceNormalization": opInstanceNorm,

	"Add": arithmetic(kernel.Add), "Sub": arithmetic(kernel.Sub), "Mul": arithmetic(kernel.Mul), "Div": arithmetic(kernel.Div),
	"Max": extreme(kernel.Max), "Min": extreme(kernel.Min), "Sum": extreme(kernel.Add), "Mean": extreme(kernel.Add),
	"Pow": opPow, "PRelu": opPRelu, "Mod": opMod,
	"Equal": compare(eq), "Less": compare(less), "LessOrEqual": compare(lessEq),
	"Greater": compare(greater), "GreaterOrEqual": compare(greaterEq),
	"And": logic(and), "Or": logic(or), "Xor": logic(xor), "Where": opWhere,

	"Relu": opRelu, "Clip": opClip, "LeakyRelu": opLeakyRelu, "Sigmoid": opSigmoid, "Exp": opExp,
	"HardSigmoid": opHardSigmoid, "HardSwish": opHardSwish, "Not": opNot, "Neg": opNeg, "Abs": opAbs,
	"Softmax": opSoftmax, "LogSoftmax": opSoftmax,

	"Tanh": scalar(math.Tanh), "Sqrt": scalar(math.Sqrt), "Log": scalar(math.Log), "Erf": scalar(math.Erf),
	"Floor": scalar(math.Floor), "Ceil": scalar(math.Ceil), "Round": scalar(math.RoundToEven),
	"Sin": scalar(math.Sin), "Cos": scalar(math.Cos), "Tan": scalar(math.Tan), "Asin": scalar(math.Asin), "Acos": scalar(math.Acos),
	"Atan": scalar(math.Atan), "Sinh": scalar(math.Sinh), "Cosh": scalar(math.Cosh), "Asinh": scalar(math.Asinh),
	"Acosh": scalar(math.Acosh), "Atanh": scalar(math.Atanh), "Reciprocal": scalar(reciprocal), "Sign": scalar(sign),
	"Softplus": scalar(softplus), "Softsign": scalar(softsign),
	"Elu": opElu, "Selu": opSelu, "Celu": opCelu, "ThresholdedRelu": opThresholdedRelu, "Mish": scalar(mish), "Gelu": opGelu,

	"Concat": opConcat, "Split": opSplit, "Slice": opSlice, "Transpose": opTranspose, "Gather": opGather,
	"Expand": opExpand, "Tile": opTile, "Pad": opPad, "Resize": opResize, "Upsample": opResize,
	"DepthToSpace": opDepthToSpace, "SpaceToDepth": opSpaceToDepth,
	"Reshape": opReshape, "Flatten": opFlatten, "Squeeze": opSqueeze, "Unsqueeze": opUnsqueeze,
	"Identity": opIdentity, "Dropout": opDropout, "Shape": opShape, "Size": opSize, "Cast": opCast, "CastLike": opCastLike,
	"Constant": opConstant, "ConstantOfShape": opConstantOfShape, "Range": opRange,

	"ReduceMean": reduce(meanOf), "ReduceSum": reduce(sumOf), "ReduceMax": reduce(maxOf), "ReduceMin": reduce(minOf),
	"ReduceProd": reduce(prodOf), "ReduceL1": reduce(l1Of), "ReduceL2": reduce(l2Of), "ReduceSumSquare": reduce(squaresOf),
	"ReduceLogSum": reduce(logSumOf), "ArgMax": opArg, "ArgMin": opArg,

	"ReduceLogSumExp": reduce(logSumExpOf), "TopK": opTopK, "GatherElements": opGatherElements, "CumSum": opCumSum, "Trilu": opTrilu,
	"LayerNormalization": opLayerNorm, "QuantizeLinear": opQuantize, "DequantizeLinear": opDequantize,
	"IsNaN": opIsNaN, "IsInf": opIsInf,

	"LSTM": opLSTM, "GRU": opGRU, "RNN": opRNN,
}

// opIf is compiled by way of this table, and so cannot be in it from the start.
func operator(name string) opFunc {
	if name == "If" {
		return opIf
	}
	return operators[name]
}

// takesEmpty are the operators that have a meaning for a tensor without elements.
var takesEmpty = map[string]bool{
	"If": true, "Concat": true, "Shape": true, "Size": true, "Reshape": true, "Resize": true, "Upsample": true,
	"ConstantOfShape": true, "Expand": true, "Identity": true, "Squeeze": true, "Unsqueeze": true, "Cast": true,
}

// errOperator is what an operator that the engine does not have is.
var errOperator = errors.New("is not supported by the builtin engine")

func errUnsupported(n *onnx.Node) error {
	if n.Domain != "" {
		return fmt.Errorf("operator %s of domain %s %w", n.Op, n.Domain, errOperator)
	}
	return fmt.Errorf("operator %s %w", n.Op, errOperator)
}

// elementType is the name that the Open Inference Protocol has for a type, ""
// for one that cannot be an input or output here.
func elementType(t onnx.Type) tensor.Type {
	return map[onnx.Type]tensor.Type{
		onnx.Float: tensor.Float32, onnx.Float16: tensor.Float16, onnx.Int64: tensor.Int64, onnx.Int32: tensor.Int32,
		onnx.Int16: tensor.Int16, onnx.Int8: tensor.Int8, onnx.Uint8: tensor.Uint8, onnx.Uint16: tensor.Uint16,
		onnx.Uint32: tensor.Uint32, onnx.Bool: tensor.Bool, onnx.Double: tensor.Float64,
	}[t]
}

/** Why a graph is not a linear model, in words that follow `ONNX Runtime scores: `. */
export class Refusal extends Error {}

/** A model, or a part of one, that a forest's kernel does not score. */
export class Refusal extends Error {}

/** @param reason in words, to be read after "ONNX Runtime scores: " */
export function refuse(reason: string): never {
  throw new Refusal(reason);
}

/** Memory that all threads and their kernels share, and the kernels' code. */
import { bug, TandemError } from '../errors.ts';
import { pagesMax } from './wasm-code.ts';

/** `WebAssembly.Memory` as far as we use it; TypeScript declares it only for browsers. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
}

/** Compiled code, good for any memory; see {@link compileModule}. */
export type CompiledModule = object;
/** What a module exports. Numbers are i32 or f64, by the function's own signature. */
export type WasmExports = Readonly<Record<string, (...values: number[]) => number>>;

interface Engine {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: true }) => SharedMemory;
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => CompiledModule;
  readonly Instance: new (module: CompiledModule, imports: object) => { readonly exports: WasmExports };
}

/** Size of a page of WebAssembly memory. */
export const pageBytes = 65_536;
const { Memory, Module, Instance } = (globalThis as unknown as { readonly WebAssembly: Engine }).WebAssembly;

/**
 * Zeroed memory of at least `bytes`, never grown, so that its buffer never moves.
 * @throws MEMORY when that is more than one memory addresses
 */
export function createSharedMemory(bytes: number): SharedMemory {
  const pages = Math.max(1, Math.ceil(bytes / pageBytes));
  if (pages > pagesMax) {
    const [may, need] = [pagesMax * pageBytes, bytes].map((each) => Math.ceil(each / 2 ** 20));
    throw new TandemError(
      'MEMORY',
      `Expected slots and kernels to fit into ${may} MiB of shared memory, got a need of ${need} MiB.`,
      { remedy: 'Choose a smaller batch size, or export the model with smaller inputs and outputs.' },
    );
  }
  return new Memory({ initial: pages, maximum: pages, shared: true });
}

/** Compiles what `assemble` gives. */
export function compileModule(bytes: Uint8Array<ArrayBuffer>): CompiledModule {
  return new Module(bytes);
}

/** The module's functions over this memory; `imports` are the functions that it names. */
export function instantiate(
  module: CompiledModule,
  memory: SharedMemory,
  imports: Readonly<Record<string, (...values: number[]) => number>> = {},
): WasmExports {
  return new Instance(module, { env: { memory, ...imports } }).exports;
}

/** A thread's own stretch of the slots' memory, where its kernels find what they read and keep their constants. */
export interface KernelMemory {
  readonly memory: SharedMemory;
  /** @returns byte offset of as many zeroed bytes, a multiple of {@link kernelAlignment}; they are never given back */
  allocate(bytes: number): number;
}

/** Cache lines, and any SIMD load. */
export const kernelAlignment = 64;

/** `bytes` as {@link KernelMemory.allocate} counts them. */
export function alignedBytes(bytes: number): number {
  return Math.ceil(bytes / kernelAlignment) * kernelAlignment;
}

/** The bytes from `byteOffset` (a multiple of {@link kernelAlignment}) on, which are zero and nobody else's. */
export function kernelMemory(memory: SharedMemory, byteOffset: number, bytes: number): KernelMemory {
  let next = byteOffset;
  const end = byteOffset + bytes;
  if (byteOffset % kernelAlignment !== 0 || end > memory.buffer.byteLength) {
    throw bug(`Kernels cannot have the bytes ${byteOffset} to ${end} of ${memory.buffer.byteLength}`);
  }
  return {
    memory,
    allocate(wanted) {
      const at = next;
      next += alignedBytes(wanted);
      if (next > end) throw bug(`Kernels were planned with ${bytes} bytes and want ${next - byteOffset}`);
      return at;
    },
  };
}

/** Kernel memory that is no part of slots. */
export function createKernelMemory(bytes: number): KernelMemory {
  const rounded = alignedBytes(bytes);
  return kernelMemory(createSharedMemory(rounded), 0, rounded);
}

/** Memory that all threads and, later, SIMD kernels share. */

/** `WebAssembly.Memory` as far as we use it; TypeScript declares it only for browsers. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
}
interface MemoryConstructor {
  new (descriptor: { initial: number; maximum: number; shared: true }): SharedMemory;
}

/** Size of a page of WebAssembly memory. */
export const pageBytes = 65_536;
const { Memory } = (globalThis as unknown as { readonly WebAssembly: { readonly Memory: MemoryConstructor } })
  .WebAssembly;

/** Zeroed memory of at least `bytes`, never grown, so that its buffer never moves. */
export function createSharedMemory(bytes: number): SharedMemory {
  const pages = Math.max(1, Math.ceil(bytes / pageBytes));
  return new Memory({ initial: pages, maximum: pages, shared: true });
}

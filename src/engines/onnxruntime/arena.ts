/** What a session's arena holds: the memory that ONNX Runtime took for weights and intermediate values and keeps. */
import type { Pointer } from '../native.ts';
import { create, loadOnnxRuntime } from './bindings.ts';

/**
 * Bytes that the session's arena on a device has taken and not given back, used or not; undefined where it does not tell.
 * @param memoryInfo OrtMemoryInfo of the device
 * @throws OnnxRuntimeError where the session has no allocator there
 */
export function arenaHeldBytes(session: Pointer, memoryInfo: Pointer): number | undefined {
  const ort = loadOnnxRuntime();
  const allocator = create((out) => ort.CreateAllocator(session, memoryInfo, out));
  try {
    const pairs = create((out) => ort.AllocatorGetStats(allocator, out));
    const text = ort.GetKeyValue(pairs, 'TotalAllocated');
    ort.ReleaseKeyValuePairs(pairs);
    return text === null ? undefined : Number(text);
  } finally {
    ort.ReleaseAllocator(allocator);
  }
}

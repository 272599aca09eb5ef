/** Every bound of a run: name, unit, where it comes from. */

/** Candidate batch sizes end here: larger ones leave the cache (measured: 38 % less at 65,536 rows). */
export const batchRowsMax = 8_192;
/** Sizes that the sweep at the start of a run tries: batchRowsMax and the powers of two below it. */
export const batchSizeCandidates = 6;
/** A slot of wide rows holds fewer of them. */
export const slotBytesMax = 64 * 2 ** 20;

/** Rows of a span of a split shard: starting a query costs about 1 ms, which this many rows hide. */
export const spanRowsTarget = 262_144;
/** Scores of a split shard that wait for their turn in the output; also bounds spans of wide scores. */
export const ringBytesMax = 64 * 2 ** 20;
/** Spans that fit into the ring for each prep thread: one in work, one waiting to be written. */
export const ringSpansPerThread = 2;

/** Threads of a process: beyond this, memory for stacks and engines outweighs what more threads read. */
export const threadsMax = 256;
/** Node, its threads' heaps and the engines' code, before a row is read (measured: 120 MB with two threads). */
export const processBytesBase = 110 * 2 ** 20;
/** A worker thread: V8 heap, decoder state, DuckDB's buffers for reading and writing one row group of output (measured). */
export const threadBytesBase = 45 * 2 ** 20;
/** A reader holds the compressed row group and the pages it has decoded (measured: 725 MB for a row group of 660 MB). */
export const rowGroupFactor = 1.1;
/** Share of the memory that is left that a run may take when nobody says how much. */
export const memoryShare = 0.9;

/** One WebAssembly.Memory holds the slots of all threads. */
export const wasmPagesMax = 65_536;

/** A planner that was told to stop is interrupted again so often: an interrupt between two queries is forgotten. */
export const interruptIntervalMs = 50;
/** How often the main thread looks at the counters. */
export const progressIntervalMs = 200;
/** Window of the rate "now". */
export const rateWindowMs = 3_000;

if (ringBytesMax < slotBytesMax) throw new RangeError('A ring must hold a slot. This is a bug.');

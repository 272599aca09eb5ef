/** Every bound of a run: name, unit, where it comes from. */

/** Candidate batch sizes end here: larger ones leave the cache (measured: 38 % less at 65,536 rows). */
export const batchRowsMax = 8_192;
/** Sizes that the sweep at the start of a run tries: batchRowsMax and the powers of two below it. */
export const batchSizeCandidates = 6;
/** Rows that a thread featurizes at once where no model runs: one vector of the writer's. Fewer where they are wide. */
export const featureBatchRows = 2_048;
/** Bytes of features in one record batch of an Arrow file: a writer holds two of them. */
export const arrowBatchBytesMax = 16 * 2 ** 20;
/** Files that features are spread over at most: five digits number them. */
export const outputShardsMax = 99_999;
/** A slot of wide rows holds fewer of them. */
export const slotBytesMax = 64 * 2 ** 20;

/** Rows of a span of a split shard: starting a query costs about 1 ms, which this many rows hide. */
export const spanRowsTarget = 262_144;
/**
 * Rows of a shard of which the taken ones are counted together: a span of a shard that is read in part is a number of
 * these. Few enough for spans of about equal work, and 16 numbers in the plan for a million rows.
 */
export const takenBlockRows = 65_536;
/** Rows that one query looks at where a condition's are counted: a second or less, after which progress and a limit show. */
export const countedRowsMax = 2 ** 24;
/** The same of the first query where there is a limit: a few row groups for each of some threads. */
export const countedRowsFirst = 2 ** 20;
/** Blocks that one query tells apart: eight comparisons a row. */
export const countedBlocksMax = 256;
/** How often the planner says how many rows it has looked at. */
export const countingIntervalMs = 200;
/** Scores of a split shard that wait for their turn in the output; also bounds spans of wide scores. */
export const ringBytesMax = 64 * 2 ** 20;
/** Spans that fit into the ring for each prep thread: one in work, one waiting to be written. */
export const ringSpansPerThread = 2;

/** Threads of a process: beyond this, memory for stacks and engines outweighs what more threads read. */
export const threadsMax = 256;
/** Threads that start while the planner plans: more would do a small run's work no sooner, and cost it their start. */
export const threadsAheadMax = 8;
/** Node, its threads' heaps and the engines' code, before a row is read (measured: 120 MB with two threads). */
export const processBytesBase = 110 * 2 ** 20;
/** A worker thread: V8 heap, decoder state, DuckDB's buffers for reading and writing one row group of output (measured). */
export const threadBytesBase = 45 * 2 ** 20;
/** A reader holds the compressed row group and the pages it has decoded (measured: 725 MB for a row group of 660 MB). */
export const rowGroupFactor = 1.1;
/** Rows of a row group of the output: DuckDB's own choice, and what threadBytesBase includes. */
export const rowGroupRowsDefault = 122_880;
/** Longer ones: a row group's row count fits into 31 bits in every reader, and a tenth of that fills a machine's memory. */
export const rowGroupRowsMax = 200_000_000;
/** A row group being written takes so many times its values: these and their encoded pages (measured: 2.8 for numbers and text). */
export const writtenRowFactor = 3;
/** Highest level of zstd. */
export const zstdLevelMax = 22;
/** Share of the memory that is left that a run may take when nobody says how much. */
export const memoryShare = 0.9;

/** Nodes of one tree that a kernel scores: far more than any library grows; a model's loops end here. */
export const treeNodesMax = 2 ** 20;

/** Leaves of a tree whose rows are split in slots, so that every slot has an address of 16 bits. */
export const slicedLeavesMax = 1_024;
/** Columns that such trees test: each takes over 100 bytes and 0.1 ms of one function, of which V8 compiles 7.6 million. */
export const slicedColumnsMax = 16_384;
/** Trees of fewer leaves are never walked faster than sliced (measured: half as fast at 256 leaves). */
export const walkedLeavesMin = 128;
/** Trees of as many leaves are mostly walked faster (measured: 1.3 times at 1,000 leaves). */
export const walkedLeavesLikely = 600;
/** Trees whose leaf numbers wait to be summed up: for 256 rows 16 KiB, which stay in the nearest cache. */
export const forestRunTreesMax = 64;
/** Rows that walk through a tree before the next one is read: their keys of 32 columns take 32 KiB. */
export const walkedRows = 256;

/** Rows of a CSV or JSON file that tell types and delimiter (measured: 0.3 s of one core with 10 columns). */
export const textSampleRows = 65_536;
/** First rows of a file that is no Parquet, with which a run is planned before all of them are turned into Parquet. */
export const stagedHeadRows = 4_096;
/** Bytes of Parquet for each byte of another format that must be free (measured: 0.29 of CSV with snappy), and of one that is packed. */
export const stagedShare = 0.6;
export const stagedSharePacked = 4;
/** Text that `inspect` counts the rows of: a second or two of one core. More is counted when it is scored. */
export const countedTextBytesMax = 256 * 2 ** 20;
/** How often the planner looks how much of a file is read. */
export const stagingIntervalMs = 200;

/** One WebAssembly.Memory holds the slots of all threads: 4 GiB but for a page, since kernels' loops end at the address behind their bytes. */
export const wasmPagesMax = 65_535;
/** Vectors that a thread reads into its kernel memory; columns beyond it (lists of thousands) are read elsewhere. */
export const kernelVectorBytesMax = 16 * 2 ** 20;
/** Rows, and columns, that SIMD kernels make before they are put in rows: as much as stays in the fastest cache. */
export const simdBlockRows = 128;
export const simdColumnsMax = 32;
/** Neighbours of one form that SIMD kernels put into rows four at a time: that code is four times as long to compile. */
export const simdQuadFeaturesMin = 8;
/** How long `--explain` featurizes the first rows of each tensor over and over. */
export const explainSeconds = 0.2;
export const explainStretches = 10;
/** SIMD kernels count boundaries one by one; at twice as many JavaScript's halving is faster (measured: 2.6 and 0.9 times). */
export const simdBoundariesMax = 64;

/** Rows of the shards, where a slot holds as many, on which a kernel of ours must agree with ONNX Runtime before it scores in its place. */
export const kernelSampleRows = 4_096;
/** Stretches of them, over the shards; row groups that they start in take so many compressed bytes, of the features, where the first does not take more. */
export const sampleStretchesMax = 8;
export const sampleBytesMax = 32 * 2 ** 20;
/** Of all bytes of the features, where that is less; so many are read at once whatever there is. */
export const sampleBytesShare = 1 / 8;
export const sampleBytesLeast = 2 ** 20;
/** Made-up rows on which it must agree as well, which take some milliseconds to make; of wide ones a quarter of what a slot holds. */
export const madeUpRowsMax = 512;
/** Of these so many where a model takes longer than it may. */
export const madeUpRowsLeast = 64;
/** A difference above this share of the largest score is no rounding. Linear models may differ less on made-up rows: their sums have another size there. */
export const kernelGrossDifference = 1e-3;
/** A tolerance above this one gets a warning: what it lets pass is no rounding. Above 1 it would let a probability be anything. */
export const kernelToleranceWide = 0.01;
export const kernelToleranceMax = 1;
/** Rows of ONNX Runtime's batches meanwhile: it is fastest at 1,024 to 2,048 (measured). */
export const kernelBatchRows = 2_048;
/** The comparison ends after so long: a model that takes longer has been compared on one batch at least. */
export const compareMsMax = 100;
/** Rows of the runs in which kernel and ONNX Runtime are timed; each counts with the size that it likes. */
export const raceBatchRows: readonly number[] = [512, 2_048];
/** Timing them takes so long, but so many rounds at least, the first of which prepares their shapes. */
export const raceMs = 20;
export const raceRoundsMin = 2;
/** On a machine that does other work too, up to so many rounds are waited for, so many times as long. */
export const raceRoundsWanted = 16;
export const racePatience = 4;
/** Whose best is so many times the fastest one's has lost, unless its code is still being optimized. */
export const raceLost = 2;
/** A job of fewer rows races a quarter of that time, and tries the likeliest form only: the others take 0.1 s and gain some percent. */
export const smallJobRows = 30_000_000;
export const raceMsSmall = 5;
/** A kernel that has lost gets another race of so long: V8 compiles its code well while it runs (measured on two busy cores: within 0.1 s). */
export const raceMsLost = 50;
/** First rows that a model is tried and timed on before anything is chosen: one query gives them, and its cost is not in their number. */
export const estimateRows = 256;
/** Runs of them of which the shortest counts, as many as fit into the time: two at least. */
export const estimateRuns = 16;
export const estimateMs = 5;
/** What choosing takes a process that has just started: sample, kernel, comparison, race (measured, time on a core: 50 ms, and 186 for trees of 0.13 MB). */
export const choiceMs = 50;
export const choiceMsTrees = 70;
/** It grows with the trees that are read and compiled. */
export const choiceMsPerMegabyteOfTrees = 500;
/** Nodes of a graph without trees that is looked at for kernels: exporters write a linear model with a dozen. */
export const kernelNodesMax = 64;
/** A weight of more bytes is not read while planning: no kernel's is nearly as large, tables of embeddings are. */
export const kernelWeightBytesMax = 64 * 2 ** 20;

/** A planner that was told to stop is interrupted again so often: an interrupt between two queries is forgotten. */
export const interruptIntervalMs = 50;
/** A GPU's thread looks for finished work so often while it waits for slots too. */
export const devicePollMs = 0.05;
/** A device that has nothing to do waits so long for more rows before it scores a batch that is not full. */
export const deviceStarvedMs = 5;
/** Of so many model runs on a GPU one is waited for: ONNX Runtime lets go of host memory only then. */
export const deviceSettledRuns = 256;
/** The GPU's thread that page-locked the slots waits so long for the other GPUs' threads before it lets go of them. */
export const deviceEndMsMax = 30_000;
/** Device buffers of a GPU: one is computed on while one fills and one is copied out. */
export const deviceBuffersDefault = 3;
/** Slots of a GPU run: long enough for a copy to reach the link's rate, short enough to fill soon. */
export const deviceSlotBytes = 8 * 2 ** 20;
/** Slots of a thread that hands them to a device: one fills while another is scored and a third is written. */
export const slotsPerThreadMin = 3;
/** Beyond this a thread's slots take more memory than they hide waiting. */
export const slotsPerThreadMax = 16;
/** Device memory that the buffers of one GPU may take, of what is free. */
export const deviceBufferShare = 0.25;
/** Nodes that an error names; the rest is counted. */
export const cpuNodesShownMax = 5;
/** How often the main thread looks at the counters. */
export const progressIntervalMs = 200;
/** Window of the rate "now". */
export const rateWindowMs = 3_000;
/** The time left is told once rows have been coming for so long, so often: the first ones say little about hours. */
export const timeLeftMsMin = 2_000;
export const timeLeftRisesMin = 4;

if (ringBytesMax < slotBytesMax) throw new RangeError('A ring must hold a slot. This is a bug.');

/** Batch sizes on a GPU end here: every model that was measured or read about is past its best rate by then. */
export const deviceBatchRowsMax = 2 ** 20;
/** The first size that the search on a GPU runs: what a row needs is not known before, and a budget is a promise. */
export const deviceStartRows = 1;
/** Sizes that one search may run: doubling from 1 to deviceBatchRowsMax, and a few between. The engine prepares each. */
export const deviceSizesMax = 26;
/** Runs after which the search takes the best so far: three minutes with batches of half a second. All score rows. */
export const deviceSearchRunsMax = 400;
/** Timed runs of a size before it is compared at all; one more is not timed, it prepares the shape. */
export const deviceSamplesMin = 3;
/** Latest timings kept of a size: their median is within 2 % where single runs differ by 15 %. */
export const deviceSamplesKept = 64;
/** Share that a prediction of memory stays below the bound: 5 to 10 % of an arena cannot be used (measured). */
export const deviceMemoryMargin = 0.07;
/** Share that a process takes at most of what other processes leave it: their needs may grow. */
export const deviceAvailableShare = 0.9;
/** Share of the device that this process leaves free when it has the choice: more than the next one, or it never rests. */
export const deviceFreeShareKept = 0.06;
/** Below this share free, other processes are about to run out: the batch size goes down. */
export const deviceFreeShareMin = 0.05;
/** Runs without trouble before a size that was given up for want of memory is tried again. */
export const deviceCleanRuns = 200;
/** Lines kept about how a batch size came about. */
export const deviceDecisionsMax = 100;

/** A shorter run says more about starting it than about the model: launches and wake-ups take microseconds. */
export const deviceRunSecondsMin = 0.5e-3;
/** A batch of fewer rows that runs out of memory says more about other processes than about itself. */
export const deviceTinyRows = 64;

if (deviceFreeShareKept <= deviceFreeShareMin) throw new RangeError('A batch size would never rest. This is a bug.');
if (deviceSizesMax < Math.log2(deviceBatchRowsMax) + 1) throw new RangeError('The search stops early. This is a bug.');

/** What a CUDA context is taken to hold where the driver does not tell (read about: 0.3 to 0.6 GiB on recent GPUs). */
export const deviceContextBytes = 640 * 2 ** 20;
/** What cuBLAS and cuDNN are taken to need before they have run: a Hopper workspace of cuBLAS is 32 MiB for each handle. */
export const deviceWorkspaceBytes = 128 * 2 ** 20;
/** Runs after which libraries have taken what they need. */
export const deviceWarmUpRuns = 3;
/** Between two looks at a device's memory once the batch size is found: a look may take a millisecond. */
export const deviceLookIntervalMs = 100;

/** What `tandem tune` takes by default: some forty trials. */
export const tuneSecondsDefault = 60;
export const tuneSecondsMax = 86_400;
/** Trials that fit into the time, if each took nothing but its measuring: starting one costs about as much again. */
export const tuneTrialsPlanned = 80;
/** Steady work of a trial in seconds: below the first, starting and stopping show; above the second, nothing is gained. */
export const tuneTrialSecondsMin = 0.2;
export const tuneTrialSecondsMax = 5;
/** Shards of a trial: enough for every thread to have some of its own, few enough to plan them in no time. */
export const tuneShardsMax = 256;
/** Trials of each setting that may still win, at least and at most: a median of fewer is chance. */
export const tuneRoundsMin = 3;
export const tuneRoundsMax = 7;
/** How often a trial looks at the counters. */
export const tuneTickMs = 10;

/** Between two samples of a CPU profile: V8's default, a signal to the thread each time. */
export const profileIntervalMicroseconds = 1_000;
/** A CPU profile that nobody gave a length. */
export const profileSecondsDefault = 10;
/** 600,000 samples of each thread: some ten MB of JSON. */
export const profileSecondsMax = 600;
/** A profile of a run that is still searching for its batch size begins so long after the first rows. */
export const profileWarmUpMsMax = 2_000;
/** Functions that take less of a thread's time cannot be seen in its flame graph, and deeper ones not be read. */
export const flameShareMin = 0.001;
export const flameDepthMax = 40;
/** Functions that `tandem profile` names: what is below them is noise. */
export const hotFunctionsShown = 15;
/** A thread that is asked for its profile comes by between two batches, or is left out after so long. */
export const profileAnswerMsMax = 5_000;

/** A device's times are told against an event at most so old: a float32 of milliseconds is then exact to 8 µs. */
export const eventOriginMsMax = 60_000;
/** A run on GPUs that was steady for so long measures at its end how fast the model is without copies, for this share of it. */
export const fedSteadyMsMin = 2_000;
export const fedShare = 0.02;
export const fedSecondsMax = 0.5;
/** Model runs of that measurement, whose launches all wait in a queue. */
export const fedRunsMax = 1_000;
/** How often a thread that works finds out whether it slept meanwhile: asking the system takes 3 µs. */
export const threadUsageIntervalMs = 3;
/** How often a thread notes how many bytes it has read: asking the system takes 10 µs. */
export const threadBytesIntervalMs = 250;
/** Events that a thread keeps for a trace until the main thread takes them: half a second of the fastest work. */
export const traceEventsPerThread = 16_384;
/** Measures of one GPU's utilization that are further apart need a word: their own errors are some points. */
export const utilizationApartMax = 0.1;

/** Samples of a run that its record keeps: a chart is about as many points wide. An even number: neighbours are merged. */
export const runSamplesMax = 300;
/** Shards that a record lists; all are counted. A listed one takes some 150 bytes. */
export const recordShardsMax = 10_000;
/** Spans of the window that a record shows of its threads: more cannot be told apart in a picture. */
export const timelineSpansMax = 2_000;
/** A trace file ends here: viewers in a browser hold all of it in memory, several times its size. */
export const traceFileBytesMax = 256 * 2 ** 20;
/** Text of a trace that waits for a slow disk; what comes meanwhile is left out. */
export const tracePendingBytesMax = 16 * 2 ** 20;
/** How often a sheet is read again that its thread is just writing: that takes it a microsecond. */
export const sheetReadsMax = 1_000;

if (runSamplesMax % 2 !== 0) throw new RangeError('Samples are merged in pairs. This is a bug.');

/** Columns of a line of a contract that `init` writes, as editors show side by side. */
export const lineColumnsMax = 110;
/** Rows that `init` has the training library score for golden.parquet, from so many shards: a second's work, and each sees some. */
export const goldenRowsMax = 1_000;
export const goldenShardsMax = 10;
/** Beyond it scores that differ are a fault, not rounding: no advice to widen a tolerance. */
export const goldenGrossDifference = 1e-3;
/** Categories that `tandem fit` counts of one feature: their texts take some 100 bytes each in every thread. */
export const fitCategoriesMax = 1_000_000;
/** Categories that it writes: a list of more makes a contract that nobody reads; beyond it `hash` is the better feature. */
export const fitListMax = 100_000;
/** Buckets of one feature by quantiles: a boundary has to be looked for in 32 KiB of counts. */
export const fitQuantilesMax = 1_000;
/** Rows of a fit's unit of work, at least: whole row groups. Its sums are added in the order of the shards, whoever made them. */
export const fitUnitRows = 1_048_576;
/** Counts by which a thread looks for quantiles in one pass; features beyond it wait for the next pass. */
export const fitCountBytesMax = 128 * 2 ** 20;
/** Values that are collected and sorted where a quantile lies among no more of them: as much memory as half of their counts. */
export const fitCollectedMax = 2_048;

/** Rows over which `check --against` finds exact quantiles, and sorts to see whether rows are in another order: 8 bytes each. */
export const knownExactRowsMax = 10_000_000;
/** Rows of the sample in which it looks for scores of the same order with other values. */
export const knownSampleRows = 100_000;
/** Fewer rows look like any pattern. */
export const knownPatternRowsMin = 3;
/** Counts of hashes by which it sees keys that name many rows before it joins by them: 512 KiB. */
export const knownKeyBuckets = 65_536;
/** Rows that `check --row` reads around its row: kernels take four or more, and a run's form of them shows in a few. */
export const rowWayRows = 64;
/** Worst rows of a column, and pairs of labels, that it shows unless it is asked for more. */
export const knownShown = 10;
/** Worst rows of a column that may be asked for: they stand in one report. */
export const knownWorstMax = 10_000;

/** Reads the record of a run back: from an output folder, its `_report.json`, a record, or a report. */
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { TandemError } from '../errors.ts';
import { activities, tracedActivities } from '../measure/activities.ts';
import { ledgerParts, type LedgerPartName, type RunRecord } from '../run-record.ts';
import { recordsElement } from './report.ts';

/** JSON has no NaN and no infinities: they are written as strings. Earlier versions wrote null, which is not 0. */
const figure = z.union([
  z.number(),
  z.enum(['NaN', 'Infinity', '-Infinity']).transform(Number),
  z.null().transform(() => NaN),
]);
const text = z.string();
const texts = z.array(text);
const activity = z.enum(activities);
const partName = z.enum(Object.keys(ledgerParts) as [LedgerPartName, ...LedgerPartName[]]);
const taken = { seconds: figure, share: figure };

const threadForm = z.looseObject({
  name: text,
  wallSeconds: figure,
  parts: z.array(z.looseObject({ activity, ...taken })),
  rowCount: figure,
});
const ledgerForm = z.looseObject({
  wallSeconds: figure,
  scorers: z.array(
    z.looseObject({
      name: text,
      kind: z.enum(['cpu', 'gpu']),
      wallSeconds: figure,
      parts: z.array(z.looseObject({ name: partName, ...taken })),
      rowCount: figure,
      shapeCount: figure,
    }),
  ),
  prep: z.array(threadForm),
  writer: threadForm.optional(),
  storage: z.looseObject({
    fetchedBytes: figure,
    storageBytes: figure,
    bytesPerSecond: figure,
    neededBytesPerSecond: figure,
    isToldApart: z.boolean(),
  }),
  utilization: z.array(
    z.looseObject({
      device: text,
      computeBusy: figure,
      reported: z.looseObject({ share: figure, counts: text }).optional(),
      efficiency: figure.optional(),
      notes: texts,
    }),
  ),
  verdict: z.looseObject({
    bottleneck: text,
    sentence: text,
    whatIf: z.looseObject({ change: text, rowsPerSecond: figure }).optional(),
  }),
});
const decisionForm = z.looseObject({ device: text, rows: figure, reason: text, isSearch: z.boolean() });
const resultForm = z.looseObject({
  rowsIn: figure,
  rowsOut: figure,
  shards: figure,
  shardsSkipped: figure,
  wallSeconds: figure,
  rowsPerSecond: figure,
  batchSize: figure.optional(),
  threads: figure,
  device: text,
  devices: z.array(z.looseObject({ name: text, label: text, memoryPeakBytes: figure })),
  decisions: z.array(decisionForm),
  precision: text,
  output: text,
  outputBytes: figure,
  ledger: ledgerForm.optional(),
  warnings: texts,
});
const profileForm = z.looseObject({
  nodes: z.array(
    z.looseObject({
      id: z.number(),
      callFrame: z.looseObject({ functionName: text, url: text, lineNumber: z.number(), columnNumber: z.number() }),
      children: z.array(z.number()).optional(),
    }),
  ),
  samples: z.array(z.number()).optional(),
  timeDeltas: z.array(z.number()).optional(),
});
const spanForm = z.looseObject({
  activity: z.enum(tracedActivities),
  startMs: figure,
  durationMs: figure,
  shardIndex: z.number().optional(),
  firstRow: z.number().optional(),
  rowCount: z.number().optional(),
});
/** What a report shows. What else is there stays: a later version may have added it. */
const recordForm = z.looseObject({
  version: z.literal(1),
  command: texts.optional(),
  startedAt: text,
  environment: z.looseObject({
    tandem: text,
    node: text,
    duckDb: text,
    onnxRuntime: text,
    cpu: text,
    cores: figure,
    memoryBytes: figure,
    system: text,
    gpus: texts,
  }),
  model: z.looseObject({ path: text, sha256: text, contractSha256: text }),
  settings: z.record(text, text),
  window: z
    .looseObject({
      fromSeconds: figure,
      seconds: figure,
      missing: texts,
      heaps: z.array(z.looseObject({ thread: text, bytes: figure })),
    })
    .optional(),
  ended: text,
  result: resultForm,
  shards: z.array(
    z.looseObject({ name: text, rowCount: figure, bytes: figure, outputBytes: figure, doneAtSeconds: figure }),
  ),
  samples: z.array(
    z.looseObject({
      atSeconds: figure,
      rowsDone: figure,
      rowsPerSecond: figure,
      shares: z.partialRecord(activity, figure),
      queueDepths: z.array(figure),
      batchSize: figure.optional(),
      residentBytes: figure,
      deviceBytes: z.array(figure),
    }),
  ),
  decisions: z.array(decisionForm.extend({ atSeconds: figure })),
  timeline: z
    .looseObject({
      fromMs: figure,
      toMs: figure,
      tracks: z.array(z.looseObject({ name: text, spans: z.array(spanForm) })),
    })
    .optional(),
  profiles: z.array(z.looseObject({ thread: text, profile: profileForm })),
});

/** What people give instead, by its first bytes, and what it is good for. */
const others = [
  {
    start: /^PAR1/,
    got: 'a Parquet file',
    remedy:
      '`tandem inspect` shows what is in it; the run that wrote it left _report.json at the top of its output folder.',
  },
  {
    start: /^\[\s*\{.{0,100}"tandem score"/s,
    got: 'the trace of a run',
    remedy: 'Perfetto (ui.perfetto.dev) opens it; `tandem score --report <file>` writes a report, too.',
  },
  {
    start: /^\{"nodes":\[/,
    got: 'the CPU profile of a thread',
    remedy: 'Chrome (DevTools, Performance) and speedscope.app open it; give the folder that it lies in.',
  },
];

/** The name of a run's record in its output folder. */
const recordName = '_report.json';
/** And in the folder of `tandem profile`. */
const profileName = 'record.json';
const expected = 'an output folder, its _report.json, or a report that Tandem wrote';

/**
 * The records at a path: one, or as many as a report shows.
 * @throws USAGE where there is no such file, BAD_OUTPUT where it holds no record
 */
export function readRecords(path: string): readonly [RunRecord, ...RunRecord[]] {
  const { file, content } = readContent(path);
  const [first, ...others] = jsonOf(file, content).map((record) => checkRecord(file, record));
  if (first === undefined) throw badRecord(file, 'a report of no run');
  return [first, ...others];
}

function readContent(path: string): { readonly file: string; readonly content: string } {
  let file = path;
  try {
    if (statSync(path).isDirectory())
      file =
        [join(path, recordName), join(path, profileName)].find((each) => existsSync(each)) ?? join(path, recordName);
    refuseOthers(file);
    return { file, content: readFileSync(file, 'utf8') };
  } catch (cause) {
    if (cause instanceof TandemError) throw cause;
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    const got = !isMissing
      ? (cause as Error).message
      : file === path
        ? 'no such file'
        : `a folder without ${recordName}`;
    throw new TandemError('USAGE', `Expected ${path} to be ${expected}, got ${got}.`, {
      remedy:
        'A run leaves its record in its output folder when it ends; `tandem score --report <file>` writes a report.',
      cause,
    });
  }
}

/** Before all of it is read: shards may be larger than any text. @throws BAD_OUTPUT */
function refuseOthers(file: string): void {
  const bytes = Buffer.alloc(200);
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, bytes);
  } finally {
    closeSync(descriptor);
  }
  const found = others.find(({ start }) => start.test(bytes.toString('latin1')));
  if (found !== undefined) throw badRecord(file, found.got, { remedy: found.remedy });
}

function jsonOf(file: string, content: string): readonly unknown[] {
  const start = content.indexOf(recordsElement);
  const isHtml = /^\s*</.test(content);
  if (isHtml && start < 0) throw badRecord(file, 'HTML without the record of a run');
  try {
    if (!isHtml) return [JSON.parse(content) as unknown];
    const from = start + recordsElement.length;
    const records = JSON.parse(content.slice(from, content.indexOf('</script>', from))) as unknown;
    return Array.isArray(records) ? records : [records];
  } catch (cause) {
    throw badRecord(file, `no JSON: ${(cause as Error).message}`, { cause });
  }
}

function checkRecord(file: string, content: unknown): RunRecord {
  const version = (content as { readonly version?: unknown } | null)?.version;
  if (typeof version === 'number' && version !== 1) {
    throw badRecord(file, `version ${version} of a record; this Tandem reads version 1`);
  }
  const { success, data, error } = recordForm.safeParse(content);
  // The form says what is used of a record; a field that JSON leaves out is the one that is undefined.
  if (success) return data as unknown as RunRecord;
  const issue = error.issues[0]!;
  throw badRecord(file, `${issue.path.length === 0 ? '' : `${issue.path.join('.')}: `}${issue.message}`);
}

function badRecord(file: string, got: string, options: { remedy?: string; cause?: unknown } = {}): TandemError {
  return new TandemError('BAD_OUTPUT', `Expected ${file} to hold the record of a run, got ${got}.`, {
    remedy: `Give ${expected}.`,
    ...options,
  });
}

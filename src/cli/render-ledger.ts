/** A ledger as a few lines: what each scorer and each thread did with its time. Pure. */
import { lookOfActivity, lookOfPart } from '../report/parts.ts';
import type { Ledger } from '../run-record.ts';
import { formatTable } from './format.ts';

/** Parts below it in every column are summed. */
const shareShownMin = 0.005;
/** More GPUs than this are one column, their mean. */
const columnsMax = 4;
const otherLabel = 'other';

interface Column {
  readonly title: string;
  /** By label, in the order in which they are shown. */
  readonly shares: ReadonlyMap<string, number>;
}

/** Rows are parts, columns are scorers, prep threads and the writer; lanes of a CPU are one column, their mean. */
export function renderLedger(ledger: Ledger): string {
  const columns = ledgerColumns(ledger);
  const labels = [...new Set(columns.flatMap(({ shares }) => [...shares.keys()]))];
  const shown = labels.filter((label) => columns.some(({ shares }) => (shares.get(label) ?? 0) >= shareShownMin));
  const rows = shown.map((label) => [label, ...columns.map(({ shares }) => percent(shares.get(label)))]);
  const rest = columns.map(({ shares }) => {
    const left = labels.filter((label) => !shown.includes(label) && shares.has(label));
    return left.length === 0 ? undefined : left.reduce((sum, label) => sum + shares.get(label)!, 0);
  });
  if (rest.some((share) => share !== undefined && share >= shareShownMin / 10)) {
    rows.push([otherLabel, ...rest.map(percent)]);
  }
  const titles = columns.map(({ title }) => ({ title, align: 'right' as const }));
  return formatTable([{ title: 'of the time' }, ...titles], rows);
}

function ledgerColumns({ scorers, prep, writer }: Ledger): Column[] {
  const lanes = scorers.map(({ name, parts }) => ({
    title: name,
    shares: sharesOf(parts.map((part) => [lookOfPart(part.name).label, part.share])),
  }));
  const isMerged = scorers[0]?.kind === 'cpu' || lanes.length > columnsMax;
  const noun = scorers[0]?.kind === 'cpu' ? 'thread' : 'GPU';
  const threads = [...prep, ...(writer === undefined ? [] : [writer])].map(({ name, parts }) => ({
    title: name,
    shares: sharesOf(parts.map((part) => [lookOfActivity(part.activity).label, part.share])),
  }));
  return [
    ...(isMerged ? [merged(lanes, noun)] : lanes),
    ...(prep.length === 0 ? [] : [merged(threads.slice(0, prep.length), 'prep thread')]),
    ...threads.slice(prep.length),
  ];
}

function sharesOf(parts: readonly (readonly [label: string, share: number])[]): ReadonlyMap<string, number> {
  return new Map(parts.filter(([, share]) => share > 0));
}

/** The mean of columns of the same kind. */
function merged(columns: readonly Column[], noun: string): Column {
  const shares = new Map<string, number>();
  for (const column of columns)
    for (const [label, share] of column.shares) shares.set(label, (shares.get(label) ?? 0) + share / columns.length);
  return { title: `${columns.length} ${noun}${columns.length === 1 ? '' : 's'}`, shares };
}

function percent(share: number | undefined): string {
  return share === undefined ? '' : `${(share * 100).toFixed(1)} %`;
}

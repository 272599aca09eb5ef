/** What `tandem doctor` shows. Pure. */
import type { DoctorItem, DoctorReport, DoctorState } from '../doctor/report.ts';
import { printable } from './format.ts';

const signs: Readonly<Record<DoctorState, string>> = {
  ok: 'ok',
  bad: 'NO',
  spare: '-',
  unasked: '?',
  untried: '?',
};

export function renderDoctor(report: DoctorReport): string {
  return [
    section('every run needs', report.items, 'every run'),
    section('a run on a GPU also needs', report.items, 'CUDA'),
    remedySection('to do', report.items, 'bad'),
    remedySection('only for some models, or nice to have', report.items, 'spare'),
    lookedSection(report),
    verdict(report),
  ]
    .filter((part) => part !== undefined)
    .join('\n\n');
}

function section(title: string, items: readonly DoctorItem[], what: DoctorItem['for']): string | undefined {
  const own = items.filter((item) => item.for === what);
  if (own.length === 0) return undefined;
  const width = Math.max(...own.map(({ name }) => name.length));
  const lines = own.map(({ name, state, found, needed }) => {
    const wanted = state === 'ok' ? '' : `; needed: ${needed}`;
    return `  ${signs[state].padEnd(2)}  ${name.padEnd(width)}  ${printable(found)}${wanted}`;
  });
  return [title, ...lines].join('\n');
}

function remedySection(title: string, items: readonly DoctorItem[], state: DoctorState): string | undefined {
  const lines = remedyLines(items.filter((item) => item.state === state));
  return lines.length === 0 ? undefined : [title, ...lines.map((line) => `  ${line}`)].join('\n');
}

/** Each advice once, after the names of all items that it mends. */
export function remedyLines(items: readonly DoctorItem[]): string[] {
  const names = new Map<string, string[]>();
  for (const { name, remedy } of items) {
    if (remedy !== undefined) names.set(remedy, [...(names.get(remedy) ?? []), name]);
  }
  return [...names].map(([remedy, whose]) => `${whose.join(', ')}: ${printable(remedy)}`);
}

function lookedSection({ items, looked }: DoctorReport): string | undefined {
  if (looked === undefined || !items.some(({ state, found }) => state === 'bad' && found === 'not found')) {
    return undefined;
  }
  const line = (what: string, folders: readonly string[]) =>
    `  for ${what}: ${folders.length === 0 ? 'none of the usual folders exists' : printable(folders.join(', '))}`;
  return [
    'looked in',
    line('the provider', looked.provider),
    `${line('the libraries', looked.libraries)}, and where ldconfig points`,
  ].join('\n');
}

function verdict({ works, notes }: DoctorReport): string {
  const parts = [
    `--device cpu ${works.cpu ? 'works' : 'does not work'}`,
    ...(works.cuda === undefined ? [] : [`--device cuda ${works.cuda ? 'has all it needs' : 'cannot work'}`]),
  ];
  return [parts.join('; '), ...notes].join('\n');
}

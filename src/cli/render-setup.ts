/** What `tandem setup cuda` shows. Pure. */
import type { SetupPart, SetupReport } from '../setup/setup-cuda.ts';
import { formatBytes, formatTable, printable } from './format.ts';

const words: Readonly<Record<SetupPart['state'], string>> = {
  there: 'there already',
  elsewhere: 'on this machine already',
  missing: 'to fetch',
  fetched: 'fetched',
};

export function renderSetup({ folder, dryRun, parts, totals }: SetupReport): string {
  const rows = parts.map(({ name, state, downloadBytes, diskBytes }) => [
    name,
    words[state],
    downloadBytes === 0 ? '' : formatBytes(downloadBytes),
    formatBytes(diskBytes),
  ]);
  const table = formatTable(
    [
      { title: 'what' },
      { title: 'state' },
      { title: 'download', align: 'right' },
      { title: 'on disk', align: 'right' },
    ],
    rows,
  );
  return [`folder ${printable(folder)}`, table, closing(dryRun, parts, totals)].join('\n');
}

function closing(dryRun: boolean, parts: readonly SetupPart[], totals: SetupReport['totals']): string {
  if (parts.every(({ state }) => state === 'there' || state === 'elsewhere')) {
    return 'nothing to fetch; `tandem doctor --device cuda` tries it';
  }
  const amounts = `${formatBytes(totals.downloadBytes)}, ${formatBytes(totals.diskBytes)} on disk`;
  return dryRun ? `would fetch ${amounts}` : `fetched ${amounts}; \`tandem doctor --device cuda\` tries it`;
}

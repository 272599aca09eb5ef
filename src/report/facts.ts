/** The parts of a report that are words and figures: verdict, shards, environment, and two runs side by side. */
import { counted, formatBytes, formatCount, formatRate, formatSeconds, printable } from '../cli/format.ts';
import type { RunRecord, RunWindow } from '../run-record.ts';
import { peakBytes, type Comparison } from './comparison.ts';
import { markup, type Markup } from './markup.ts';
import { numberColumn, reportTable } from './table.ts';

/** Rows of the shard table. */
export const shardsShownMax = 200;

export function verdictPart(record: RunRecord): Markup {
  const { result, startedAt, ended, window } = record;
  const { ledger } = result;
  const sentence = ledger?.verdict.sentence ?? 'nothing to do: all shards were whole already';
  const whatIf = ledger?.verdict.whatIf;
  const scored =
    window === undefined
      ? `${counted(result.rowsOut, 'row')} of ${counted(result.shards, 'shard')} in ${formatSeconds(result.wallSeconds)}`
      : `${windowWords(window)}, ${counted(result.rowsOut, 'row')}`;
  const more =
    whatIf === undefined
      ? undefined
      : markup`<p class="whatif">With <strong>${whatIf.change}</strong>: ${formatRate(whatIf.rowsPerSecond)}, as far as the measured rates say.</p>`;
  return markup`<p class="when">${startedAt.replace('T', ' ').slice(0, 19)} · ${record.model.path} · ${scored}</p>
<p class="verdict">${upperFirst(sentence)}.</p>${more}
${ended === 'done' ? undefined : markup`<p class="warning">This run ended with ${ended}: what follows is what was known by then.</p>`}
${(window?.missing ?? []).map((thread) => markup`<p class="warning">${thread} ended no batch in that time: it has no CPU profile.</p>`)}
${result.warnings.map((warning) => markup`<p class="warning">${warning}</p>`)}
${tiles(record)}`;
}

/** `profile of 10.0 s, from second 3.2 of the run on` */
export function windowWords({ fromSeconds, seconds }: RunWindow): string {
  return `profile of ${seconds.toFixed(1)} s, from second ${fromSeconds.toFixed(1)} of the run on`;
}

/** A device keeps its name. */
function upperFirst(text: string): string {
  return /^\w+:\d/.test(text) ? text : text.slice(0, 1).toUpperCase() + text.slice(1);
}

function tiles(record: RunRecord): Markup {
  const { result } = record;
  const peak = peakBytes(record);
  const shown: readonly (readonly [string, string | undefined])[] = [
    ['rate', formatRate(result.rowsPerSecond)],
    [record.window === undefined ? 'wall time' : 'profiled', formatSeconds(result.wallSeconds)],
    ['device', result.device],
    ['batch size', result.batchSize === undefined ? undefined : formatCount(result.batchSize)],
    ['threads', formatCount(result.threads)],
    ['memory at its peak', peak === 0 ? undefined : formatBytes(peak)],
  ];
  const entries = shown.flatMap(([name, value]) =>
    value === undefined ? [] : [markup`<div><dt>${name}</dt><dd>${value}</dd></div>`],
  );
  return markup`<dl class="tiles">${entries}</dl>`;
}

/** @param ledgers of both runs, as markup */
export function comparisonPart(comparison: Comparison, names: readonly [string, string], ledgers: Markup): Markup {
  const { sentence, notes, changed, effects, partsOf } = comparison;
  const named = names.map((title) => ({ title, kind: 'name' }) as const);
  const changes =
    changed.length === 0
      ? markup`<p class="missing">Nothing that is recorded.</p>`
      : reportTable(
          [{ title: '' }, ...named],
          changed.map(({ what, before, after }) => [what, before ?? '—', after ?? '—']),
        );
  const effectRows = effects.map(({ what, before, after, difference, direction }) => [
    what,
    before,
    after,
    markup`<span class="${direction}">${difference}</span>`,
  ]);
  return markup`<header><p class="when">${names[0]} and ${names[1]}</p><p class="verdict">${upperFirst(sentence)}.</p></header>
${notes.map((note) => markup`<p class="warning">${note}</p>`)}
<section><h2>What changed</h2>${changes}</section>
<section><h2>What it did</h2>
<p>Parts are means over the scorers, as shares of their ${partsOf}; a share may grow because another part has become faster.</p>
${ledgers}
${reportTable([{ title: '' }, numberColumn(names[0]), numberColumn(names[1]), numberColumn('difference')], effectRows)}</section>\n`;
}

export function shardPart({ shards }: RunRecord): Markup {
  if (shards.length === 0) {
    return markup`<section><h2>Shards</h2><p class="missing">No shard was finished in this run.</p></section>\n`;
  }
  const rows = shards
    .slice(0, shardsShownMax)
    .map(({ name, rowCount, bytes, outputBytes, doneAtSeconds }) => [
      name,
      formatCount(rowCount),
      formatBytes(bytes),
      formatBytes(outputBytes),
      doneAtSeconds.toFixed(1),
    ]);
  const more =
    shards.length > shardsShownMax
      ? markup`<p>The first ${shardsShownMax} of ${formatCount(shards.length)}; the record has more.</p>`
      : undefined;
  const columns = ['rows', 'size', 'output', 'whole at second'].map(numberColumn);
  return markup`<section><h2>Shards</h2>${more}
${reportTable([{ title: 'shard', kind: 'name' }, ...columns], rows, true)}</section>\n`;
}

export function environmentPart(record: RunRecord): Markup {
  const { environment, model, settings, command, result } = record;
  const { tandem, node, duckDb, onnxRuntime, cpu, cores, memoryBytes, system, gpus } = environment;
  const ran = {
    'model file': model.path,
    'model sha256': model.sha256,
    'contract sha256': model.contractSha256,
    ...settings,
    output: `${result.output} (${formatBytes(result.outputBytes)})`,
  };
  const there = {
    GPUs: gpus.length === 0 ? 'none used' : gpus.join(', '),
    CPU: `${cpu}, ${counted(cores, 'core')} for this process`,
    memory: formatBytes(memoryBytes),
    system,
    Tandem: tandem,
    Node: node,
    DuckDB: duckDb,
    'ONNX Runtime': onnxRuntime,
  };
  const line = command === undefined ? undefined : markup`<pre>${command.map(shellWord).join(' ')}</pre>`;
  return markup`<section><h2>How it was run</h2>
${line ?? markup`<p class="missing">From TypeScript, not by a command.</p>`}
${facts(ran)}<h3>Where</h3>${facts(there)}</section>\n`;
}

function facts(entries: Readonly<Record<string, string>>): Markup {
  return markup`<dl class="facts">${Object.entries(entries).map(([name, value]) => markup`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

/** For a POSIX shell: what is not plain is quoted. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${printable(word).replaceAll("'", `'\\''`)}'`;
}

/** The parts of a report that are words and figures: verdict, shards, environment, and two runs side by side. */
import { counted, formatBytes, formatCount, formatRate, formatSeconds, printable } from '../cli/format.ts';
import type { RunRecord } from '../run-record.ts';
import { peakBytes, type Comparison } from './comparison.ts';
import { markup, type Markup } from './markup.ts';

/** Rows of the shard table. */
export const shardsShownMax = 200;

export function verdictPart(record: RunRecord): Markup {
  const { result, startedAt } = record;
  const { ledger } = result;
  const sentence = ledger?.verdict.sentence ?? 'nothing to do: all shards were whole already';
  const whatIf = ledger?.verdict.whatIf;
  const scored = `${counted(result.rowsOut, 'row')} of ${counted(result.shards, 'shard')} in ${formatSeconds(result.wallSeconds)}`;
  const more =
    whatIf === undefined
      ? undefined
      : markup`<p class="whatif">With <strong>${whatIf.change}</strong>: ${formatRate(whatIf.rowsPerSecond)}, as far as the measured rates say.</p>`;
  return markup`<p class="when">${startedAt.replace('T', ' ').slice(0, 19)} · ${record.model.path} · ${scored}</p>
<p class="verdict">${upperFirst(sentence)}.</p>${more}
${result.warnings.map((warning) => markup`<p class="warning">${warning}</p>`)}
${tiles(record)}`;
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
    ['wall time', formatSeconds(result.wallSeconds)],
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

export function comparisonPart(comparison: Comparison, names: readonly [string, string]): Markup {
  const changed = comparison.changed.map(
    ({ what, before, after }) =>
      markup`<tr><td>${what}</td><td class="name">${before ?? '—'}</td><td class="name">${after ?? '—'}</td></tr>`,
  );
  const effects = comparison.effects.map(
    ({ what, before, after, difference, direction }) =>
      markup`<tr><td>${what}</td><td class="number">${before}</td><td class="number">${after}</td><td class="number ${direction}">${difference}</td></tr>`,
  );
  const head = markup`<th>${names[0]}</th><th>${names[1]}</th>`;
  return markup`<section><h2>${names[0]} and ${names[1]}: ${comparison.sentence}</h2>
${comparison.notes.map((note) => markup`<p class="warning">${note}</p>`)}
<h3>What changed</h3>
${
  changed.length === 0
    ? markup`<p class="missing">Nothing that is recorded.</p>`
    : markup`<div class="scrolls"><table><thead><tr><th></th>${head}</tr></thead><tbody>${changed}</tbody></table></div>`
}
<h3>What it did</h3>
<div class="scrolls"><table><thead><tr><th></th><th class="number">${names[0]}</th><th class="number">${names[1]}</th><th class="number">difference</th></tr></thead>
<tbody>${effects}</tbody></table></div></section>\n`;
}

export function shardPart({ shards }: RunRecord): Markup {
  if (shards.length === 0) {
    return markup`<section><h2>Shards</h2><p class="missing">No shard was finished in this run.</p></section>\n`;
  }
  const rows = shards.slice(0, shardsShownMax).map(
    ({ name, rowCount, bytes, outputBytes, doneAtSeconds }) =>
      markup`<tr><td class="name">${name}</td><td class="number">${formatCount(rowCount)}</td><td class="number">${formatBytes(bytes)}</td>
<td class="number">${formatBytes(outputBytes)}</td><td class="number">${doneAtSeconds.toFixed(1)}</td></tr>`,
  );
  const left = shards.length - shardsShownMax;
  const more =
    left > 0
      ? markup`<p>The first ${shardsShownMax} of ${formatCount(shards.length)}; the record has all.</p>`
      : undefined;
  return markup`<section><h2>Shards</h2>${more}<div class="scrolls tall" tabindex="0"><table>
<thead><tr><th>shard</th><th class="number">rows</th><th class="number">size</th><th class="number">output</th><th class="number">whole at second</th></tr></thead>
<tbody>${rows}</tbody></table></div></section>\n`;
}

export function environmentPart(record: RunRecord): Markup {
  const { environment, model, settings, command, result } = record;
  const { tandem, node, duckDb, onnxRuntime, cpu, cores, memoryBytes, system, gpus } = environment;
  const ran = {
    'model file': model.path,
    'model sha256': model.sha256,
    'contract sha256': model.contractSha256,
    output: `${result.output} (${formatBytes(result.outputBytes)})`,
    ...settings,
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

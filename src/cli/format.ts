/** Numbers, sizes, times and tables as people read them. Pure; none of these functions knows what it renders. */

/** `1,269,000`; not by Intl, which takes 10 ms to load what it knows of other languages. */
export function formatCount(count: number): string {
  return count.toFixed(0).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `1 shard`, `2 shards` */
export function counted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** `17 B`, `3.2 KiB`, `12.9 MiB`, `2.00 GiB` */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${formatCount(bytes)} B`;
  if (bytes < 2 ** 20) return `${(bytes / 1024).toFixed(1)} KiB`;
  if (bytes < 2 ** 30) return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}

/** `1 row/s`, `812 rows/s`, `38,400 rows/s`, `2.61 M rows/s` */
export function formatRate(rowsPerSecond: number): string {
  return rowsPerSecond < 999_999.5
    ? `${counted(Math.round(rowsPerSecond), 'row')}/s`
    : `${(rowsPerSecond / 1e6).toFixed(2)} M rows/s`;
}

/** `0.4 s`, `16 s`, `2 min 05 s`, `1 h 02 min` */
export function formatSeconds(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${twoDigits(whole % 60)} s`;
  const minutes = Math.round(seconds / 60);
  return `${formatCount(Math.floor(minutes / 60))} h ${twoDigits(minutes % 60)} min`;
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}

/** A difference or a tolerance: `0`, `1.2e-7`, `0.0312`, `infinite` */
export function formatDifference(value: number): string {
  if (value === 0) return '0';
  if (!Number.isFinite(value)) return 'infinite';
  return Math.abs(value) < 0.001 ? trimZeros(value.toExponential(1)) : String(Number(value.toPrecision(3)));
}

function trimZeros(exponential: string): string {
  return exponential.replace('.0e', 'e');
}

/** `a, b, c and 29 more` */
export function formatList(items: readonly string[], countMax: number, separator = ', '): string {
  const shown = items.slice(0, countMax).join(separator);
  return items.length <= countMax ? shown : `${shown} and ${formatCount(items.length - countMax)} more`;
}

/** Control characters as `\x1b`: names come from files, and a terminal obeys them. */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

/** At most `widthMax` characters; what is cut out of the middle becomes `…`. */
export function shorten(text: string, widthMax: number): string {
  const characters = [...text];
  if (characters.length <= widthMax) return text;
  const tail = Math.floor((widthMax - 1) / 2);
  const head = widthMax - 1 - tail;
  return `${characters.slice(0, head).join('')}…${characters.slice(characters.length - tail).join('')}`;
}

export interface TableColumn {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** Longest cell of a table. */
const cellWidthMax = 72;

/** Columns padded to their widest cell, two spaces apart, every line indented by two; no space at a line's end. */
export function formatTable(columns: readonly TableColumn[], rows: readonly (readonly string[])[]): string {
  const cells = [columns.map((column) => column.title), ...rows].map((row) =>
    row.map((cell) => shorten(printable(cell), cellWidthMax)),
  );
  const widths = columns.map((_, index) => Math.max(...cells.map((row) => characterCount(row[index] ?? ''))));
  return cells
    .map((row) => {
      const padded = columns.map((column, index) => {
        const cell = row[index] ?? '';
        const space = ' '.repeat((widths[index] ?? 0) - characterCount(cell));
        return column.align === 'right' ? space + cell : cell + space;
      });
      return `  ${padded.join('  ')}`.trimEnd();
    })
    .join('\n');
}

/** Code points: close enough to columns of a terminal for the names that tables have. */
function characterCount(text: string): number {
  return [...text].length;
}

/** Parts joined by `separator` into lines of at most `width` characters; a part that alone is longer is shortened. */
export function wrapParts(parts: readonly string[], separator: string, width: number): string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const last = lines.at(-1);
    const joined = last === undefined ? undefined : `${last}${separator}${part}`;
    if (joined !== undefined && characterCount(joined) <= width) lines[lines.length - 1] = joined;
    else lines.push(shorten(part, width));
  }
  return lines;
}

/** A table of a report. */
import { markup, type Markup } from './markup.ts';

export interface ReportColumn {
  readonly title: string | Markup;
  /** `number`: to the right. `name`: from outside, breaks anywhere. `part`: stays in one line. */
  readonly kind?: 'number' | 'name' | 'part';
  /** The title may take several lines. */
  readonly wraps?: boolean;
}

/** @param isTall scrolls by itself where there are many rows */
export function reportTable(
  columns: readonly ReportColumn[],
  rows: readonly (readonly (string | Markup)[])[],
  isTall = false,
): Markup {
  const heads = columns.map(
    ({ title, kind = '', wraps }) => markup`<th class="${kind}${wraps === true ? ' wraps' : ''}">${title}</th>`,
  );
  const body = rows.map(
    (row) =>
      markup`<tr>${row.map((cell, index) => markup`<td class="${columns[index]?.kind ?? ''}">${cell}</td>`)}</tr>\n`,
  );
  // A part of the page that scrolls must be within reach of the keyboard.
  const tall = isTall ? markup` tabindex="0"` : undefined;
  return markup`<div class="scrolls${isTall ? ' tall' : ''}"${tall}><table>
<thead><tr>${heads}</tr></thead>
<tbody>${body}</tbody></table></div>`;
}

export function numberColumn(title: string): ReportColumn {
  return { title, kind: 'number' };
}

/** A square of a colour, before what it stands for. */
export function swatch(colour: string): Markup {
  return markup`<i style="background:${colour}"></i>`;
}

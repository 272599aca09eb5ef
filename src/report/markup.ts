/** HTML that cannot forget to escape: whatever goes into a template is text, unless it is markup already. */
import { printable } from '../cli/format.ts';

/** Text that a browser may read as HTML. Made by {@link markup} and by whoever embeds a file of ours. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Part = string | number | undefined | Markup | readonly Markup[];

/** A template: values are escaped, lists of markup are joined, undefined is nothing. */
export function markup(texts: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(texts.reduce((all, text, index) => all + render(parts[index - 1]) + text));
}

function render(part: Part): string {
  if (part === undefined) return '';
  if (part instanceof Markup) return part.text;
  if (typeof part === 'string' || typeof part === 'number') return escapeHtml(String(part));
  return part.map((each) => each.text).join('');
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** For text and for quoted attributes. Control characters become visible; so do those that turn the direction of text. */
export function escapeHtml(text: string): string {
  return printable(text)
    .replace(/[\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) => `\\u${character.charCodeAt(0).toString(16)}`)
    .replace(/[&<>"']/g, (character) => entities[character]!);
}

/** JSON for a script element: no `<`, so that neither `</script>` nor `<!--` can be in it; read back by JSON.parse. */
export function scriptJson(json: string): Markup {
  return new Markup(
    json.replace(/[<\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}

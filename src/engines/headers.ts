/** What C headers declare: function names in order, and how many parameters each has. */

export interface Declaration {
  readonly name: string;
  readonly parameterCount: number;
}

/** `struct OrtApi` of an onnxruntime_c_api.h, in the order of its function pointers. */
export function parseOrtApi(header: string): Declaration[] {
  const start = /^struct OrtApi\s*\{/m.exec(header);
  if (start === null) throw new RangeError('Expected the header to define struct OrtApi, got none.');
  const rest = header.slice(start.index + start[0].length);
  const end = /^\}\s*;/m.exec(rest);
  const declarations = withoutComments(rest.slice(0, end?.index)).split(';');
  return declarations.filter((text) => text.trim() !== '').map(parseOrtMember);
}

/** `ORT_API_VERSION` of the header; undefined where it says none. */
export function parseOrtApiVersion(header: string): number | undefined {
  const match = /^#define\s+ORT_API_VERSION\s+(\d+)/m.exec(header);
  return match === null ? undefined : Number(match[1]);
}

/** The four ways in which the header writes a function pointer. */
function parseOrtMember(text: string): Declaration {
  const release = /ORT_CLASS_RELEASE\s*\(\s*(\w+)\s*\)/.exec(text);
  if (release !== null) return { name: `Release${release[1]}`, parameterCount: 1 };
  const match =
    /^\s*ORT_API2_STATUS\s*\(\s*(\w+)\s*,?/.exec(text) ??
    /^\s*ORT_API_T\s*\(\s*[\w\s*]+,\s*(\w+)\s*,?/.exec(text) ??
    /^[\w\s*]*\(\s*ORT_API_CALL\s*\*\s*(\w+)\s*\)\s*\(/.exec(text);
  if (match !== null) return { name: match[1]!, parameterCount: countParameters(text.slice(match[0].length)) };
  throw new RangeError(`Expected a function pointer in struct OrtApi, got \`${text.trim()}\`.`);
}

/** All functions that a duckdb.h exports. */
export function parseDuckDbHeader(header: string): Declaration[] {
  const pattern = /DUCKDB_C_API\s+[\w\s*]*?\b(duckdb_\w+)\s*\(/g;
  const text = withoutComments(header);
  return Array.from(text.matchAll(pattern), (match) => ({
    name: match[1]!,
    parameterCount: countParameters(text.slice(match.index + match[0].length)),
  }));
}

/** Parameters up to the parenthesis that closes the list; `text` starts behind the one that opens it. */
function countParameters(text: string): number {
  let depth = 0;
  let commas = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '(') depth++;
    else if (character === ',' && depth === 0) commas++;
    else if (character === ')' && depth-- === 0) {
      const list = text.slice(0, at).trim();
      return list === '' || list === 'void' ? 0 : commas + 1;
    }
  }
  throw new RangeError(`Expected a list of parameters to end, got \`${text.slice(0, 60)}\`.`);
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[^]*?\*\/|\/\/[^\n]*/g, ' ').replace(/^\s*#.*$/gm, '');
}

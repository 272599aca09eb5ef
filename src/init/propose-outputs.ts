/** What becomes of a model's outputs, and which columns stay beside them. Pure. */
import type { ModelValue } from '../engines/onnxruntime/session.ts';
import { isIdLike } from './names.ts';

/** Something that a person has to look at. */
export interface Decision {
  /** Field of tandem.json. */
  readonly field: string;
  readonly question: string;
  /** What may be written there, best first. */
  readonly candidates: readonly string[];
  /** `score` does not start before it is answered. */
  readonly must: boolean;
}

/** An output as tandem.json has it. */
export type OutputProposal = string | false | { readonly column: string; readonly select: number };

export interface Proposal {
  readonly outputs: Readonly<Record<string, OutputProposal>>;
  /** Undefined: all columns. */
  readonly keep: readonly string[] | undefined;
  readonly decisions: readonly Decision[];
}

/** Names that exporters give where the model has none. */
const emptyNames = /^(?:variable\d*|output\d*|output_\d+|dense.*|StatefulPartitionedCall.*|Identity.*|y|\d+)$/;

/**
 * Columns of the outputs, by the forms that exporters write, and columns that tell rows apart.
 * @param columns undefined: unknown
 * @param fed columns that feed the model: golden.parquet holds them beside the scores
 */
export function proposeOutputs(
  outputs: readonly ModelValue[],
  columns: readonly string[] = [],
  fed: readonly string[] = [],
): Proposal {
  const keep = columns.filter((name) => isIdLike(name));
  const taken = new Set([...(keep.length > 0 ? keep : columns), ...fed].map((name) => name.toLowerCase()));
  const decisions: Decision[] = [];
  const used: Record<string, OutputProposal> = {};
  const usable = outputs.filter(({ elementType }) => elementType !== undefined);
  for (const output of outputs) {
    const { name, shape } = output;
    if (output.elementType === undefined) {
      used[name] = false;
      decisions.push(unusable(output, usable.length > 0));
      continue;
    }
    const meaningless = emptyNames.test(name);
    // Two classes: the second is the one that is asked for, and the first is 1 less it.
    if (/prob/i.test(name) && isPair(shape, outputs)) {
      const column = freeName('probability', taken);
      used[name] = { column, select: 1 };
      const question = `of the two probabilities, ${column} is that of the second class`;
      decisions.push({
        field: `outputs.${name}`,
        question,
        candidates: ['"select": 0', '"select": [0, 1]'],
        must: false,
      });
    } else {
      used[name] = freeName(meaningless ? 'prediction' : name, taken);
    }
  }
  if (keep.length > 0) return { outputs: used, keep, decisions };
  if (columns.length === 0) return { outputs: used, keep: undefined, decisions };
  const question = `no column looks like an id: all ${columns.length} columns are kept beside the scores`;
  const candidates = ['[]', JSON.stringify(columns.slice(0, 2))];
  return {
    outputs: used,
    keep: undefined,
    decisions: [...decisions, { field: 'keep', question, candidates, must: false }],
  };
}

/** Two probabilities in each row: LightGBM's exporter declares one beside the label, and gives two. */
function isPair(shape: ModelValue['shape'], outputs: readonly ModelValue[]): boolean {
  if (shape?.length !== 2) return false;
  return shape[1] === 2 || (shape[1] === 1 && outputs.some(({ name }) => /label/i.test(name)));
}

function unusable({ name, kind }: ModelValue, hasOthers: boolean): Decision {
  const what = kind === 'tensor' ? 'of a type that no column has' : `a ${kind}`;
  const remedy = kind === 'sequence' ? 'export without ZipMap (options={"zipmap": False}) to have it' : 'left out';
  return { field: `outputs.${name}`, question: `${name} is ${what}: ${remedy}`, candidates: [], must: !hasOthers };
}

/** A name that neither a kept column nor another output has; it is taken then. */
function freeName(name: string, taken: Set<string>): string {
  const tries = [name, `predicted_${name}`, ...Array.from({ length: taken.size + 1 }, (_, n) => `${name}_${n + 2}`)];
  const free = tries.find((each) => !taken.has(each.toLowerCase()))!;
  taken.add(free.toLowerCase());
  return free;
}

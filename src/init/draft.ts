/** A contract in the making: from matched inputs and proposed outputs to tandem.json, and to what a person should look at. Pure. */
import type { FeatureFile } from '../contract/schema.ts';
import type { ModelValue } from '../engines/onnxruntime/session.ts';
import { openColumn, type MatchedInput, type Sureness, type TableColumn, type WantedInput } from './match-inputs.ts';
import { proposeOutputs, type Decision, type OutputProposal } from './propose-outputs.ts';

export interface DraftInput {
  readonly name: string;
  /** `float32 [N, 32]` */
  readonly type: string;
  readonly sure: Sureness;
  readonly because: string;
  /** Columns or expressions, in order. */
  readonly features: readonly string[];
}

export interface Draft {
  /** Content of tandem.json. */
  readonly contract: {
    readonly version: 1;
    readonly model: string;
    readonly inputs: Readonly<Record<string, FeatureFile | readonly FeatureFile[]>>;
    readonly outputs: Readonly<Record<string, OutputProposal>>;
    readonly keep: readonly string[] | undefined;
  };
  readonly inputs: readonly DraftInput[];
  readonly decisions: readonly Decision[];
}

/** Inputs that columns can fill. */
export function wantedInputs(values: readonly ModelValue[]): WantedInput[] {
  return values.flatMap(({ name, elementType, shape }) => {
    if (elementType === undefined) return [];
    const rowShape = (shape ?? ['N', '?']).slice(1).map((size) => (typeof size === 'number' ? size : -1));
    return [{ name, elementType, rowShape }];
  });
}

/**
 * @param model file of the model, relative to the contract
 * @param columns of the shards; undefined: none were given
 * @param fed columns that feed the inputs, also those that stand in expressions only
 */
export function draftContract(
  model: string,
  values: { readonly inputs: readonly ModelValue[]; readonly outputs: readonly ModelValue[] },
  matched: readonly MatchedInput[],
  columns: readonly TableColumn[] | undefined,
  fed: readonly string[],
): Draft {
  const { outputs, keep, decisions } = proposeOutputs(
    values.outputs,
    columns?.map(({ name }) => name),
    fed,
  );
  const inputs = Object.fromEntries(matched.map(({ name, features }) => [name, features]));
  return {
    contract: { version: 1, model, inputs, outputs, keep },
    inputs: matched.map((match) => ({
      name: match.name,
      type: typeOf(values.inputs.find(({ name }) => name === match.name)),
      sure: match.sure,
      because: match.because,
      features: [match.features].flat().map(wordsOf),
    })),
    decisions: [
      ...matched.flatMap(inputDecision),
      ...matched.flatMap((match) => nullDecisions(match, columns)),
      ...decisions,
    ],
  };
}

/** `float32 [N, 32]` */
function typeOf(value: ModelValue | undefined): string {
  return `${value?.elementType ?? '?'} [${value?.shape?.join(', ') ?? '?'}]`;
}

function wordsOf({ column, sql }: FeatureFile): string {
  return column ?? sql ?? openColumn;
}

function inputDecision({ name, sure, because, candidates }: MatchedInput): Decision[] {
  const field = `inputs.${name}`;
  if (sure === 'open') return [{ field, question: because, candidates, must: true }];
  if (sure === 'certain') return [];
  const risk = sure === 'guess' ? 'guessed' : 'likely, not certain';
  return [
    {
      field,
      question: `${risk}: ${because}. Is it the order and the columns of the training?`,
      candidates,
      must: false,
    },
  ];
}

/** Nulls that would stop the run: the model file does not say what they were in training. */
function nullDecisions({ name, features }: MatchedInput, columns: readonly TableColumn[] | undefined): Decision[] {
  const list = [features].flat();
  return list.flatMap((feature, index) => {
    const nulls = columns?.find((column) => column.name === feature.column)?.nulls ?? 0;
    if (nulls === 0 || feature.missing !== undefined) return [];
    const field = Array.isArray(features) ? `inputs.${name}[${index}]` : `inputs.${name}`;
    const question = `${feature.column} has ${nulls} nulls, and the first one stops a run without "missing"`;
    const candidates = feature.text === true ? ['"missing": ""'] : ['"missing": "nan"', '"missing": 0'];
    return [{ field, question, candidates, must: false }];
  });
}

/**
 * The form of tandem.json as a zod schema, from which the JSON Schema for editors is published too. It says what each
 * field may hold by itself; rules that tie fields together are in `resolve.ts`.
 *
 * The error text of each part is the Y of "Expected X to be Y"; that of an object lists the keys it knows.
 */
import { z } from 'zod';
import { fitListMax, fitQuantilesMax, kernelToleranceMax } from '../limits.ts';

/** A strict object; its error text for an unknown key is the list of the known ones, separated by spaces. */
function strictObject<Shape extends z.core.$ZodLooseShape>(phrase: string, shape: Shape) {
  const knownKeys = Object.keys(shape).join(' ');
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? knownKeys : `an object: ${phrase}`),
  });
}

const finite = z.number('a finite number');
const name = z.string('a non-empty string').min(1, 'a non-empty string');
const character = z.string('one character').length(1, 'one character');
const range = z.tuple([finite, finite], 'two numbers, [low, high]');
const categories = z.union(
  [
    z.array(z.string('a string'), 'a list').min(1, 'a list that is not empty'),
    z.array(finite, 'a list').min(1, 'a list that is not empty'),
  ],
  'a list of strings or a list of numbers',
);

const word = z.literal('fit', '"fit"');
const listLength = `a whole number from 1 to ${fitListMax}`;
const share = z.number('a number from 0 to 1').min(0, 'a number from 0 to 1').max(1, 'a number from 0 to 1');
const deviation = z.enum(['sample', 'population'], '"sample" or "population"');
const quantileCount = `a whole number from 2 to ${fitQuantilesMax}`;
const bucketQuantiles = strictObject('{ "quantiles": n }', {
  quantiles: z
    .int(quantileCount)
    .min(2, quantileCount)
    .max(fitQuantilesMax, quantileCount)
    .describe('So many buckets of as many rows each, as far as ties allow.'),
});
const clipQuantiles = strictObject('{ "quantiles": [low, high] }', {
  quantiles: z.tuple([share, share], 'two numbers, [low, high]').describe('Shares of the rows, such as 0.01 and 0.99.'),
});
const categoryRule = strictObject('how a list of categories is made', {
  max: z
    .int(listLength)
    .min(1, listLength)
    .max(fitListMax, listLength)
    .optional()
    .describe('The most frequent ones, at most so many; the others are unknown.'),
  minCount: z
    .int('a whole number of at least 1')
    .min(1, 'a whole number of at least 1')
    .optional()
    .describe('Only those that so many rows have; the others are unknown.'),
  order: z
    .enum(['frequency', 'alphabet'], '"frequency" or "alphabet"')
    .optional()
    .describe('"frequency" (default): most frequent first, equally frequent ones by alphabet; or "alphabet".'),
}).meta({ id: 'categoryRule' });
const wordOfCategories = z.union([word, strictObject('{ "fit": { ... } }', { fit: categoryRule })], '"fit"');

/** Beside what was fitted: how. What has no rule here is a person's own value. */
const ruleShape = {
  standardize: deviation.optional().describe('Deviation with n - 1 ("sample") or n ("population").'),
  minMax: z.literal(true, 'true').optional().describe('Bounds are the least and the greatest value.'),
  bucketize: bucketQuantiles.optional().describe('Boundaries are quantiles.'),
  clip: clipQuantiles.optional().describe('Bounds are quantiles.'),
};
const stepRules = strictObject('the rules of one step', ruleShape).meta({ id: 'stepRules' });
const featureRules = strictObject('the rules of a feature', {
  missing: z.enum(['mean', 'median'], '"mean" or "median"').optional().describe('What replaces a null is this one.'),
  ...ruleShape,
  index: categoryRule.optional().describe('How the list of categories was made.'),
  oneHot: categoryRule.optional().describe('How the list of categories was made.'),
}).meta({ id: 'featureRules' });
const rulesWords =
  'Written by `tandem fit`: by which rules the values beside it were found. `tandem fit --all` finds these again, and no others.';

const log1p = z.literal(true, 'true').describe('log(1 + x).');
const bucketize = z
  .union(
    [z.array(finite, 'a list of numbers').min(1, 'a list that is not empty'), bucketQuantiles],
    'a list of numbers or { "quantiles": n }',
  )
  .describe(
    'Strictly increasing boundaries; the value becomes how many of them are <= x (numpy.digitize). ' +
      '{ "quantiles": n }: for `tandem fit` to fill in.',
  );
const standardize = z
  .union(
    [
      strictObject('{ "mean": m, "std": s }', {
        mean: finite.describe('Subtracted from the value.'),
        std: finite.positive('greater than 0').describe('What the difference is divided by; greater than 0.'),
      }),
      word,
      strictObject('{ "fit": "sample" or "population" }', { fit: deviation.describe('Of the deviation: n - 1 or n.') }),
    ],
    '{ "mean": m, "std": s } or "fit"',
  )
  .describe('(x - mean) / std. "fit" or { "fit": "sample" | "population" }: for `tandem fit` to fill in.');
const minMax = z
  .union([range, word], 'two numbers, [low, high], or "fit"')
  .describe('(x - low) / (high - low); low < high. "fit": for `tandem fit` to fill in.');
const clip = z
  .union([range, clipQuantiles], 'two numbers, [low, high], or { "quantiles": [low, high] }')
  .describe(
    'Puts the value into [low, high]; NaN stays NaN. low <= high. ' +
      '{ "quantiles": [0.01, 0.99] }: for `tandem fit` to fill in.',
  );

const step = strictObject('one step', {
  log1p: log1p.optional(),
  bucketize: bucketize.optional(),
  standardize: standardize.optional(),
  minMax: minMax.optional(),
  clip: clip.optional(),
  fit: stepRules.optional().describe(rulesWords),
}).meta({
  id: 'step',
  description: 'One step of arithmetic: exactly one key, and perhaps `fit`.',
  minProperties: 1,
  maxProperties: 2,
});

const bucketCount = 'a whole number from 1 to 2147483647';
const feature = strictObject('one feature', {
  column: name.optional().describe('The column of the shard that the value comes from.'),
  sql: name
    .optional()
    .describe('Instead of a column: one scalar DuckDB expression over the row, for example hour(date).'),
  lengthOf: name
    .optional()
    .describe('Instead of a column: a list column, whose number of values in the row is the value.'),
  missing: z
    .union([finite, z.string('a string')], 'a number or a string')
    .optional()
    .describe(
      'What a null becomes; without it a null makes the row bad. For numbers: a number, "nan" or "mean" (the mean of ' +
        'standardize), put in before the steps; "median", and "mean" where no standardize comes first, are for ' +
        '`tandem fit` to fill in. For index, oneHot, hash and text: a value, which is then looked up.',
    ),
  index: z
    .union([categories, wordOfCategories], 'a list of strings or a list of numbers, or "fit"')
    .optional()
    .describe(
      'Categories, all strings or all numbers; the value becomes its position in this list. ' +
        '"fit" or { "fit": { "max": 1000, "minCount": 10, "order": "alphabet" } }: for `tandem fit` to fill in.',
    ),
  oneHot: z
    .union([categories, wordOfCategories], 'a list of strings or a list of numbers, or "fit"')
    .optional()
    .describe(
      'Categories, all strings or all numbers; the value becomes a 1 at its position among zeros. "fit": as for index.',
    ),
  hash: z
    .int(bucketCount)
    .min(1, bucketCount)
    .max(2 ** 31 - 1, bucketCount)
    .optional()
    .describe('Number of buckets: MurmurHash3 32 bit, seed 42, of the UTF-8 bytes, modulo this number.'),
  text: z.literal(true, 'true').optional().describe('The string itself, for string tensors.'),
  list: z
    .union(
      [z.literal(true, 'true'), z.int('a whole number').min(1, 'a whole number of at least 1')],
      'true or the number of values in each list',
    )
    .optional()
    .describe('A list column with this many values in each row; true: as many as its type or the tensor says.'),
  unknown: z
    .enum(['error', 'zeros', 'last', 'own'], 'one of "error", "zeros", "last", "own"')
    .optional()
    .describe(
      'What a value outside the categories becomes: "error" (default) a bad row, "zeros" all zeros (oneHot only), ' +
        '"last" the last category, "own" a category of its own after the last one.',
    ),
  dropLast: z
    .boolean('true or false')
    .optional()
    .describe("oneHot only: leaves out the last position (as Spark's OneHotEncoder does)."),
  log1p: log1p.optional(),
  bucketize: bucketize.optional(),
  standardize: standardize.optional(),
  minMax: minMax.optional(),
  clip: clip.optional(),
  steps: z
    .array(step, 'a list of steps: [{ "log1p": true }, { "clip": [0, 1] }]')
    .optional()
    .describe(
      'Steps in an order of your own. Those given as keys apply in this one: ' +
        'log1p, bucketize, standardize, minMax, clip.',
    ),
  fit: featureRules.optional().describe(rulesWords),
}).meta({
  id: 'feature',
  description: 'One or more neighbouring values of a row of the tensor, from one column or expression.',
  oneOf: [{ required: ['column'] }, { required: ['sql'] }, { required: ['lengthOf'] }],
});

const scalar = z.union([finite, z.string('a string'), z.boolean('true or false')], 'a number, a string, true or false');
const constant = strictObject('a constant', {
  constant: z
    .union([scalar, z.array(scalar, 'a list')], 'a value or a list of values')
    .describe('The same for every batch. A single value fills the whole shape.'),
  shape: z
    .array(
      z.union(
        [z.literal('N'), z.int('a whole number').min(0, 'a whole number of at least 0')],
        'a whole number or "N"',
      ),
      'a list of dimensions',
    )
    .optional()
    .describe('Dimensions of the tensor; "N", at most once, stands for the rows of the batch.'),
}).meta({ id: 'constant', description: 'An input that no column feeds.' });

const position = z.int('a whole number of at least 0').min(0, 'a whole number of at least 0');
const output = strictObject('columns of one output', {
  column: name.optional().describe('Name of the column. Default: the name of the output.'),
  columns: z
    .array(name, 'a list of names')
    .min(1, 'a list that is not empty')
    .optional()
    .describe('Names of the columns, one for each selected position (or, without select, for each position).'),
  select: z
    .union(
      [position, z.array(position, 'a list').min(1, 'a list that is not empty')],
      'a position or a list of positions',
    )
    .optional()
    .describe("Which of a row's values become columns, counted from 0. Default: the whole row (a scalar or a list)."),
}).meta({ id: 'output' });

/** The whole of tandem.json. */
export const contractSchema = strictObject('the contract of a model', {
  $schema: z.string('a string').optional().describe('Where this JSON Schema lies, for editors.'),
  version: z.literal(1, '1').optional().describe('Version of this format.'),
  model: name.describe('The model file, relative to this one.'),
  inputs: z
    .record(
      z.string(),
      z.union(
        [z.array(feature, 'a list').min(1, 'a list that is not empty'), feature, constant],
        'a feature, a list of features or a constant',
      ),
      'an object: features by the name of the input',
    )
    .describe('What fills each input of the model. The order of features is their order in a row of the tensor.'),
  outputs: z
    .record(
      z.string(),
      z.union([output, name, z.literal(false, 'false')], 'a column name, an object or false'),
      'an object: columns by the name of the output',
    )
    .optional()
    .describe(
      'What becomes of each output of the model; one that is not named or is false is left out. ' +
        'Default: all, each under its own name.',
    ),
  keep: z
    .array(name, 'a list of column names')
    .optional()
    .describe('Columns of the shard that are copied beside the scores. Default: all of them.'),
  where: name
    .optional()
    .describe(
      'Which rows of the shards are scored: one boolean DuckDB expression over a row, for example amount > 0. A row ' +
        'for which it is NULL is left out. --where narrows it further. Default: every row.',
    ),
  renames: z
    .record(z.string(), name, 'an object: new names by the old ones')
    .optional()
    .describe(
      'Columns of shards that once had another name: { "old": "new" }. Applied in the shards that have the old one, ' +
        'before all else in this file, which uses the new one.',
    ),
  fitted: strictObject('what was fitted to', {
    rows: z.int('a whole number').min(0, 'at least 0').describe('Rows that the last fit read.'),
    shards: z.int('a whole number').min(0, 'at least 0').describe('Shards that they came from.'),
    where: z.string('a string').optional().describe('Condition that the rows had to meet.'),
  })
    .optional()
    .describe('Written by `tandem fit`: what the last fit was made from.'),
  golden: strictObject('{ "tolerance": t }', {
    tolerance: finite
      .min(0, 'at least 0')
      .optional()
      .describe('How far a score may be from the known one. Default: 0.00001.'),
  })
    .optional()
    .describe('How golden.parquet, rows with known scores, is compared.'),
  kernels: strictObject('{ "tolerance": t }', {
    tolerance: finite
      .min(0, 'at least 0')
      .max(kernelToleranceMax, `at most ${kernelToleranceMax}`)
      .optional()
      .describe(
        "How far a kernel's score may be from ONNX Runtime's: |difference| / max(1, |score|). Default: 0.000001.",
      ),
  })
    .optional()
    .describe('When a kernel of Tandem (boosted trees, linear models) may score in place of ONNX Runtime.'),
  csv: strictObject('how CSV files are read', {
    delimiter: character.optional().describe('Between two values. Default: a tab for .tsv, else found out.'),
    header: z.boolean('true or false').optional().describe('Whether the first line names the columns. Default: true.'),
    quote: character.optional().describe('Around values with delimiters in them. Default: ".'),
    nullText: z
      .union([name, z.array(name, 'a list of strings')], 'a string or a list of strings')
      .optional()
      .describe('What stands for a null, besides nothing: "NA".'),
    quotedNull: z
      .boolean('true or false')
      .optional()
      .describe('Whether it stands for a null in quotes too; where not, "" is an empty text. Default: true.'),
    types: z
      .record(z.string(), name, 'an object: types by the name of the column')
      .optional()
      .describe('DuckDB types by column, where the first rows would say another: { "zip": "VARCHAR" }.'),
  })
    .optional()
    .describe('How shards that are CSV are read, as far as their first rows do not say it.'),
}).describe('Which columns feed which inputs of a model, and how; and what becomes of its outputs.');

/** tandem.json once its form has been checked. */
export type ContractFile = z.output<typeof contractSchema>;
export type FeatureFile = z.output<typeof feature>;
export type StepFile = z.output<typeof step>;
export type ConstantFile = z.output<typeof constant>;
export type OutputFile = z.output<typeof output>;

/** tandem.json by its form, or the issues with it. */
export function checkForm(root: unknown): { data: ContractFile } | { issues: readonly z.core.$ZodIssue[] } {
  const parsed = contractSchema.safeParse(root);
  if (parsed.success) return { data: parsed.data };
  // Of a union zod may report the wrong side: `constant` as an unknown key of a feature.
  for (const [name, input] of Object.entries((root as { inputs?: object } | null)?.inputs ?? {})) {
    if (typeof input !== 'object' || input === null || !('constant' in input)) continue;
    const issues = constant.safeParse(input).error?.issues ?? [];
    if (issues.length === 0) continue;
    return { issues: issues.map((issue) => ({ ...issue, path: ['inputs', name, ...issue.path] })) };
  }
  return { issues: parsed.error.issues };
}

/** The JSON Schema of tandem.json as its published file holds it. Draft 7, the one all editors know. */
export function publishedSchema(): string {
  const schema = z.toJSONSchema(contractSchema, { target: 'draft-7', io: 'input' });
  return `${JSON.stringify({ title: 'tandem.json', ...schema }, null, 2)}\n`;
}

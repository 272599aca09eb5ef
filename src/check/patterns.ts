/** Why scores differ, where all rows differ in the same way. */
import type { Connection } from '../engines/duckdb/database.ts';
import { knownExactRowsMax, knownPatternRowsMin, knownSampleRows } from '../limits.ts';
import { beyondSql } from '../planning/golden.ts';
import type { JoinedColumn } from './compare-column.ts';

/** `sql` is true of a row that fits; `golden` is what is known. */
interface Pattern {
  readonly sql: string;
  readonly words: string;
}

const sigmoid = (x: string): string => `1 / (1 + exp(-(${x})))`;

/** In the order in which the first that all rows fit is told. */
function patternsOf(tolerance: number): Pattern[] {
  const near = (a: string, b: string): string => `abs(${a} - (${b})) <= ${tolerance} * greatest(1, abs(${a}))`;
  const digits = [1, 2, 3, 4, 5, 6].map((count): Pattern => {
    const half = `0.5 * 1e-${count} * 1.000001 + 1e-12`;
    return {
      sql: `abs(golden - round(golden, ${count})) < 1e-12 * greatest(1, abs(golden)) AND abs(golden - score) <= ${half}`,
      words: `known is the score rounded to ${count} digits: write it in full, or compare with --tolerance 1e-${count}.`,
    };
  });
  return [
    {
      sql: 'golden = CAST(CAST(score AS FLOAT) AS DOUBLE)',
      words: 'known is the score rounded to float32: it was computed or written in half the precision.',
    },
    {
      sql: 'score = CAST(CAST(golden AS FLOAT) AS DOUBLE)',
      words: 'the score is known rounded to float32: the model computes in half the precision.',
    },
    {
      sql: near('golden', '1 - score'),
      words: 'known = 1 - score: it is the probability of the other class; "select" takes the other position.',
    },
    { sql: near('golden', '-score'), words: 'known = -score: the sign is the other way round.' },
    {
      sql: near('golden', sigmoid('score')),
      words: 'known = sigmoid(score): the model gives logits, and probabilities are known.',
    },
    {
      sql: near('score', sigmoid('golden')),
      words: 'score = sigmoid(known): the model gives probabilities, and logits (raw predictions) are known.',
    },
    {
      sql: near('golden', 'exp(score)'),
      words: 'known = exp(score): the model gives a logarithm; the notebook undoes it.',
    },
    { sql: near('score', 'exp(golden)'), words: 'score = exp(known): known is the logarithm.' },
    {
      sql: near('golden', 'exp(score) - 1'),
      words: 'known = expm1(score): the model learned log1p of the target; the notebook undoes it.',
    },
    {
      sql: 'golden = CASE WHEN score >= 0.5 THEN 1 ELSE 0 END',
      words: 'known = (score >= 0.5): labels are known, and the model gives probabilities.',
    },
    ...digits,
  ];
}

/**
 * @param both table expression: golden and score of the rows that are on both sides
 * @returns sentences; empty: nothing that can be recognised
 */
export function findPatterns(connection: Connection, both: string, column: JoinedColumn): string[] {
  const { pair, tolerance, rowCount } = column;
  if (rowCount < knownPatternRowsMin || pair.kind === 'label') return [];
  if (pair.kind === 'list') return listPatterns(connection, both, tolerance);
  const finite = `(SELECT * FROM ${both} WHERE isfinite(golden) AND isfinite(score))`;
  // What not even these rows show costs no look at all of them.
  const first = patternIn(connection, `(FROM ${finite} LIMIT ${knownSampleRows})`, tolerance);
  const found = first === undefined || rowCount <= knownSampleRows ? first : patternIn(connection, finite, tolerance);
  if (found === 'too few values') return [];
  return found === undefined ? orderPatterns(connection, finite, column) : [found];
}

/** What all rows show, as a sentence. */
function patternIn(connection: Connection, rows: string, tolerance: number): string | undefined {
  const patterns = patternsOf(tolerance);
  const fits = patterns.map(({ sql }) => `coalesce(bool_and(coalesce(${sql}, false)), false)`);
  const [row = []] = connection.rows(
    `SELECT count(*), min(score) < max(score), ${fits.join(', ')},
       min(golden - score), max(golden - score), min(golden / nullif(score, 0)), max(golden / nullif(score, 0)) FROM ${rows}`,
  );
  // Of one value alone any formula could be right.
  if (Number(row[0] ?? 0) < knownPatternRowsMin || Number(row[1]) !== 1) return 'too few values';
  const found = patterns.find((_, index) => Number(row[index + 2]) === 1);
  if (found !== undefined) return found.words;
  const [offsetMin, offsetMax, ratioMin, ratioMax] = row.slice(-4).map((value) => Number(value ?? NaN)) as [
    number,
    number,
    number,
    number,
  ];
  const spread = (low: number, high: number): boolean => high - low <= 2 * tolerance * Math.max(1, Math.abs(high));
  if (spread(offsetMin, offsetMax)) {
    return `known - score is ${short((offsetMin + offsetMax) / 2)} in all rows: an offset, such as a base score.`;
  }
  if (ratioMax - ratioMin <= 2 * tolerance * Math.abs(ratioMax)) {
    return `known / score is ${short((ratioMin + ratioMax) / 2)} in all rows: a factor, such as another unit.`;
  }
  return undefined;
}

function short(value: number): string {
  return String(Number(value.toPrecision(6)));
}

/** What only sorted rows show. */
function orderPatterns(connection: Connection, finite: string, { tolerance, key, rowCount }: JoinedColumn): string[] {
  if (key.length === 0 && rowCount <= knownExactRowsMax) {
    const [[apart] = []] = connection.rows(
      `SELECT count(*) FILTER (abs(g.golden - s.score) > ${tolerance} * greatest(1, abs(g.golden)))
       FROM (SELECT golden FROM ${finite} ORDER BY golden) AS g POSITIONAL JOIN (SELECT score FROM ${finite} ORDER BY score) AS s`,
    );
    if (Number(apart) === 0) return ['the same values in another order: the rows are permuted; join them with --key.'];
  }
  const [[falls] = []] = connection.rows(
    `SELECT count(*) FILTER (golden < before) FROM (SELECT golden, lag(golden) OVER (ORDER BY score, golden) AS before
       FROM (SELECT * FROM ${finite} USING SAMPLE reservoir(${knownSampleRows} ROWS) REPEATABLE (1)))`,
  );
  if (Number(falls) > 0) return [];
  return ['both rank the rows alike: one is a function of the other, such as a link, a calibration or another scale.'];
}

function listPatterns(connection: Connection, both: string, tolerance: number): string[] {
  const reversed = `(SELECT list_reverse(golden) AS golden, score FROM ${both})`;
  const [[beyond] = []] = connection.rows(
    `SELECT count(*) FILTER (${beyondSql('DOUBLE[]', tolerance)}) FROM ${reversed}`,
  );
  return Number(beyond) === 0 ? ['the lists are reversed: the classes stand in the other order.'] : [];
}

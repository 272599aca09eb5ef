/** What one thread notes of one feature's numbers, as a kernel would see them before the step that is to be fitted. */
import { isValid, type ColumnVector, type ListVector, type NumberVector } from '../batch.ts';
import type { NumericStep } from '../contract/contract.ts';
import { vectorRows } from '../engines/duckdb/types.ts';
import { bug } from '../errors.ts';
import { applyStep } from '../featurize/reference.ts';
import { DigitCounter, type DigitSearch } from './digits.ts';
import { addValues, emptyTally, tally } from './moments.ts';

export class NumberColumn {
  /** Undefined: moments are enough. */
  readonly digits: DigitCounter | undefined;
  /** Of the unit so far. */
  #tally = emptyTally();
  readonly #steps: readonly NumericStep[];
  #values = new Float64Array(vectorRows);

  /** @param steps that come before the one to be fitted */
  constructor(steps: readonly NumericStep[], search: DigitSearch | undefined) {
    this.#steps = steps;
    this.digits = search === undefined ? undefined : new DigitCounter(search);
  }

  take(vector: ColumnVector | undefined, rowCount: number): void {
    if (vector?.kind !== 'number' && vector?.kind !== 'list') throw bug(`A fit got a ${vector?.kind} vector`);
    const loaded = vector.kind === 'number' ? this.#load(vector, rowCount) : this.#loadLists(vector, rowCount);
    for (const step of this.#steps) {
      for (let i = 0; i < loaded; i++) this.#values[i] = applyStep(step, this.#values[i]!);
    }
    // A finite sum has no NaN in it: most columns need no look at each value.
    if (this.digits === undefined && addValues(this.#tally, this.#values, loaded)) return;
    const count = this.#dropOdd(loaded, this.digits !== undefined);
    if (this.digits === undefined) {
      if (!addValues(this.#tally, this.#values, count)) this.#tally[tally.infinite]! += count;
    } else {
      this.digits.add(this.#values, count);
      this.#tally[tally.count]! += count;
    }
  }

  /** What is noted of the unit that ends here; the next one starts anew. */
  endUnit(): Float64Array {
    const ended = this.#tally;
    this.#tally = emptyTally();
    return ended;
  }

  /** The values that are not null, to the front of `#values`; gives how many. */
  #load({ values, validity }: NumberVector, rowCount: number): number {
    this.#values.set(values.subarray(0, rowCount) as Float64Array);
    if (validity === null) return rowCount;
    let count = 0;
    for (let row = 0; row < rowCount; row++) if (isValid(validity, row)) this.#values[count++] = this.#values[row]!;
    this.#tally[tally.nulls]! += rowCount - count;
    return count;
  }

  #loadLists(vector: ListVector, rowCount: number): number {
    const { values, valueValidity, offsets, lengths, validity } = vector;
    if (this.#values.length < values.length) this.#values = new Float64Array(values.length);
    let count = 0;
    for (let row = 0; row < rowCount; row++) {
      if (!isValid(validity, row)) {
        this.#tally[tally.nullLists]!++;
        continue;
      }
      const [first, length] = [offsets[row]!, lengths[row]!];
      if (length > this.#tally[tally.listLength]!) this.#tally[tally.listLength] = length;
      for (let i = first; i < first + length; i++) {
        if (isValid(valueValidity, i)) this.#values[count++] = Number(values[i]!);
        else this.#tally[tally.nulls]!++;
      }
    }
    return count;
  }

  /** Drops what cannot be counted; gives how many values are left. */
  #dropOdd(loaded: number, takesInfinite: boolean): number {
    const values = this.#values;
    let [count, nans, infinite] = [0, 0, 0];
    for (let i = 0; i < loaded; i++) {
      const value = values[i]!;
      // Of a finite number the difference is 0, of an infinite one or NaN it is NaN.
      if (value - value === 0) values[count++] = value;
      else if (Number.isNaN(value)) nans++;
      else {
        infinite++;
        if (takesInfinite) values[count++] = value;
      }
    }
    this.#tally[tally.nans]! += nans;
    this.#tally[tally.infinite]! += infinite;
    return count;
  }
}

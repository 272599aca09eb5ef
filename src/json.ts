/** JSON of figures. */

/** JSON in which undefined fields are left out and NaN and the infinities are strings; JSON would make them null. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(
    value,
    (_, each: unknown) => (typeof each === 'number' && !Number.isFinite(each) ? String(each) : each),
    indent,
  );
}

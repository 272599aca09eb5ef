/**
 * What an error text of the driver, CUDA, ONNX Runtime's provider or the dynamic loader means, and what to do about it.
 * The texts say where something broke, rarely why.
 */
import { cudaLibraries } from './libraries.ts';
import { providerVersion } from './provider-files.ts';

export interface Advice {
  readonly means: string;
  readonly remedy: string;
}

/** Oldest driver that runs CUDA 13.0. */
export const driverVersionMin = 580;

const setup = 'Run `tandem setup cuda`';
const installDriver =
  `Install NVIDIA's driver ${driverVersionMin} or newer on this machine; in a container, start it with ` +
  '`--gpus all` and NVIDIA_DRIVER_CAPABILITIES=compute,utility.';
const checkDevices =
  'See whether `nvidia-smi` lists a GPU and /dev/nvidia0 exists, unset CUDA_VISIBLE_DEVICES, ' +
  'and start a container with `--gpus all`.';

const driverTooOld: Advice = {
  means: `the NVIDIA driver is missing, or older than the ${driverVersionMin} that CUDA 13 needs`,
  remedy: installDriver,
};
const noDevice: Advice = { means: 'the NVIDIA driver is there but shows no GPU', remedy: checkDevices };
const truncated: Advice = {
  means: 'the library is cut off: its download broke, or the disk was full',
  remedy: 'Delete the file, then run `tandem setup cuda` again; a library from elsewhere must be installed again.',
};
const mixedVersions: Advice = {
  means: 'core and CUDA provider are of different versions of ONNX Runtime',
  remedy: `${setup}: it fetches the provider of ${providerVersion}, and puts the matching core beside it.`,
};

/** cudaError_t, CUDA 13. */
const codes: Readonly<Record<number, Advice>> = {
  2: {
    means: 'the GPU has no memory left',
    remedy: 'End other programs on this GPU (`nvidia-smi` lists them), or choose a smaller --batch-size.',
  },
  34: {
    means: "the driver library is the toolkit's stub, which only serves for linking",
    remedy: 'Take the folder `stubs` out of LD_LIBRARY_PATH; the real libcuda.so.1 comes with the driver.',
  },
  35: driverTooOld,
  36: driverTooOld,
  46: {
    means: 'the GPU is busy: another process holds it alone (exclusive mode), or it is being reset',
    remedy: 'End the other process, or `nvidia-smi -c 0` for shared use; or choose another GPU with --device cuda:<n>.',
  },
  100: noDevice,
  101: {
    means: 'there is no GPU of this number',
    remedy: 'Count from 0 among the GPUs that CUDA_VISIBLE_DEVICES leaves; `tandem doctor` lists them.',
  },
  209: {
    means: "the provider has no machine code for this GPU's generation",
    remedy:
      'Use a GPU of compute capability 7.5, 8.x, 9.0 or 12.0 (T4, A100, L4, L40, H100, H200, RTX 20 to 50); ' +
      'V100, P100, B200 and GB200 cannot run it.',
  },
  802: {
    means: 'the GPUs are not initialized yet: their fabric manager is not ready',
    remedy: 'Wait a minute; if it stays, start nvidia-fabricmanager (`systemctl status nvidia-fabricmanager`).',
  },
  803: {
    means: "the driver's library and its kernel module are of different versions",
    remedy: 'Reboot after a driver update; in a container, do not install a driver: the host brings it.',
  },
  804: {
    means:
      'a forward-compatibility library (cuda-compat) lies in front of the driver, and this GPU does not support it',
    remedy: `Remove cuda-compat from the library path, and use driver ${driverVersionMin} or newer.`,
  },
  999: {
    means: 'the driver is in a state that it cannot name itself',
    remedy: 'Look into `dmesg` for NVRM and Xid lines; reload the module nvidia_uvm (`modprobe nvidia_uvm`) or reboot.',
  },
};

const failureCode = /CUDA(?:RT)? (?:failure|error) (\d+)\b/;

type Rule = readonly [RegExp, Advice | ((found: RegExpExecArray) => Advice | undefined)];

const loaderRules: readonly Rule[] = [
  [
    /libonnxruntime(?:_providers_\w+)?\.so[.\d]*: (?:Failed to load shared library: )?cannot open shared object file/,
    { means: "ONNX Runtime's CUDA provider is not there; npm never brings it", remedy: `${setup}.` },
  ],
  [
    /(lib[\w-]+)\.so(?:\.([\d.]+))?: (?:Failed to load shared library: )?cannot open shared object file/,
    ([, stem, release]) => missingLibrary(stem!, release ?? ''),
  ],
  [/file too short/, truncated],
  [/\bSIGBUS\b|(?:exit(?:ed|s)?|ended)(?: with)?(?: code)? 135\b/, truncated],
  [
    /undefined symbol: (cu[A-Z]\w*)/,
    ([, symbol]) => ({ means: `the driver library is too old: it has no ${symbol}`, remedy: installDriver }),
  ],
  [
    /undefined symbol: ((?:cublas|cudnn|cuda|__cuda|curand)\w*)/,
    ([, symbol]) => ({
      means: `CUDA libraries of different releases are mixed: ${symbol} is missing`,
      remedy: 'Take all CUDA libraries from one place: `tandem setup cuda --libraries` fetches a set that fits.',
    }),
  ],
  [
    /version [`']GLIBC(?:XX)?_([\d.]+)' not found/,
    ([, version]) => ({
      means: `this system's C or C++ library is too old (${version} is asked for)`,
      remedy: 'Use a system with glibc 2.28 or newer: Debian 10, Ubuntu 20.04, RHEL 8 or their successors.',
    }),
  ],
  [
    /invalid ELF header|wrong ELF class|ELF file's phentsize|ELF load command/,
    {
      means: 'the file is no library for this machine, or is damaged',
      remedy: 'Delete the file, then run `tandem setup cuda`; only Linux on x64 has a CUDA provider.',
    },
  ],
  [
    /failed to map segment from shared object/,
    {
      means: 'the folder lies on a file system from which nothing may be executed (noexec), or memory is short',
      remedy: 'Name another folder: `tandem setup cuda --to <folder>`, then --ort-dir <folder>.',
    },
  ],
];

const runtimeRules: readonly Rule[] = [
  [
    /libcudart is of CUDA ([\d.]+)/,
    ([, version]) => ({
      means: `a CUDA runtime of ${version} lies where one of 13 is needed`,
      remedy:
        'Take it out of LD_LIBRARY_PATH and the folder of --ort-dir; `tandem setup cuda --libraries` fetches 13.0.',
    }),
  ],
  [failureCode, ([, code]) => codes[Number(code)]],
  [/CUDA driver version is insufficient/, driverTooOld],
  [/no CUDA-capable device is detected/, noDevice],
  [/no kernel image is available/, codes[209]!],
  [/expr=cudaSetDevice\(/, { ...noDevice, means: 'the driver is missing or too old, or there is no GPU' }],
  [/external_data_loader_reading_threads|provider option "\w+": .*=\d{12,}/, mixedVersions],
  [/requested API version \[\d+\] is not available/, mixedVersions],
  [
    /(?:Unknown provider option:?|Failed to parse provider option) "([^"]*)"/,
    ([, option]) => ({
      means: `this version of ONNX Runtime does not take the provider option ${option}`,
      remedy: `Please report it, unless the provider is another version than ${providerVersion} (\`tandem doctor\`).`,
    }),
  ],
  [
    /cuDNN is not available|CUDNN_STATUS_NOT_INITIALIZED/,
    { means: 'the model has convolutions, which need cuDNN', remedy: 'Run `tandem setup cuda --cudnn`.' },
  ],
  [/cuFFT is not available/, { means: 'the model has Fourier transforms, which need cuFFT', remedy: pip('cufft') }],
  [
    /DefaultLogger/,
    {
      means: 'ONNX Runtime was asked about the provider before it was set up. This is a bug.',
      remedy: 'Please report it.',
    },
  ],
  [
    /AppendExecutionProvider_Cuda: Failed to load shared library/,
    {
      means: 'the CUDA provider, or a library that it needs, does not load; ONNX Runtime keeps the reason to itself',
      remedy: 'Run `tandem doctor --device cuda`, which loads them one by one.',
    },
  ],
];

const nvmlRules: readonly Rule[] = [
  [/Driver Not Loaded/, { means: 'the kernel module of the NVIDIA driver is not loaded', remedy: installDriver }],
  [/Driver\/library version mismatch/, codes[803]!],
  [
    /Insufficient Permissions|GPU access blocked by the operating system/,
    {
      means: 'the system does not let this process reach the GPU',
      remedy: 'Give the user access to /dev/nvidia*; start a container with `--gpus all`.',
    },
  ],
  [
    /GPU is lost/,
    {
      means: 'the GPU has fallen off the bus or needs a reset',
      remedy: 'Look into `dmesg` for Xid lines, and reboot.',
    },
  ],
];

/** What a text means. Matches on the part that the libraries keep the same, wherever it stands in the text. */
export function adviceFor(text: string): Advice {
  const code = failureCode.exec(text);
  return knownAdvice(text) ?? (code === null ? unknownText : unknownCode(code[0]));
}

/** The same for texts that may be about something else, a model for example: undefined, then. */
export function knownAdvice(text: string): Advice | undefined {
  for (const [pattern, advice] of [...loaderRules, ...runtimeRules, ...nvmlRules]) {
    const found = pattern.exec(text);
    if (found === null) continue;
    const known = typeof advice === 'function' ? advice(found) : advice;
    if (known !== undefined) return known;
  }
  return undefined;
}

const unknownText: Advice = {
  means: 'an error that Tandem has no advice for',
  remedy: 'Look for its text in the documentation of CUDA and ONNX Runtime; please report what it was.',
};

/** Advice for a library that is not there, by its file name without and with its release. */
function missingLibrary(stem: string, release: string): Advice {
  const library = cudaLibraries.find(({ file }) => file.startsWith(`${stem}.so`));
  if (library === undefined) {
    return {
      means: `${stem}.so.${release} is not there`,
      remedy: 'Install it, or name its folder in LD_LIBRARY_PATH.',
    };
  }
  if (library.name === 'driver') return { means: 'no NVIDIA driver is visible', remedy: installDriver };
  if (library.name === 'nvml') return { means: "the driver's NVML is not visible", remedy: installDriver };
  if (library.file !== `${stem}.so.${release}`) {
    return {
      means: `the provider was built for another CUDA: it wants ${stem}.so.${release} instead of ${library.file}`,
      remedy: `${setup}, which fetches the provider that Tandem was built for; --ort-dir may name another one.`,
    };
  }
  const use = library.onlyFor === undefined ? '' : `, which is needed for ${library.onlyFor} only,`;
  return { means: `${library.title} of CUDA 13 (${library.file})${use} is not there`, remedy: pip(library.name) };
}

/** How to get one of CUDA's libraries. */
function pip(name: (typeof cudaLibraries)[number]['name']): string {
  const library = cudaLibraries.find((each) => each.name === name)!;
  const flag = name === 'cudnn' ? '--cudnn' : '--libraries';
  const own = name === 'cufft' ? '' : `Run \`tandem setup cuda ${flag}\`, or `;
  const rest = `\`python3 -m pip install ${library.package}\`, or use an image nvidia/cuda:13.0.x-cudnn-runtime.`;
  return own === '' ? `Run ${rest}` : `${own}${rest}`;
}

function unknownCode(text: string): Advice {
  return {
    means: `${text}, of which Tandem knows no more`,
    remedy: 'Look it up in the list of cudaError_t; see `dmesg`.',
  };
}

/** Advice for a library that was not found by name, as the loader would put it. */
export function adviceForMissing(file: string): Advice {
  return adviceFor(`${file}: cannot open shared object file`);
}

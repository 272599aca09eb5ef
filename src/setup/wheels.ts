/**
 * What `setup cuda` fetches, by way of pip: which files of which wheels, pinned byte for byte. CUDA's libraries are the
 * set of CUDA 13.0.2, the release that ONNX Runtime's provider was built with.
 */
import type { CudaLibraryName } from '../engines/cuda/libraries.ts';
import {
  knownProvider,
  knownProviderShared,
  providerFileName,
  providerSharedFileName,
  providerVersion,
  type KnownContent,
} from '../engines/cuda/provider-files.ts';

export interface WheelFile extends KnownContent {
  /** Inside the wheel. */
  readonly member: string;
  /** Inside the folder that is filled. */
  readonly path: string;
}

export interface Wheel {
  readonly name: string;
  readonly version: string;
  readonly content: KnownContent;
  /** Fetched always, or with the flag of this name. */
  readonly part: 'provider' | 'libraries' | 'cudnn';
  /** What it brings, as far as it can also come from elsewhere. */
  readonly libraries: readonly CudaLibraryName[];
  /** In the order in which they are put into place. */
  readonly files: readonly WheelFile[];
}

/** The folders of the wheel stay: libraries find each other by them. */
function inPlace(path: string, bytes: number, sha256: string): WheelFile {
  return { member: path, path, bytes, sha256 };
}

export const cudaWheels: readonly Wheel[] = [
  {
    name: 'onnxruntime-gpu',
    version: providerVersion,
    content: { bytes: 246_685_715, sha256: '6acc0f4b3d5ac5f2984432faa59dd8fcce6775f8b43a7140afa0f322c7a703b1' },
    part: 'provider',
    libraries: [],
    // The second is what the folder is known by.
    files: [
      { member: `onnxruntime/capi/${providerSharedFileName}`, path: providerSharedFileName, ...knownProviderShared },
      { member: `onnxruntime/capi/${providerFileName}`, path: providerFileName, ...knownProvider },
    ],
  },
  {
    name: 'nvidia-cuda-runtime',
    version: '13.0.96',
    content: { bytes: 2_243_632, sha256: '7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548' },
    part: 'libraries',
    libraries: ['cudart'],
    files: [
      inPlace(
        'nvidia/cu13/lib/libcudart.so.13',
        704_288,
        '96c42e418cec19054186b9429c321603cc190bf26a18104e19408117a2a817b0',
      ),
    ],
  },
  {
    name: 'nvidia-cublas',
    version: '13.1.0.3',
    content: { bytes: 423_133_236, sha256: 'ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171' },
    part: 'libraries',
    libraries: ['cublasLt', 'cublas'],
    files: [
      inPlace(
        'nvidia/cu13/lib/libcublasLt.so.13',
        541_595_600,
        '656298c804f5adbb0df930545c17911b9584ab4e5101c0eeb65d1fe881d880f8',
      ),
      inPlace(
        'nvidia/cu13/lib/libcublas.so.13',
        54_177_976,
        'e70f38efabe986acd5eb683497c62f0f1730a6176ee291d9d24c6e339d1fbf86',
      ),
    ],
  },
  {
    name: 'nvidia-curand',
    version: '10.4.0.35',
    content: { bytes: 59_544_258, sha256: '1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc' },
    part: 'libraries',
    libraries: ['curand'],
    files: [
      inPlace(
        'nvidia/cu13/lib/libcurand.so.10',
        132_698_328,
        'b53732a66b302b11926e00f762e2c2ba67058347ff93cf4ae709de45e93e06da',
      ),
    ],
  },
  {
    name: 'nvidia-cudnn-cu13',
    version: '9.19.0.56',
    content: { bytes: 366_066_321, sha256: 'd20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf' },
    part: 'cudnn',
    libraries: ['cudnn'],
    files: cudnnFiles(),
  },
];

/** libcudnn.so.9 opens its parts by name, from its own folder; it comes last. */
function cudnnFiles(): WheelFile[] {
  const parts: readonly (readonly [string, number, string])[] = [
    ['_adv', 109_169_104, '87e2199f5bca489a1ed863afbb0b421c822fe0081a956d8c69216b3ae37c135f'],
    ['_cnn', 4_203_904, '36480b885ab03685d9b07c9fca4bbaeb3e7c3c7c4d81297cf8195b72cd3d8f20'],
    ['_engines_precompiled', 245_391_920, '7f8ce268b43c0fab298cc43854a006195bc16c0ed43bedf63b11f3699e92c6ae'],
    ['_engines_runtime_compiled', 29_386_400, '1b0025cfeab270688d4563e287a5009389464ff140d0ebcf708314223523b99b'],
    ['_graph', 4_451_728, 'e292c689093f22325bffb7f84e68c58067c062a5cdd5534914ac1449f0a4e23f'],
    ['_heuristic', 60_822_040, '9e0202a6bcc055fc921972f335be9eeec95e469582e0f603f6548df5209ab7dc'],
    ['_ops', 39_855_888, '3e9182b90e8ba33027c1dcf42741ba2a8799eef3e8047cf341e00a6091ddec97'],
    ['', 129_240, '94f44e2e8fb2d4bca8c534b14f03ef84e095376dad72a257fd854377ef0b3427'],
  ];
  return parts.map(([suffix, bytes, sha256]) => inPlace(`nvidia/cudnn/lib/libcudnn${suffix}.so.9`, bytes, sha256));
}

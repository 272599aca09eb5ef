import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adviceFor, adviceForMissing } from './advice.ts';
import { cudaLibraries } from './libraries.ts';

const failed = 'Failed to load library /o/libonnxruntime_providers_cuda.so with error: ';
const absent = 'cannot open shared object file: No such file or directory';

/** Text as a library gives it, a part of what it means, a part of what to do. */
const texts: readonly (readonly [string, RegExp, RegExp])[] = [
  [
    `Failed to load library /o/libonnxruntime_providers_shared.so with error: /o/libonnxruntime_providers_shared.so: ${absent}`,
    /provider is not there/,
    /^Run `tandem setup cuda`\.$/,
  ],
  [`${failed}/o/libonnxruntime_providers_cuda.so: ${absent}`, /provider is not there/, /setup cuda/],
  [`/o/libonnxruntime.so.1: Failed to load shared library: ${absent}`, /provider is not there/, /setup cuda/],
  [`${failed}libcublasLt.so.13: ${absent}`, /cuBLASLt of CUDA 13/, /--libraries.*nvidia-cublas==13\.1\.0\.3/],
  [`${failed}libcublas.so.13: ${absent}`, /cuBLAS of CUDA 13/, /nvidia-cublas==13\.1\.0\.3/],
  [`${failed}libcurand.so.10: ${absent}`, /cuRAND of CUDA 13/, /nvidia-curand==10\.4\.0\.35/],
  [`${failed}libcudart.so.13: ${absent}`, /CUDA runtime of CUDA 13/, /nvidia-cuda-runtime==13\.0\.96/],
  [`/c/libcublas.so.13: Failed to load shared library: libcublasLt.so.13: ${absent}`, /cuBLASLt/, /nvidia-cublas/],
  [`/c/libcublas.so.13: Failed to load shared library: ${absent}`, /cuBLAS of CUDA 13/, /nvidia-cublas/],
  [`${failed}libcublasLt.so.12: ${absent}`, /another CUDA.*libcublasLt\.so\.12/, /setup cuda/],
  [`${failed}libcuda.so.1: ${absent}`, /no NVIDIA driver/, /580.*--gpus all/],
  [`libnvidia-ml.so.1: ${absent}`, /NVML/, /NVIDIA_DRIVER_CAPABILITIES=compute,utility/],
  [`libcudnn.so.9: ${absent}`, /convolutions/, /setup cuda --cudnn/],
  [`libcufft.so.12: ${absent}`, /Fourier/, /nvidia-cufft==12\.0\.0\.61/],
  [`libnvinfer.so.10: ${absent}`, /libnvinfer\.so\.10/, /LD_LIBRARY_PATH/],
  [`${failed}/o/libonnxruntime_providers_cuda.so: file too short`, /cut off/, /Delete the file/],
  ['/o/libcublasLt.so.13: the process died of SIGBUS', /cut off/, /Delete the file/],
  ['the process ended with 135', /cut off/, /Delete/],
  ['it exited with code 135', /cut off/, /setup cuda/],
  [`${failed}undefined symbol: cuTensorMapEncodeTiled`, /too old.*cuTensorMapEncodeTiled/, /580/],
  ['undefined symbol: cuCtxCreate_v4', /too old/, /580/],
  [`${failed}undefined symbol: cudaLaunchKernelExC, version libcudart.so.13`, /mixed/, /--libraries/],
  ['undefined symbol: cublasLtMatmulAlgoGetIds', /mixed/, /one place/],
  ["/lib/libc.so.6: version `GLIBC_2.28' not found", /2\.28/, /Debian 10/],
  ['/c/libcuda.so.1: invalid ELF header', /no library for this machine/, /Delete/],
  ['libx.so: failed to map segment from shared object', /noexec/, /--to/],
  ['/c/libcudart.so.13: libcudart is of CUDA 12.4', /12\.4/, /LD_LIBRARY_PATH/],
  [
    'Failed to parse provider option "device_id": CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=-1',
    /missing, or older/,
    /580/,
  ],
  ['CUDA failure 2: out of memory', /no memory left/, /--batch-size/],
  ['CUDA failure 34: CUDA driver is a stub library', /stub/, /stubs/],
  ['CUDA failure 36: API call is not supported in the installed CUDA driver', /older/, /580/],
  ['CUDA failure 46: CUDA-capable device(s) is/are busy or unavailable', /exclusive/, /nvidia-smi -c 0/],
  ['CUDA failure 100: no CUDA-capable device is detected', /shows no GPU/, /CUDA_VISIBLE_DEVICES/],
  ['no CUDA-capable device is detected', /shows no GPU/, /\/dev\/nvidia0/],
  ['CUDA failure 101: invalid device ordinal', /no GPU of this number/, /doctor/],
  ['CUDA failure 209: no kernel image is available for execution on the device', /generation/, /7\.5.*B200/],
  ['CUDA failure 802: system not yet initialized', /fabric manager/, /nvidia-fabricmanager/],
  ['CUDA failure 803: system has unsupported display driver / cuda driver combination', /different/, /Reboot/],
  ['CUDA failure 804: forward compatibility was attempted on non supported HW', /cuda-compat/, /Remove/],
  ['CUDA failure 999: unknown error', /cannot name/, /dmesg/],
  ['CUDA failure 719: unspecified launch failure', /CUDA failure 719/, /cudaError_t/],
  ['CUDA error 35 from somewhere', /missing, or older/, /580/],
  [
    'cuda_execution_provider.cc ; line=352 ; expr=cudaSetDevice(info_.device_id)',
    /driver is missing or too old, or there is no GPU/,
    /nvidia-smi/,
  ],
  ['Unknown provider option: "initial_chunk_size_bytes"', /initial_chunk_size_bytes/, /report/],
  ['Unknown provider option "x"', /option x/, /report/],
  ['Failed to parse provider option "use_tf32": bad', /use_tf32/, /1\.30\.0/],
  ['external_data_loader_reading_threads must be between 0 and 64', /different versions/, /1\.30\.0/],
  [
    'The requested API version [31] is not available, only API versions [1, 30] are supported in this build.',
    /different versions/,
    /setup cuda/,
  ],
  ['cuDNN is not available. Install cuDNN, update the system library search path', /convolutions/, /--cudnn/],
  ['OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library', /reason/, /doctor --device cuda/],
  ['logging.h:365 ... DefaultLogger ...', /bug/, /report/],
  ['NVML failure 9: Driver Not Loaded', /kernel module/, /580/],
  ['NVML failure 18: Driver/library version mismatch', /different versions/, /Reboot/],
  ['NVML failure 4: Insufficient Permissions', /does not let/, /\/dev\/nvidia/],
  ['NVML failure 17: GPU access blocked by the operating system', /does not let/, /--gpus all/],
  ['NVML failure 15: GPU is lost', /fallen off/, /Xid/],
  ['something else', /no advice/, /report/],
];

for (const [text, means, remedy] of texts) {
  test(`advice: ${text.slice(0, 90)}`, () => {
    const advice = adviceFor(text);
    assert.match(advice.means, means);
    assert.match(advice.remedy, remedy);
  });
}

test('every library that may be missing has advice of its own', () => {
  for (const { file } of cudaLibraries) assert.doesNotMatch(adviceForMissing(file).means, /no advice|another CUDA/);
});

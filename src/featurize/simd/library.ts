/** Compiled kernels: once per form and thread, bound once to each memory. */
import { assemble, type WasmFunction } from '../../engines/wasm-code.ts';
import {
  compileModule,
  instantiate,
  type CompiledModule,
  type SharedMemory,
  type WasmExports,
} from '../../engines/wasm.ts';
import { columnFunction, listFunction, quadFunction } from './column-code.ts';
import { formKey, type KernelForm } from './form.ts';
import { oneHotFunction, scatterFunction, transposeFunction, zeroFunction } from './row-code.ts';

export type KernelFunction = WasmExports[string];
export type ElementSize = 1 | 2 | 4 | 8;

const modules = new Map<string, CompiledModule>();
const functions = new WeakMap<SharedMemory, Map<string, KernelFunction>>();

function kernel(memory: SharedMemory, key: string, make: () => WasmFunction): KernelFunction {
  let known = functions.get(memory);
  if (known === undefined) functions.set(memory, (known = new Map<string, KernelFunction>()));
  let run = known.get(key);
  if (run === undefined) {
    let module = modules.get(key);
    // It takes any memory, so one page is all that it asks for.
    module ??= compileModule(assemble({ name: 'featurize', memoryPages: 1, functions: [make()] }));
    modules.set(key, module);
    run = instantiate(module, memory)['run']!;
    known.set(key, run);
  }
  return run;
}

export function formKernel(memory: SharedMemory, form: KernelForm): KernelFunction {
  return kernel(memory, formKey(form), () => {
    switch (form.kind) {
      case 'column':
        return columnFunction(form);
      case 'quad':
        return quadFunction(form);
      case 'list':
        return listFunction(form);
      case 'oneHot':
        return oneHotFunction(form.elementType);
    }
  });
}

export function transposeKernel(memory: SharedMemory, bytes: ElementSize): KernelFunction {
  return kernel(memory, `transpose ${bytes}`, () => transposeFunction(bytes));
}

export function scatterKernel(memory: SharedMemory, bytes: ElementSize): KernelFunction {
  return kernel(memory, `scatter ${bytes}`, () => scatterFunction(bytes));
}

export function zeroKernel(memory: SharedMemory): KernelFunction {
  return kernel(memory, 'zero', zeroFunction);
}

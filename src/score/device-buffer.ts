/** Device memory for one batch: its inputs, its outputs, and the events that tell how far it is. */
import { elementBytes, type TensorLayout } from '../batch.ts';
import type { GpuDriver } from '../engines/cuda/driver.ts';
import type { Pointer } from '../engines/native.ts';
import type { BoundRun } from '../engines/onnxruntime/run.ts';
import type { ModelPlan, OutputLayout } from '../plan.ts';

/** cudaMalloc's own alignment, enough for any kernel. */
const alignment = 256;
/** Bytes of one device buffer: inputs and outputs of so many rows. */
export function deviceBufferBytes(model: Pick<ModelPlan, 'inputs' | 'outputs'>, rows: number): number {
  return [...model.inputs, ...model.outputs].reduce((sum, tensor) => sum + tensorBytes(tensor, rows), 0);
}

export function rowBytes(tensor: TensorLayout | OutputLayout): number {
  return tensor.width * elementBytes[tensor.elementType];
}

function tensorBytes(tensor: TensorLayout | OutputLayout, rows: number): number {
  return Math.ceil((rows * rowBytes(tensor)) / alignment) * alignment;
}

export class DeviceBuffer {
  readonly memory: Pointer;
  /** First byte of each input, then of each output. */
  readonly addresses: readonly Pointer[];
  /** The first piece's copy begins; all pieces are on the device. */
  readonly copying: Pointer;
  readonly copied: Pointer;
  /** The model begins, and has run. */
  readonly started: Pointer;
  readonly computed: Pointer;
  /** All scores are in their slots. */
  readonly delivered: Pointer;
  /** By first row and rows. */
  readonly bindings = new Map<string, BoundRun>();
  /** The most rows that were copied in: so many are inputs that the model can take. */
  rowsHeld = 0;
  /** Rows behind the last one, until they are copied. */
  padding: readonly Uint8Array[] = [];

  constructor(driver: GpuDriver, model: ModelPlan, rows: number) {
    this.memory = driver.allocate(Math.max(alignment, deviceBufferBytes(model, rows)));
    let address = this.memory;
    this.addresses = [...model.inputs, ...model.outputs].map((tensor) => {
      const own = address;
      address += BigInt(tensorBytes(tensor, rows));
      return own;
    });
    this.copying = driver.createEvent();
    this.copied = driver.createEvent();
    this.started = driver.createEvent();
    this.computed = driver.createEvent();
    this.delivered = driver.createEvent();
  }
}

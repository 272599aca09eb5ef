/**
 * What this process holds of a GPU's memory: its context and libraries, the device buffers, and the arena of its session;
 * and how much of it the arena may take, so that a promise of memory is kept.
 */
import type { GpuDriver } from '../engines/cuda/driver.ts';
import type { Pointer } from '../engines/native.ts';
import { deviceContextBytes, deviceWorkspaceBytes } from '../limits.ts';
import { bytesText } from './memory-model.ts';

/** A look at the device's memory. */
export interface MemoryLook {
  /** Free on the device. */
  readonly freeBytes: number;
  /** All that this process holds there. */
  readonly heldBytes: number;
}

export class DeviceMemory {
  readonly #driver: GpuDriver;
  /** The user's promise; undefined: all there is. */
  readonly budgetBytes: number | undefined;
  readonly #buffersBytes: number;
  /** Context and libraries. Before the first runs it holds a guess of what libraries take then. */
  #outsideBytes: number;
  #isMeasured = false;
  #peakBytes = 0;

  /** Call it after the device buffers are allocated and before there is a session. */
  constructor(driver: GpuDriver, buffersBytes: number, budgetBytes: number | undefined) {
    this.#driver = driver;
    this.#buffersBytes = buffersBytes;
    this.budgetBytes = budgetBytes;
    const contextBytes = (driver.heldBytes() ?? deviceContextBytes + buffersBytes) - buffersBytes;
    this.#outsideBytes = contextBytes + deviceWorkspaceBytes;
  }

  /** The most that was seen. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** What a session's arena may take; undefined: all there is. Not above 0: the promise is too small for any session. */
  get arenaBytesMax(): number | undefined {
    return this.budgetBytes === undefined ? undefined : this.budgetBytes - this.#buffersBytes - this.#outsideBytes;
  }

  look(session: Pointer): MemoryLook {
    const counted = (): number => this.#outsideBytes + this.#buffersBytes + (this.#driver.arenaBytes(session) ?? 0);
    const heldBytes = this.#driver.heldBytes() ?? counted();
    this.#peakBytes = Math.max(this.#peakBytes, heldBytes);
    return { freeBytes: this.#driver.memory().freeBytes, heldBytes };
  }

  /**
   * After the first runs: libraries hold what they need, and what they hold is no guess any more.
   * @returns whether a session needs another arena limit than before
   */
  measureLibraries(session: Pointer): boolean {
    const held = this.#driver.heldBytes();
    const arena = this.#driver.arenaBytes(session);
    if (this.#isMeasured || held === undefined || arena === undefined) return false;
    this.#isMeasured = true;
    this.#outsideBytes = Math.max(0, held - arena - this.#buffersBytes);
    return this.budgetBytes !== undefined;
  }

  /** For errors: what goes where. */
  describe(): string {
    const parts = [
      `context and libraries ${bytesText(this.#outsideBytes)}`,
      `device buffers ${bytesText(this.#buffersBytes)}`,
      this.budgetBytes === undefined ? undefined : `promised ${bytesText(this.budgetBytes)}`,
    ];
    return parts.filter((part) => part !== undefined).join(', ');
  }
}

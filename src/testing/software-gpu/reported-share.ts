/** What NVIDIA's driver would say of a GPU, from a device that it has no part in. */
import type { ReportedShare } from '../../engines/nvml/reported-share.ts';

/**
 * @param share that every window ends with; undefined: the problem that there is no such driver
 * @returns a double that holds its caller to the order of the calls: an end without a beginning throws
 */
export function reportShare(share: number | undefined): ReportedShare {
  let isOpen = false;
  return {
    begin() {
      isOpen = true;
    },
    tick() {},
    end() {
      if (!isOpen) throw new Error('Expected a window of the reported share to begin before it ends.');
      isOpen = false;
      return share === undefined
        ? { problem: "the device is a stand-in, which NVIDIA's driver does not know" }
        : { share, counts: 'what the software GPU was told to say' };
    },
    close() {
      isOpen = false;
    },
  };
}

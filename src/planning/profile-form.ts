/** The form of a profile's file. */
import { z } from 'zod';
import { deviceBatchRowsMax, slotsPerThreadMax, threadsMax } from '../limits.ts';
import type { Profile } from '../plan.ts';

const rows = z.int().min(1).max(deviceBatchRowsMax);
const rate = z.number().positive();
const profileForm = z.strictObject({
  version: z.literal(1),
  key: z.strictObject({
    modelSha256: z.string(),
    contractSha256: z.string(),
    device: z.string(),
    driverVersion: z.string().optional(),
    onnxRuntimeVersion: z.string(),
    precision: z.enum(['float32', 'tf32']),
    scorer: z.enum(['onnxruntime', 'features', 'linear', 'trees']),
  }),
  batchSize: rows,
  rowsPerSecond: rate,
  memory: z.strictObject({ fixedBytes: z.number().nonnegative(), perRowBytes: z.number().nonnegative() }).optional(),
  job: z
    .strictObject({
      threads: z.int().min(1).max(threadsMax),
      devices: z.int().min(0),
      slotRows: rows,
      slotsPerThread: z.int().min(1).max(slotsPerThreadMax),
      rowsPerSecond: rate,
    })
    .optional(),
  writtenBy: z.enum(['run', 'tune']),
  writtenAt: z.iso.datetime(),
});

/** What a file's text holds, or why it is no profile. */
export function parseProfile(text: string): { readonly profile: Profile } | { readonly problem: string } {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return { problem: 'no JSON' };
  }
  const { success, data, error } = profileForm.safeParse(content);
  if (success) return { profile: data };
  const issue = error.issues[0]!;
  return { problem: `${issue.path.length === 0 ? 'the file' : issue.path.join('.')}: ${issue.message}` };
}

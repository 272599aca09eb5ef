/** What the parts of a ledger are called and drawn in. The same colour means the same cause in every chart. */
import { activityKinds, type Activity } from '../measure/activities.ts';
import { ledgerParts, type LedgerPartName, type TimelineSpan } from '../run-record.ts';

export interface PartLook {
  readonly label: string;
  /** After "this time": what happened. */
  readonly meaning: string;
  /** Of middle lightness: seen on white and on black. */
  readonly colour: string;
}

const green = '#2b9c70';
const paleGreen = '#79bfa3';
const violet = '#7d68c8';
const paleViolet = '#ab94dd';
const red = '#d24b5c';
const orange = '#e58436';
const yellow = '#cda52b';
const pink = '#c463a3';
const deepPink = '#94407a';
const palePink = '#dc9dc6';
const slate = '#7a8aa0';
const blue = '#4f79b7';
const cyan = '#3f9fc4';
const darkRed = '#96343f';
const taupe = '#978271';
const sand = '#b9aa8e';
const grey = '#a3abb6';

const scorerLooks: Readonly<Record<LedgerPartName, readonly [label: string, colour: string]>> = {
  computing: ['computing', green],
  copyIn: ['copy in', violet],
  copyOut: ['copy out', paleViolet],
  storage: ['storage', red],
  decode: ['decode', orange],
  featurize: ['featurize', yellow],
  writer: ['writer', pink],
  warmUp: ['warm-up', slate],
  newShapes: ['new shapes', blue],
  search: ['batch-size search', cyan],
  outOfMemory: ['out of memory', darkRed],
  handOver: ['hand-over', taupe],
  idleTail: ['idle tail', grey],
};

const threadLooks: Readonly<Record<Activity, readonly [label: string, colour: string]>> = {
  warmUp: ['warm-up', slate],
  storage: ['storage', red],
  decode: ['decode', orange],
  featurize: ['featurize', yellow],
  compute: ['computing', green],
  newShapes: ['new shapes', blue],
  search: ['batch-size search', cyan],
  write: ['writing', pink],
  writeStorage: ['writing, on storage', deepPink],
  waitForScores: ['waiting for a GPU', paleGreen],
  waitForRows: ['waiting for scores', sand],
  waitForRoom: ['waiting for room', palePink],
  handOver: ['hand-over', taupe],
  idle: ['idle', grey],
};

export function lookOfPart(name: LedgerPartName): PartLook {
  const [label, colour] = scorerLooks[name];
  return { label, colour, meaning: ledgerParts[name] };
}

export function lookOfActivity(activity: TimelineSpan['activity']): PartLook {
  if (activity === 'outOfMemory') return lookOfPart(activity);
  if (activity === 'copyIn' || activity === 'copyOut') {
    const meaning = activity === 'copyIn' ? 'tensors were copied to the GPU' : 'scores were copied back';
    return { ...lookOfPart(activity), meaning };
  }
  const [label, colour] = threadLooks[activity];
  return { label, colour, meaning: `the thread ${activityKinds[activity].describe}` };
}

/** Entry of a benchmark thread: opens one stage, checks it, then times what it is asked to. */
import { parentPort, workerData } from 'node:worker_threads';
import { openDecode } from './decode.ts';
import { openFeaturize } from './featurize.ts';
import { timeRate, type Stage, type StageTask, type ThreadReply, type ThreadRequest } from './measure.ts';
import { openLedger } from './ledger.ts';
import { openScore } from './score.ts';
import { openWrite } from './write.ts';

function open(task: StageTask): Stage {
  switch (task.stage) {
    case 'decode':
      return openDecode(task);
    case 'featurize':
      return openFeaturize(task);
    case 'score':
      return openScore(task);
    case 'write':
      return openWrite(task);
    case 'ledger':
      return openLedger(task);
  }
}

function post(reply: ThreadReply): void {
  parentPort!.postMessage(reply);
}

const stage = open(workerData as StageTask);
stage.check();
parentPort!.on('message', (request: ThreadRequest) => {
  if (request.kind === 'time') {
    post({ kind: 'timed', rowsPerSecond: timeRate(stage.contestants[request.contestant]!, request.secondsMin) });
    return;
  }
  stage.close();
  parentPort!.close();
});
post({ kind: 'opened', contestants: Object.keys(stage.contestants), batchSize: stage.batchSize });

/** What the planner's thread holds until the run is over: DuckDB, the model's session, files that are being staged. */
import { existsSync } from 'node:fs';
import { loadContract, loadUnfitted } from '../contract/load.ts';
import { loadDuckDb } from '../engines/duckdb/bindings.ts';
import { closeDatabase, Connection, limitMemory, openDatabase } from '../engines/duckdb/database.ts';
import type { Pointer } from '../engines/native.ts';
import { closeEnvironment, closeSession, openSession } from '../engines/onnxruntime/session.ts';
import type { PlannerReply } from '../messages.ts';
import { memoryLimit } from '../planning/build-plan.ts';
import type { openStaging } from '../planning/open-staging.ts';
import type { Staging } from '../planning/staging.ts';
import { explainLoadFailure } from '../score/load-failure.ts';
import { closeCounter } from './counting.ts';

export class PlannerEngines {
  /** Tells the main thread. */
  readonly post: (reply: PlannerReply) => void;
  readonly #connections: Connection[] = [];
  #database: Pointer | undefined;
  #session: Pointer | undefined;
  #staging: Staging | undefined;
  #isStopped = false;

  constructor(post: (reply: PlannerReply) => void) {
    this.post = post;
  }

  /** @throws ENVIRONMENT */
  openDatabase(): Pointer {
    return (this.#database ??= openDatabase());
  }

  /** @param memoryBytes what the caller allows for the whole run */
  connect(memoryBytes?: number): Connection {
    const connection = this.connectUnseen();
    limitMemory(connection, memoryLimit(memoryBytes).value);
    this.post({ kind: 'connected', connection: connection.pointer });
    return connection;
  }

  /** A connection that a stop of the run does not interrupt. */
  connectUnseen(): Connection {
    const connection = new Connection(this.openDatabase());
    this.#connections.push(connection);
    return connection;
  }

  /** Undefined: nothing has needed it. */
  get database(): Pointer | undefined {
    return this.#database;
  }

  /** The first one. */
  get connection(): Connection | undefined {
    return this.#connections[0];
  }

  get session(): Pointer | undefined {
    return this.#session;
  }

  /** In place of the one that was open. */
  useSession(other: Pointer): void {
    if (this.#session !== undefined) closeSession(this.#session);
    this.#session = other;
  }

  /** One thread per run: prep threads run the model side by side. @throws BAD_MODEL */
  load(modelPath: string, takesUnfitted = false): Pointer {
    const { contract } = takesUnfitted ? loadUnfitted(modelPath) : loadContract(modelPath);
    try {
      return (this.#session = openSession(contract.modelPath, { intraOpThreads: 1 }));
    } catch (error) {
      throw explainLoadFailure(error, contract.modelPath);
    }
  }

  /** Features are what the model declares, where there is one. @throws BAD_MODEL, BAD_CONTRACT */
  loadIfThere(modelPath: string): Pointer | undefined {
    return existsSync(loadContract(modelPath, false).contract.modelPath) ? this.load(modelPath) : undefined;
  }

  /** While files that are no Parquet are read. */
  get staging(): Staging | undefined {
    return this.#staging;
  }

  async stage(...files: Parameters<typeof openStaging>): Promise<Staging> {
    // Not imported above: Parquet needs none of it.
    const { openStaging: open } = await import('../planning/open-staging.ts');
    this.#staging = open(...files);
    if (this.#isStopped) this.#staging.stop();
    return this.#staging;
  }

  async closeStaging(): Promise<void> {
    await this.#staging?.close();
    this.#staging = undefined;
  }

  stop(): void {
    this.#isStopped = true;
    this.#staging?.stop();
  }

  /** @param connections of other threads, which have ended */
  close(connections: readonly Pointer[]): void {
    if (this.#session !== undefined) closeSession(this.#session);
    closeEnvironment();
    for (const pointer of connections) loadDuckDb().duckdb_disconnect([pointer]);
    for (const connection of this.#connections) connection.close();
    closeCounter();
    if (this.#database !== undefined) closeDatabase(this.#database);
  }
}

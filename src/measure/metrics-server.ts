/** Serves a run's metrics to Prometheus while the run lasts. Loaded only where somebody asks for it. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Counter, Gauge, Registry } from 'prom-client';
import { TandemError } from '../errors.ts';
import type { MetricsOptions } from '../options.ts';
import { metrics, type Metric, type RunNow } from './metrics.ts';

export class MetricsServer {
  /** What is served; before there is a run, metrics have no values. */
  look: () => RunNow | undefined = () => undefined;
  readonly #registry = new Registry();
  readonly #server: Server;

  private constructor() {
    for (const metric of metrics) this.#declare(metric);
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        response.writeHead(500, { 'content-type': 'text/plain' }).end(`${String(error)}\n`);
      });
    });
    // A run that is over does not wait for whoever reads its metrics.
    this.#server.unref();
  }

  /** @throws USAGE where the address cannot be had */
  static async open({ host, port, onListening }: MetricsOptions): Promise<MetricsServer> {
    const opened = new MetricsServer();
    const server = opened.#server;
    try {
      server.listen(port, host);
      await once(server, 'listening');
    } catch (cause) {
      throw cannotListen(host, port, cause as NodeJS.ErrnoException);
    }
    // What fails from here on is one connection, which its client tries again.
    server.on('error', () => {});
    onListening?.(`http://${addressText(host, (server.address() as AddressInfo).port)}/metrics`);
    return opened;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  #declare({ name, kind, unit, labels, help, values }: Metric): void {
    const collect = (): void => {
      metric.reset();
      // Without labels prom-client takes a metric that has no value for 0.
      if (labels.length === 0) metric.remove();
      const now = this.look();
      for (const { labels: given, value } of now === undefined ? [] : values(now)) {
        // The run does the counting: after the reset a counter is given all of it.
        metric.inc(Object.fromEntries(labels.map((label, index) => [label, given[index]!])), value);
      }
    };
    const declared = { name, help: `${help} Unit: ${unit}.`, labelNames: [...labels], registers: [this.#registry] };
    const metric: Counter | Gauge =
      kind === 'gauge' ? new Gauge({ ...declared, collect }) : new Counter({ ...declared, collect });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path] = (request.url ?? '').split('?');
    if (path === '/metrics') {
      const text = await this.#registry.metrics();
      response.writeHead(200, { 'content-type': this.#registry.contentType }).end(text);
    } else if (path === '/') {
      response
        .writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
        .end('<!doctype html><title>Tandem</title>A run of Tandem: <a href="/metrics">metrics</a>.\n');
    } else response.writeHead(404, { 'content-type': 'text/plain' }).end('Not here; see /metrics.\n');
  }
}

function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException): TandemError {
  const isTaken = cause.code === 'EADDRINUSE';
  const isRefused = cause.code === 'EACCES';
  const expected =
    isTaken || isRefused ? `an address that is ${isTaken ? 'free' : 'allowed'}` : 'an address of this machine';
  return new TandemError(
    'USAGE',
    `Expected --metrics to be ${expected}, got \`${addressText(host, port)}\` (${cause.message}).`,
    {
      remedy:
        isTaken || isRefused
          ? 'Choose another port, or port 0 for any that is free.'
          : 'The form is host:port. 127.0.0.1:9464 is heard on this machine alone, 0.0.0.0:9464 on all of its networks.',
      cause,
    },
  );
}

function addressText(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

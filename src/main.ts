#!/usr/bin/env node
import type { LoadApi } from './cli/api.ts';
import { processIo } from './cli/io.ts';
import { runCommandLine } from './cli/run.ts';

// Not by way of index.ts, which also loads apache-arrow: a quarter of a second that no command needs.
const loadApi: LoadApi = async () => ({ ...(await import('./pipeline.ts')), ...(await import('./inspect.ts')) });

process.exitCode = await runCommandLine(process.argv.slice(2), processIo(), loadApi);

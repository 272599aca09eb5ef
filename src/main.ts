#!/usr/bin/env node
import { processIo } from './cli/io.ts';
import { runCommandLine } from './cli/run.ts';

process.exitCode = await runCommandLine(process.argv.slice(2), processIo(), () => import('./index.ts'));

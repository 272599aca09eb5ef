/** Imported by the entry of threads that write Arrow files, first: apache-arrow takes long to load, and no other needs it. */
import { ArrowShardWriter } from './arrow-shard-writer.ts';
import { useShardOutput } from './shard-output.ts';

useShardOutput((connection, plan, attempt) => new ArrowShardWriter(connection, plan, attempt));

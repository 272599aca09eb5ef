/** Addresses as people type them. */
import { TandemError } from '../errors.ts';

/** `127.0.0.1:9464`, `localhost:0`, `[::1]:9464`. @throws USAGE */
export function parseAddress(flag: string, text: string): { readonly host: string; readonly port: number } {
  const found = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/\s]+)):(\d{1,5})$/i.exec(text);
  const port = Number(found?.[3]);
  const host = found?.[1] ?? found?.[2];
  if (host !== undefined && port <= 65_535) return { host, port };
  throw new TandemError('USAGE', `Expected ${flag} to be host:port, with a port up to 65535, got \`${text}\`.`, {
    remedy:
      'For example 127.0.0.1:9464, or 127.0.0.1:0 for any port that is free; in brackets what has colons: [::1]:9464.',
  });
}

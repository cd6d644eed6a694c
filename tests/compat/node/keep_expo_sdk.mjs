// The same for many tests, in one process: to start Node for each call takes longer than the call.
//
// argv: the directory that has the SDK in its node_modules. stdin: lines of {"call": …, …}, the first of which may have
// "options". stdout: a line of JSON for each.

import { createInterface } from 'node:readline';
import { caller } from './expo_sdk_calls.mjs';

let make;
for await (const line of createInterface({ input: process.stdin })) {
  const { options, ...call } = JSON.parse(line);
  make ??= await caller(process.argv[2], options ?? {});
  process.stdout.write(`${JSON.stringify(await make(call))}\n`);
}

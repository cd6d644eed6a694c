// Drives an unmodified expo-server-sdk, in either version, for tests/compat/test_node_sdk.py.
//
// argv: the directory that has the SDK in its node_modules. stdin: {"options": {…}, "calls": [{"call": …, …}]}.
// stdout: a JSON array with what each call gave, or with the properties of the Error that it threw.

import { readFileSync } from 'node:fs';
import { caller } from './expo_sdk_calls.mjs';

const { options, calls } = JSON.parse(readFileSync(0, 'utf8'));
const make = await caller(process.argv[2], options);

const given = [];
for (const one of calls) given.push(await make(one));
process.stdout.write(JSON.stringify(given));

// Drives an unmodified expo-server-sdk, in either version, for tests/compat/test_node_sdk.py.
//
// argv: the directory that has the SDK in its node_modules. stdin: {"options": {…}, "calls": [{"call": …, …}]}.
// stdout: a JSON array with what each call gave, or with the properties of the Error that it threw.

import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const modules = `${process.argv[2]}/node_modules`;
const { Expo } = await import(pathToFileURL(`${modules}/expo-server-sdk/build/ExpoClient.js`).href);

const { options, calls } = JSON.parse(readFileSync(0, 'utf8'));
if (options.allowH2) {
  const { Agent } = await import(pathToFileURL(`${modules}/undici/index.js`).href);
  options.httpAgent = new Agent({ allowH2: true });
}
const expo = new Expo(options);

const does = {
  // As the SDK's documentation shows: check, chunk, send.
  async send({ messages }) {
    const chunks = expo.chunkPushNotifications(messages);
    const tickets = await Promise.all(chunks.map((chunk) => expo.sendPushNotificationsAsync(chunk)));
    return { chunks: chunks.length, tickets: tickets.flat() };
  },
  // One request, whatever the SDK thinks of its size.
  async sendUnchunked({ messages }) {
    return { tickets: await expo.sendPushNotificationsAsync(messages) };
  },
  async receipts({ ids }) {
    const chunks = expo.chunkPushNotificationReceiptIds(ids);
    const found = await Promise.all(chunks.map((chunk) => expo.getPushNotificationReceiptsAsync(chunk)));
    return { chunks: chunks.length, receipts: Object.assign({}, ...found) };
  },
  async receiptsUnchunked({ ids }) {
    return { receipts: await expo.getPushNotificationReceiptsAsync(ids) };
  },
  async isExpoPushToken({ tokens }) {
    return { passes: tokens.map((token) => Expo.isExpoPushToken(token)) };
  },
};

function properties(error) {
  return { message: error.message, ...error, others: error.others?.map(properties) };
}

const given = [];
for (const { call, ...parameters } of calls) {
  try {
    given.push(await does[call](parameters));
  } catch (error) {
    given.push({ error: properties(error) });
  }
}
process.stdout.write(JSON.stringify(given));

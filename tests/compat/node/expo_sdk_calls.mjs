// What the tests make an unmodified expo-server-sdk do, in either version, and what came of it as JSON.

import { pathToFileURL } from 'node:url';

/** `directory` has the SDK in its node_modules; `options` are those of `new Expo()`. Returns the callable. */
export async function caller(directory, options) {
  const modules = `${directory}/node_modules`;
  const { Expo } = await import(pathToFileURL(`${modules}/expo-server-sdk/build/ExpoClient.js`).href);
  if (options.allowH2) {
    const { Agent } = await import(pathToFileURL(`${modules}/undici/index.js`).href);
    options.httpAgent = new Agent({ allowH2: true });
  }
  const does = calls(Expo, new Expo(options));

  return async ({ call, ...parameters }) => {
    try {
      return await does[call](parameters);
    } catch (error) {
      return { error: properties(error) };
    }
  };
}

function calls(Expo, expo) {
  return {
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
}

function properties(error) {
  return { message: error.message, ...error, others: error.others?.map(properties) };
}

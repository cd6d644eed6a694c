// A client of local push on the unmodified home-assistant-js-websocket. It does what the lines on stdin say, one JSON
// object each, and says on stdout what came of it and what it hears: one JSON object a line, told apart by `said`.
// argv: the URL of Home Assistant, a long-lived access token, how often to try again to connect.
import { createInterface } from "node:readline";

import { createConnection, createLongLivedTokenAuth } from "home-assistant-js-websocket";
import WebSocket from "ws";

globalThis.WebSocket = WebSocket;
const [, , hassUrl, accessToken, setupRetry] = process.argv;
const say = (said, more) => console.log(JSON.stringify({ said, ...more }));
// The library's own errors are numbers, the server's are objects.
const failed = (error) => say("failed", { error: error instanceof Error ? String(error) : error });

const auth = createLongLivedTokenAuth(hassUrl, accessToken);
const connection = await createConnection({ auth, setupRetry: Number(setupRetry ?? 0) }).catch(failed);
if (!connection) process.exit(0);

const watched = new WeakSet();
function watchFrames() {
  // The library unpacks coalesced messages itself; this says that there were some.
  const { socket } = connection;
  if (watched.has(socket)) return;
  watched.add(socket);
  socket.addEventListener("message", ({ data }) => {
    const message = JSON.parse(data);
    if (Array.isArray(message)) say("coalesced", { messages: message.length });
  });
}
watchFrames();
connection.addEventListener("disconnected", () => say("disconnected"));
connection.addEventListener("reconnect-error", (_, error) => say("gave up", { error }));
connection.addEventListener("ready", () => {
  watchFrames();
  say("ready");
});
say("connected", { ha_version: connection.haVersion });

const unsubscribe = {};
const deeds = {
  subscribe: async ({ channel, message }) => {
    const hear = (event) => say("event", { channel, event });
    unsubscribe[channel] = await connection.subscribeMessage(hear, message);
  },
  unsubscribe: ({ channel }) => unsubscribe[channel](),
  ask: ({ message }) => connection.sendMessagePromise(message),
  ping: () => connection.ping(),
  reconnect: () => connection.reconnect(true),
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { do: deed, ...told } = JSON.parse(line);
  // Not awaited: what is told next must not wait for an answer.
  Promise.resolve(deeds[deed](told)).then((result) => say(`${deed} done`, { result: result ?? null }), failed);
});
lines.on("close", () => {
  connection.close();
  setTimeout(() => process.exit(0), 1000).unref();
});

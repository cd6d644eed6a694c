// A working server in Node: inflates, parses, validates by hand, gives out random UUIDs. It stores nothing.
"use strict";
const http = require("node:http");
const zlib = require("node:zlib");
const { randomUUID } = require("node:crypto");

const MAX_BYTES = 2 * 1024 * 1024;
const MAX_PAYLOAD_BYTES = 4096;
const TEXTS = ["title", "subtitle", "body", "sound", "channelId", "categoryId", "priority", "collapseId", "tag"];
const NUMBERS = ["ttl", "expiration", "badge"];
const KNOWN = new Set([
  "to", "data", "mutableContent", "_contentAvailable", "interruptionLevel", "richContent", "icon", "threadId",
  ...TEXTS, ...NUMBERS,
]);

function isPushToken(token) {
  return (
    typeof token === "string" &&
    (token.startsWith("ExponentPushToken[") || token.startsWith("ExpoPushToken[")) &&
    token.endsWith("]")
  );
}

function problem(message) {
  if (message === null || typeof message !== "object" || Array.isArray(message)) return "a message must be an object";
  for (const key of Object.keys(message)) if (!KNOWN.has(key)) return `"${key}" is not allowed`;
  for (const key of TEXTS) {
    const value = message[key];
    if (value !== undefined && value !== null && typeof value !== "string") return `"${key}" must be a string`;
  }
  for (const key of NUMBERS) {
    const value = message[key];
    if (value !== undefined && value !== null && typeof value !== "number") return `"${key}" must be a number`;
  }
  const { data, priority } = message;
  if (data !== undefined && (data === null || typeof data !== "object")) return '"data" must be an object';
  if (priority !== undefined && !["default", "normal", "high"].includes(priority)) return '"priority" is unknown';
  return undefined;
}

function ticket(message, to) {
  if (!isPushToken(to)) {
    return { status: "error", message: `"${to}" is not a push token`, details: { error: "DeviceNotRegistered" } };
  }
  const text = (message.title ?? "").length + (message.body ?? "").length;
  const size = text + (message.data === undefined ? 0 : Buffer.byteLength(JSON.stringify(message.data)));
  if (size > MAX_PAYLOAD_BYTES) return { status: "error", message: "too big", details: { error: "MessageTooBig" } };
  return { status: "ok", id: randomUUID() };
}

function answer(response, status, value) {
  const body = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}

function accept(body, response) {
  let parsed;
  try {
    parsed = JSON.parse(body.toString());
  } catch {
    return answer(response, 400, { errors: [{ code: "VALIDATION_ERROR", message: "not JSON" }] });
  }
  const messages = Array.isArray(parsed) ? parsed : [parsed];
  const tickets = [];
  for (const message of messages) {
    const wrong = problem(message);
    if (wrong) return answer(response, 400, { errors: [{ code: "VALIDATION_ERROR", message: wrong }] });
    const recipients = Array.isArray(message.to) ? message.to : [message.to];
    for (const to of recipients) tickets.push(ticket(message, to));
  }
  if (tickets.length > 100) return answer(response, 413, { errors: [{ code: "PAYLOAD_TOO_LARGE" }] });
  return answer(response, 200, { data: Array.isArray(parsed) ? tickets : tickets[0] });
}

http
  .createServer((request, response) => {
    const chunks = [];
    let size = 0;
    request.on("data", (chunk) => {
      size += chunk.length;
      if (size <= MAX_BYTES) chunks.push(chunk);
    });
    request.on("end", () => {
      if (size > MAX_BYTES) return answer(response, 413, { errors: [{ code: "PAYLOAD_TOO_LARGE" }] });
      const body = Buffer.concat(chunks);
      if (request.headers["content-encoding"] !== "gzip") return accept(body, response);
      zlib.gunzip(body, { maxOutputLength: MAX_BYTES }, (error, plain) =>
        error ? answer(response, 400, { errors: [{ code: "VALIDATION_ERROR" }] }) : accept(plain, response),
      );
    });
  })
  .listen(Number(process.argv[2]), "127.0.0.1");

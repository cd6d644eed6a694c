// Runs one npm client: node client.mjs PACKAGE. What it is to do is in ../README.md.
import net from "node:net";
import https from "node:https";
import { readFileSync } from "node:fs";

const { GATEWAY_URL, TOKEN_IOS, TOKEN_ANDROID, TOKEN_UNKNOWN } = process.env;
const name = process.argv[2];
const HARD_CODED = { "expo-server-sdk-3.10": "agent", "expo-push-api": "fetch" };

function options() {
  if (HARD_CODED[name] === "agent") {
    // The address is a constant, but the agent makes the connection: here, plain HTTP to the gateway.
    const { hostname, port } = new URL(GATEWAY_URL);
    const httpAgent = new https.Agent();
    httpAgent.createConnection = () => net.connect(Number(port), hostname);
    return { httpAgent };
  }
  if (HARD_CODED[name] === "fetch") {
    const fetchAsItWas = globalThis.fetch;
    globalThis.fetch = (url, init) => fetchAsItWas(String(url).replace("https://exp.host", GATEWAY_URL), init);
    // Its two ways to compress don't work on Node.
    return { compression: "disabled" };
  }
  return {};
}

const { Expo } = await import(name);
const expo = new Expo(options());

function expect(what, wanted, got) {
  if (got !== wanted) throw new Error(`${what}: got ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`);
}

async function receipts(ids) {
  for (let tries = 0; tries < 100; tries++) {
    const found = await expo.getPushNotificationReceiptsAsync(ids);
    if (Object.keys(found).length === ids.length) return ids.map((id) => found[id]);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("no receipts after 10 seconds");
}

let ids = [];
const checks = {
  async tickets() {
    const messages = [
      { to: [TOKEN_IOS, TOKEN_ANDROID], title: "Hello", data: { at: 1 } },
      { to: TOKEN_IOS, body: "x".repeat(1200) }, // long enough to be compressed
    ];
    for (const chunk of expo.chunkPushNotifications(messages)) {
      const tickets = await expo.sendPushNotificationsAsync(chunk);
      tickets.forEach((ticket) => expect("ticket", "ok", ticket.status));
      ids = tickets.map((ticket) => ticket.id);
    }
    expect("tickets", 3, ids.length);
  },
  async receipts() {
    (await receipts(ids)).forEach((receipt) => expect("receipt", "ok", receipt.status));
  },
  async errors() {
    const [unknown, big] = await expo.sendPushNotificationsAsync([
      { to: TOKEN_UNKNOWN, title: "Hello" },
      { to: TOKEN_IOS, data: { text: "x".repeat(5000) } },
    ]);
    expect("ticket", "DeviceNotRegistered", unknown.details.error);
    const [receipt] = await receipts([big.id]);
    expect("receipt", "MessageTooBig", receipt.details.error);
    const many = Array.from({ length: 101 }, () => ({ to: TOKEN_IOS, title: "Hello" }));
    const refused = await expo.sendPushNotificationsAsync(many).catch((error) => error);
    expect("request", "PUSH_TOO_MANY_NOTIFICATIONS", refused.code);
  },
};

const passed = {};
for (const [check, run] of Object.entries(checks)) {
  passed[check] = await run().then(
    () => "ok",
    (error) => String(error),
  );
}
const { version } = JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url)));
console.log(JSON.stringify({ version, ...passed }));

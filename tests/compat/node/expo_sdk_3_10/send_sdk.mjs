// Sends one push with expo-server-sdk 3.10, reads its receipt, and prints both as a JSON object.
// Input: the push token in argv[2]. With HTTPS_PROXY in the environment it goes through that proxy: node-fetch, which
// this SDK brings, does not look there by itself, but the SDK takes an agent.
import expo from "expo-server-sdk";
import { HttpsProxyAgent } from "https-proxy-agent";

const proxy = process.env.HTTPS_PROXY;
const client = new expo.Expo(proxy ? { httpAgent: new HttpsProxyAgent(proxy) } : {});

const [ticket] = await client.sendPushNotificationsAsync([{ to: process.argv[2], title: "Hello", body: "from 3.10" }]);
let receipts = {};
for (let asked = 0; asked < 100 && ticket.id && !receipts[ticket.id]; asked++) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  receipts = await client.getPushNotificationReceiptsAsync([ticket.id]);
}
console.log(JSON.stringify({ ticket, receipt: receipts[ticket.id] }));

// Sends one push per device token with apns2 and prints what came of each as a JSON array.
// Input: a JSON object in argv[2].
import { ApnsClient, Notification } from "apns2";
import { Pool } from "undici";

const { port, ca, key, keyId, teamId, topic, deviceTokens } = JSON.parse(process.argv[2]);
const client = new ApnsClient({ team: teamId, keyId, signingKey: key, defaultTopic: topic, host: "localhost" });
// apns2 has no option for the port; this is its own pool with ours and with our authority.
await client.client.close();
client.client = new Pool(`https://localhost:${port}`, {
  connections: 4,
  allowH2: true,
  maxConcurrentStreams: 100,
  connect: { ca },
});

const send = async (device) => {
  try {
    await client.send(new Notification(device, { alert: { title: "Hello", body: "from apns2" } }));
    return { device, status: 200 };
  } catch (error) {
    return { device, status: error.statusCode, reason: error.reason ?? String(error), timestamp: error.response?.timestamp };
  }
};
console.log(JSON.stringify(await Promise.all(deviceTokens.map(send))));
await client.close();

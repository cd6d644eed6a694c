// Sends one push per device token with @parse/node-apn and prints what came of each as a JSON array.
// Input: a JSON object in argv[2].
import apn from "@parse/node-apn";

const { port, ca, key, keyId, teamId, topic, deviceTokens } = JSON.parse(process.argv[2]);
const provider = new apn.Provider({
  address: "localhost",
  port,
  ca: [ca],
  token: { key, keyId, teamId },
});

const notification = new apn.Notification();
notification.topic = topic;
notification.pushType = "alert";
notification.alert = { title: "Hello", body: "from node-apn" };
notification.payload = { url: "/news" };
notification.expiry = 0;

const { sent, failed } = await provider.send(notification, deviceTokens);
console.log(
  JSON.stringify([
    ...sent.map(({ device }) => ({ device, status: 200 })),
    ...failed.map(({ device, status, response, error }) => ({
      device,
      status,
      reason: response?.reason ?? String(error),
      timestamp: response?.timestamp,
    })),
  ]),
);
await provider.shutdown();

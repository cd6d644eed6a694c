// @parse/node-apn as npm brings it, but for the address of Apple. The same task and the same last line as the others.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const { randomUUID } = require("node:crypto");
const apn = require(path.join(__dirname, "..", "peers", "node", "node_modules", "@parse", "node-apn"));

const task = JSON.parse(process.argv[2]);
const provider = new apn.Provider({
  token: { key: task.apns_key, keyId: task.key_id, teamId: task.team_id },
  address: "localhost",
  port: task.port,
  production: true,
  ca: [fs.readFileSync(task.ca)],
});

async function push(number) {
  const note = new apn.Notification({
    topic: "com.example.shop",
    pushType: "alert",
    priority: 10,
    id: randomUUID(),
    alert: { title: "Your order is on its way", body: "Hello, it left our house today." },
    payload: { n: number },
  });
  const result = await provider.send(note, number.toString(16).padStart(64, "0"));
  return result.sent.length;
}

async function main() {
  if ((await push(0)) !== 1) throw new Error("the first push was refused");
  let next = 1;
  let accepted = 0;
  const worker = async () => {
    while (next <= task.pushes) {
      const sent = await push(next++);
      accepted += sent;
    }
  };
  const began = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  await Promise.all(Array.from({ length: task.in_flight }, worker));
  const used = process.cpuUsage(cpu);
  console.log(
    JSON.stringify({
      accepted,
      elapsed_s: Number(process.hrtime.bigint() - began) / 1e9,
      cpu_s: (used.user + used.system) / 1e6,
    }),
  );
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

// What people write by hand for their tests: parses the body, answers a ticket for each message, checks nothing.
"use strict";
const http = require("node:http");
const { randomUUID } = require("node:crypto");

http
  .createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const parsed = JSON.parse(Buffer.concat(chunks).toString());
      const messages = Array.isArray(parsed) ? parsed : [parsed];
      const data = messages.map(() => ({ status: "ok", id: randomUUID() }));
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ data }));
    });
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
